"""The named workloads; each module says what it measures and how, and has a command."""

from perf.workloads import bucket, idle, large, latency, limit, pinning, small, write

__all__ = [
    "bucket",
    "idle",
    "large",
    "latency",
    "limit",
    "pinning",
    "small",
    "write",
]
