"""The named workloads; each module says what it measures and how, and has a command."""

from perf.workloads import (
    bucket,
    cold,
    connect,
    idle,
    joint,
    large,
    latency,
    limit,
    mixed,
    pinning,
    reload,
    scrape,
    shape,
    share,
    small,
    write,
)

__all__ = [
    "bucket",
    "cold",
    "connect",
    "idle",
    "joint",
    "large",
    "latency",
    "limit",
    "mixed",
    "pinning",
    "reload",
    "scrape",
    "shape",
    "share",
    "small",
    "write",
]
