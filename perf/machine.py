"""What the figures were taken on; printed with every result."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from perf import namespace


@dataclass(frozen=True, slots=True)
class Machine:
    taken_at: str  # ISO 8601, UTC
    cpu_model: str
    cpus: int
    memory_bytes: int
    kernel: str
    python: str
    congestion_control: str  # empty: nothing is sent
    congestion_pinned: bool
    server_cpus: Sequence[int]
    load_cpu: int | None  # None: the load is not pinned
    versions: Mapping[str, str]


def describe(
    *,
    connected: bool,
    pinned: bool,
    server_cpus: Sequence[int],
    load_cpu: int | None,
    versions: Mapping[str, str],
) -> Machine:
    """Ask the running system; ``versions`` are those of the servers found."""
    congestion = namespace.effective_congestion_control() if connected else ""
    return Machine(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_model=cpu_model(Path("/proc/cpuinfo").read_text()),
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        congestion_control=congestion,
        congestion_pinned=connected and pinned,
        server_cpus=server_cpus,
        load_cpu=load_cpu,
        versions=versions,
    )


def cpu_model(cpuinfo: str) -> str:
    """The first model name in /proc/cpuinfo, which arm64 kernels do not print."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
