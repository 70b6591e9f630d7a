"""Results made by hand, for tests."""

from collections.abc import Mapping, Sequence

from perf.machine import Machine
from perf.results import Metric, Result, Sample

MACHINE = Machine(
    taken_at="2026-11-24T10:00:00+00:00",
    cpu_model="chip",
    cpus=2,
    memory_bytes=2**30,
    kernel="Linux",
    python="3.11",
    congestion_control="cubic",
    congestion_pinned=True,
    server_cpus=[0],
    load_cpu=1,
    versions={"penstock": "1", "nginx": "2"},
)
COST = Metric("cost", "cost", "µs", ratio=True, better="lower")
RATE = Metric("rate", "rate", "", better="higher")


def measured(
    rounds: Mapping[str, Sequence[float]], *, metric: Metric = COST, case: str = "1 KiB"
) -> Result:
    """``small`` with one metric; each server's values in the order of the rounds."""
    samples = [
        Sample(server, case, number, {metric.key: value})
        for server, values in rounds.items()
        for number, value in enumerate(values)
    ]
    return Result("small", MACHINE, [metric], samples, seconds=3)
