"""deploy/seccomp: the profile, loaded into real processes by libseccomp."""

import ctypes
import ctypes.util
import errno
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
COMPARE_EQ, COMPARE_MASKED_EQ = 4, 7
IO_URING = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
# What gives a process power over others or over the kernel.
NEVER = (
    "mount umount2 unshare setns bpf ptrace perf_event_open init_module "
    "kexec_load keyctl userfaultfd reboot process_vm_readv open_by_handle_at "
    "pivot_root"
).split()


class Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def comparisons(rule: dict[str, Any]) -> list[Comparison]:
    ops = {"SCMP_CMP_EQ": COMPARE_EQ, "SCMP_CMP_MASKED_EQ": COMPARE_MASKED_EQ}
    return [
        Comparison(a["index"], ops[a["op"]], a["value"], a.get("valueTwo", 0))
        for a in rule.get("args", ())
    ]


def load(profile: dict[str, Any]) -> None:
    """Put this process, for good, under ``profile``."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | errno.EPERM))
    for rule in profile["syscalls"]:
        allow = rule["action"] == "SCMP_ACT_ALLOW"
        action = ALLOW if allow else ERRNO | rule["errnoRet"]
        compared = comparisons(rule)
        array = (Comparison * len(compared))(*compared)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # Negative: this architecture or this libseccomp does not have it.
            if number >= 0:
                assert not library.seccomp_rule_add_array(
                    context, action, number, len(compared), array
                ), name
    assert not library.seccomp_load(context)


@pytest.fixture(scope="module")
def profile(root: Path) -> dict[str, Any]:
    text = (root / "deploy" / "seccomp" / "penstock.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def under(profile: dict[str, Any], *words: str, cwd: Path) -> subprocess.Popen[str]:
    if ctypes.util.find_library("seccomp") is None:
        pytest.skip("libseccomp is not installed")
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(cwd / "server")},
        preexec_fn=lambda: load(profile),  # noqa: PLW1509 # no thread runs yet
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    profile: dict[str, Any], *words: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    with under(profile, *words, cwd=cwd) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def probe_errno(profile: dict[str, Any], root: Path) -> int:
    code = "from penstock._engine import probe_io_uring as p; print(p()['errno'])"
    done = run(profile, "-c", code, cwd=root)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_no_call_is_allowed_twice(profile: dict[str, Any]) -> None:
    names = Counter(
        n for r in profile["syscalls"] if "args" not in r for n in r["names"]
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_what_gives_power_over_others_is_not_allowed(profile: dict[str, Any]) -> None:
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert allowed.isdisjoint(NEVER)


def test_the_engine_gets_a_ring_under_the_profile(
    root: Path, profile: dict[str, Any]
) -> None:
    assert probe_errno(profile, root) == 0


def test_without_its_io_uring_rule_the_profile_forbids_a_ring(
    root: Path, profile: dict[str, Any]
) -> None:
    rules = [r for r in profile["syscalls"] if not IO_URING & set(r["names"])]
    assert len(rules) == len(profile["syscalls"]) - 1
    assert probe_errno(profile | {"syscalls": rules}, root) == errno.EPERM


def test_new_namespaces_and_raw_sockets_are_refused(
    root: Path, profile: dict[str, Any]
) -> None:
    code = (
        "import ctypes, errno, socket\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.unshare(0x10000000) == -1\n"
        "assert ctypes.get_errno() == errno.EPERM\n"
        "try:\n"
        "    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        "except PermissionError:\n"
        "    print('refused')\n"
    )
    done = run(profile, "-c", code, cwd=root)
    assert done.stdout == "refused\n", done.stderr


def test_threads_and_programs_can_be_started(
    root: Path, profile: dict[str, Any]
) -> None:
    code = (
        "import subprocess, threading\n"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
        "subprocess.run(['true'], check=True)\n"
    )
    done = run(profile, "-c", code, cwd=root)
    assert (done.returncode, done.stdout) == (0, "thread\n"), done.stderr


def test_files_small_and_large_are_served_under_the_profile(
    root: Path, profile: dict[str, Any], tmp_path: Path
) -> None:
    bodies = {"small": b"x" * 100, "large": os.urandom(3_000_000)}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    words = ["serve", str(tmp_path), "--listen", "127.0.0.1:0"]
    with under(
        profile, "-m", "penstock", *words, "--admin", "127.0.0.1:0", cwd=root
    ) as server:
        try:
            assert server.stdout is not None
            ready = server.stdout.readline()
            urls = re.findall(r"http://[^\s,]+", ready)
            for name, body in bodies.items():
                with urllib.request.urlopen(
                    f"{urls[0]}/{name}", timeout=30
                ) as response:
                    assert response.read() == body
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
    assert server.returncode == 0
