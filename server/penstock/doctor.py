"""What penstock needs of a machine, compared with what is there.

Every check is a pure function of ``Facts``; ``gather`` collects those.
"""

import errno
import os
import platform
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.listeners import congestion_controls

if TYPE_CHECKING:
    from penstock._engine import UringProbe

KERNEL_FLOOR = (6, 1)
# 16384 connections and as many cached files on one engine, and some for ourselves.
NOFILE_WANTED = 65536
NOFILE_NEEDED = 1024
# Of one engine, where the kernel counts rings and their buffers as locked memory;
# measured: 208 to 224 KiB with the default limits.
MEMLOCK_ENGINE_BYTES = 256 << 10
NEEDED_SETUP_FLAGS = ("SINGLE_ISSUER", "DEFER_TASKRUN", "SUBMIT_ALL")
NEEDED_FEATURES = ("NODROP", "EXT_ARG", "FAST_POLL")
NEEDED_OPCODES = (
    "ACCEPT",
    "RECV",
    "SEND",
    "SENDMSG",
    "SPLICE",
    "POLL_ADD",
    "ASYNC_CANCEL",
    "CLOSE",
    "OPENAT2",
    "READ",
)
_SECCOMP_FILTER = 2
_NEW_KERNEL = "install Linux 6.1 or newer (Debian 12 has it)"


class Verdict(StrEnum):
    OK = "ok"
    ADVICE = "advice"  # it works, and could be better
    MISSING = "missing"  # penstock can not run


@dataclass(frozen=True)
class Finding:
    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Facts:
    """Limits: None is unlimited. ``io_uring_disabled``: None without such a sysctl."""

    kernel: str
    io_uring_disabled: int | None
    seccomp: int
    probe: "UringProbe"
    nofile: int | None
    memlock_bytes: int | None
    cpus: int
    available: list[str]
    allowed: list[str]


def examine() -> list[Finding]:
    return list(judge(gather()))


def judge(facts: Facts) -> Iterator[Finding]:
    yield _kernel(facts)
    yield _sysctl(facts)
    yield _setup(facts)
    if facts.probe["errno"] == 0:
        yield from _abilities(facts)
    yield _nofile(facts)
    yield _memlock(facts)
    yield _congestion(facts)


def gather() -> Facts:
    from penstock._engine import probe_io_uring

    return Facts(
        kernel=platform.release(),
        io_uring_disabled=_read_number(Path("/proc/sys/kernel/io_uring_disabled")),
        seccomp=_seccomp(Path("/proc/self/status")),
        probe=probe_io_uring(),
        nofile=_hard_limit(resource.RLIMIT_NOFILE),
        memlock_bytes=_hard_limit(resource.RLIMIT_MEMLOCK),
        cpus=len(os.sched_getaffinity(0)),
        available=congestion_controls("available"),
        allowed=congestion_controls("allowed"),
    )


def _kernel(facts: Facts) -> Finding:
    match = re.match(r"(\d+)\.(\d+)", facts.kernel)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version >= KERNEL_FLOOR:
        return Finding("kernel", Verdict.OK, facts.kernel)
    return Finding("kernel", Verdict.MISSING, facts.kernel, _NEW_KERNEL)


def _sysctl(facts: Facts) -> Finding:
    """0: everyone may; 1: only kernel.io_uring_group and CAP_SYS_ADMIN; 2: nobody."""
    name = "kernel.io_uring_disabled"
    value = facts.io_uring_disabled
    if value in (None, 0):
        return Finding(name, Verdict.OK, "no such switch" if value is None else "0")
    usable = value == 1 and facts.probe["errno"] == 0
    remedy = (
        f"`sysctl -w {name}=0`; to keep it, write it to /etc/sysctl.d/penstock.conf"
    )
    if value == 1:
        remedy += "; or run as a member of kernel.io_uring_group"
    verdict = Verdict.OK if usable else Verdict.MISSING
    return Finding(name, verdict, str(value), "" if usable else remedy)


def _setup(facts: Facts) -> Finding:
    code = facts.probe["errno"]
    if code == 0:
        return Finding("io_uring", Verdict.OK, "a ring can be made")
    found = f"{errno.errorcode.get(code, code)}: {os.strerror(code)}"
    return Finding("io_uring", Verdict.MISSING, found, _setup_remedy(code, facts))


def _setup_remedy(code: int, facts: Facts) -> str:
    if code == errno.EPERM and facts.seccomp == _SECCOMP_FILTER:
        return (
            "a seccomp profile forbids it (containers do by default): allow "
            "io_uring_setup, io_uring_enter and io_uring_register, as the profile in "
            "deploy/seccomp does"
        )
    if code == errno.EPERM:
        return "allow it: `sysctl -w kernel.io_uring_disabled=0`"
    if code == errno.ENOMEM:
        return "raise the memlock limit: `ulimit -l`, or LimitMEMLOCK= in systemd"
    return _NEW_KERNEL


def _abilities(facts: Facts) -> Iterator[Finding]:
    probe = facts.probe
    for subject, found, needed in (
        ("setup flags", probe["setup_flags"], NEEDED_SETUP_FLAGS),
        ("features", probe["features"], NEEDED_FEATURES),
        ("operations", probe["opcodes"], NEEDED_OPCODES),
        ("buffers", {"ring": probe["provided_buffer_ring"]}, ("ring",)),
    ):
        lacking = [name for name in needed if not found.get(name)]
        name = f"io_uring {subject}"
        if lacking:
            text = f"without {', '.join(lacking)}"
            yield Finding(name, Verdict.MISSING, text, _NEW_KERNEL)
        else:
            yield Finding(name, Verdict.OK, ", ".join(n for n in found if found[n]))


def _nofile(facts: Facts) -> Finding:
    limit = facts.nofile
    remedy = (
        f"each connection is a file: `ulimit -Hn {NOFILE_WANTED}`, or LimitNOFILE= in "
        "systemd"
    )
    found = f"{_shown(limit)} (hard limit)"
    if limit is None or limit >= NOFILE_WANTED:
        return Finding("open files", Verdict.OK, found)
    verdict = Verdict.ADVICE if limit >= NOFILE_NEEDED else Verdict.MISSING
    return Finding("open files", verdict, found, remedy)


def _memlock(facts: Facts) -> Finding:
    limit = facts.memlock_bytes
    found = f"{_shown(limit)} bytes (hard limit)"
    wanted = facts.cpus * MEMLOCK_ENGINE_BYTES
    if limit is None or limit >= wanted:
        return Finding("locked memory", Verdict.OK, found)
    remedy = (
        f"{facts.cpus} engines may need {wanted} bytes: `ulimit -Hl {wanted >> 10}`, "
        "or LimitMEMLOCK= in systemd"
    )
    return Finding("locked memory", Verdict.ADVICE, found, remedy)


def _congestion(facts: Facts) -> Finding:
    allowed = ", ".join(facts.allowed) or "unknown"
    others = [name for name in facts.available if name not in facts.allowed]
    if not others:
        return Finding("congestion controls", Verdict.OK, allowed)
    found = f"{allowed}; not allowed to all users: {', '.join(others)}"
    remedy = "add them to net.ipv4.tcp_allowed_congestion_control, if wanted"
    return Finding("congestion controls", Verdict.ADVICE, found, remedy)


def _shown(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


def _hard_limit(which: int) -> int | None:
    hard = resource.getrlimit(which)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _seccomp(status: Path) -> int:
    """0: none, 1: strict, 2: a filter."""
    match = re.search(r"^Seccomp:\s*(\d+)", status.read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
