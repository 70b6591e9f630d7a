"""The named workloads; each module says what it measures and how, and has a command."""

from perf.workloads import idle, large, latency, limit, small

__all__ = ["idle", "large", "latency", "limit", "small"]
