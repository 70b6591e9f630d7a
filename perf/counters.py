"""The CPU's cache counters, where it exposes them (perf_event_open(2)).

Counted on whole cores: a counter for each of 10,000 threads would cost more files than
there are. So the load is part of the figure, and it needs CAP_PERFMON.
"""

import ctypes
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_SYSCALL = {"x86_64": 298, "aarch64": 241}
HARDWARE, SOFTWARE = 0, 1
CACHE_REFERENCES, CACHE_MISSES = 2, 3
CONTEXT_SWITCHES = 3
_ATTRIBUTE_BYTES = 64  # PERF_ATTR_SIZE_VER0
_CLOEXEC = 8


class CacheCounters:
    """References and misses of all given cores, from entering the block on."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self.reason: str | None = None
        """Why nothing is counted."""
        self._fds: list[tuple[int, int]] = []
        self._counts = (0, 0)
        self._cpus = cpus

    def __enter__(self) -> Self:
        try:
            for cpu in self._cpus:
                references = open_counter(HARDWARE, CACHE_REFERENCES, cpu)
                misses = open_counter(HARDWARE, CACHE_MISSES, cpu)
                self._fds.append((references, misses))
        except OSError as error:
            self.reason = f"not exposed by this CPU or kernel ({error.strerror})"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._counts = (
            sum(read_counter(fd) for fd, _ in self._fds),
            sum(read_counter(fd) for _, fd in self._fds),
        )
        for pair in self._fds:
            for fd in pair:
                os.close(fd)

    def hit_percent(self) -> float | None:
        """After the block: share of references that hit; None when not counted."""
        references, misses = self._counts
        if self.reason is not None or references == 0:
            return None
        return 100.0 * (1.0 - misses / references)


def open_counter(kind: int, event: int, cpu: int) -> int:
    """A descriptor that counts ``event`` on one core from now on.

    Raises:
        OSError: the kernel or the CPU does not.
    """
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        raise OSError(0, "perf_event_open is not known for this machine")
    attribute = (ctypes.c_uint32 * (_ATTRIBUTE_BYTES // 4))(kind, _ATTRIBUTE_BYTES)
    attribute[2] = event
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(number, attribute, -1, cpu, -1, _CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def read_counter(fd: int) -> int:
    return int.from_bytes(os.read(fd, 8), "little")
