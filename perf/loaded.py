"""One server under load: warmed up, measured, and made a sample. What the workloads
that saturate a server have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from perf.bench import Bench, Usage, measured
from perf.load import bring, sink, wrk
from perf.results import Sample
from perf.servers import Running


@dataclass(frozen=True, slots=True)
class Interval:
    """What both sides used while it was measured."""

    usage: Usage
    load_share: float  # of its core, by the load generator

    def sample(
        self,
        server: str,
        case: str,
        number: int,
        values: Mapping[str, float],
        congestion: str | None = None,
    ) -> Sample:
        """``values`` with the shares of the cores, and who was the limit."""
        shares = {
            "server_cpu_share": self.usage.server_share,
            "server_core_share": self.usage.server_core_share,
            "load_cpu_share": self.load_share,
        }
        return Sample(
            server=server,
            case=case,
            round=number,
            values={**values, **shares},
            limited_by=self.usage.limited_by(self.load_share),
            congestion=congestion,
        )


def by_wrk(
    bench: Bench, server: Running, load: wrk.Load, warm_up_seconds: int
) -> tuple[wrk.WrkRun, Interval]:
    """Raises PerfError: a request failed, or the server ended."""
    wrk.run(load, warm_up_seconds)
    with measured(server, bench) as usage:
        done = wrk.run(load, bench.seconds)
    return done, Interval(usage, done.cpu_ns / 1e9 / done.seconds)


def by_sink(
    bench: Bench, server: Running, warm_up: sink.SinkOrder
) -> tuple[sink.SinkRun, Interval]:
    """The same order for the bench's seconds, after it was carried out as it is.

    Raises:
        PerfError: a download failed, or the server ended.
    """
    cpus = {bench.load_cpu}
    sink.run(warm_up, cpus)
    with measured(server, bench) as usage:
        done = sink.run(replace(warm_up, seconds=float(bench.seconds)), cpus)
    return done, _interval(bench, usage, done)


def by_bring(
    bench: Bench, server: Running, warm_up: bring.BringOrder
) -> tuple[bring.BringRun, Interval]:
    """As ``by_sink``, of uploads.

    Raises:
        PerfError: one failed or is not what was sent, or the server ended.
    """
    cpus = {bench.load_cpu}
    bring.check(warm_up, bring.run(warm_up, cpus))
    with measured(server, bench) as usage:
        done = bring.run(replace(warm_up, seconds=float(bench.seconds)), cpus)
    bring.check(warm_up, done)
    return done, _interval(bench, usage, done)


def _interval(
    bench: Bench, usage: Usage, done: sink.SinkRun | bring.BringRun
) -> Interval:
    """The load's own time: its start and its end are not the server's."""
    usage.server_share = usage.cpu_ns / 1e9 / done.seconds / len(bench.server_cpus)
    return Interval(usage, done.cpu_ns / done.wall_ns)
