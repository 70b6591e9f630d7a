"""``scrape``: what do scrapes cost who downloads, where there are 10,000 clients?

Requests for a small file come by a fixed schedule, as in ``latency``. Beside them
nobody asks for the metrics, Prometheus does once a second, or somebody does a hundred
times a second, which is more often than they are collected. Every client has a row of
the table and a limit of its own; how many have series of their own is a case. Who
scrapes runs on the load's core: what the server's core does is the server's work.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from statistics import median

from cyclopts import Parameter

from perf import corpus
from perf.bench import Bench, measured
from perf.cli import LoadedCommon, app, execute, numbers
from perf.load import openloop
from perf.load.scraper import scraping
from perf.results import Metric, Result, Sample
from perf.servers import Client, Running, running
from perf.workloads.latency import figures, limited_by, one

NAME = "scrape"
FILE_BYTES = corpus.KIB
CONNECTIONS = 64
CLIENT_RATE_BPS = 10**6
WARM_UP_SECONDS = 1
SCRAPE_MS_MAX = 40.0
ROWS: Mapping[str, float] = {
    "1 a second": 1.0,
    "none": 0.0,
    "100 a second": 100.0,
}
"""Scrapes per second of each row; the first one is compared with the others."""
METRICS = (
    Metric("p50_us", "P50", "µs", 1, ratio=True, better="lower"),
    Metric("p99_us", "P99", "µs", 1, ratio=True, better="lower"),
    Metric("p999_us", "P99.9", "µs", 1, ratio=True, better="lower"),
    Metric("max_us", "max", "µs", 0, better="lower"),
    Metric("scrape_p50_ms", "scrape, median", "ms", 1, better="lower"),
    Metric("scrape_max_ms", "scrape, slowest", "ms", 1, better="lower"),
    Metric("scrapes", "scrapes", "", 0),
    Metric("own_delay_p99_us", "generator's own delay, P99", "µs", 1),
    Metric("server_cpu_share", "server CPU", ""),
)


@Parameter(name="*")
@dataclass(frozen=True)
class ScrapeCommon(LoadedCommon):
    rounds: int = 3
    "How often every row takes its turn."
    seconds: int = 10
    "Length of one measured interval."


@dataclass(frozen=True, slots=True)
class Case:
    clients: int
    named: int  # that have series of their own
    rate: int  # requests per second

    def title(self) -> str:
        return f"{self.clients:,} clients, {self.named:,} of them by name"


@app.command(name=NAME)
def command(
    *,
    clients: str = "10000",
    named: str = "200,10000",
    rate: str = "5000",
    common: ScrapeCommon | None = None,
) -> int:
    """Latency of requests while Prometheus scrapes, and how long scrapes take. Exit
    code 1 when their median is above 40 ms.

    Args:
        clients: Rows of the client table.
        named: How many of them have series of their own.
        rate: Requests per second.
    """
    rows, per_second = one("clients", clients), one("rate", rate)
    cases = [Case(rows, count, per_second) for count in numbers("named", named)]
    return execute(
        common or ScrapeCommon(),
        NAME,
        lambda bench: bench.rounds * len(cases) * len(ROWS),
        lambda bench: run(bench, cases),
    )


def run(bench: Bench, cases: Sequence[Case]) -> Result:
    """Measure every case with every number of scrapes.

    Raises:
        PerfError: penstock did not start, failed a request or a scrape, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.openloop")
    result.subject = next(iter(ROWS))
    result.bound = f"{SCRAPE_MS_MAX:g} ms for the median scrape"
    by_title = {case.title(): case for case in cases}
    turns = bench.rows_in_turn(dict.fromkeys(by_title, tuple(ROWS)))
    result.samples += [_turn(bench, by_title[t], row, n) for n, t, row in turns]
    return result


def _turn(bench: Bench, case: Case, row: str, number: int) -> Sample:
    path = bench.file(FILE_BYTES)
    setup = replace(
        bench.setup(),
        clients=[
            Client(f"client-{i}", None, CLIENT_RATE_BPS) for i in range(case.clients)
        ],
        top_clients=case.named,
    )
    [kind] = bench.kinds
    with running(kind, setup, path) as server:
        order = openloop.Order(
            port=server.port,
            path=path,
            greeting_path=path,
            connections=CONNECTIONS,
            requests=case.rate * WARM_UP_SECONDS,
            rate_per_second=case.rate,
        )
        openloop.run(order, {bench.load_cpu})
        order = replace(order, requests=case.rate * bench.seconds)
        with measured(server, bench) as usage, _scrapes(server, bench, row) as took_ns:
            done = openloop.run(order, {bench.load_cpu})
    scrapes = scrape_figures(took_ns)
    return Sample(
        server=row,
        case=case.title(),
        round=number,
        values={
            **figures(done),
            **scrapes,
            "server_cpu_share": usage.server_share,
        },
        limited_by=limited_by(done),
        passed=scrapes["scrape_p50_ms"] <= SCRAPE_MS_MAX if scrapes else None,
    )


def _scrapes(
    server: Running, bench: Bench, row: str
) -> AbstractContextManager[list[int]]:
    """The scrapes of a row; for the block that is measured."""
    assert server.admin_port is not None
    if not ROWS[row]:
        return nullcontext([])
    return scraping(server.admin_port, ROWS[row], bench.load_cpu)


def scrape_figures(took_ns: Sequence[int]) -> dict[str, float]:
    """None where there were no scrapes."""
    if not took_ns:
        return {}
    return {
        "scrapes": len(took_ns),
        "scrape_p50_ms": median(took_ns) / 1e6,
        "scrape_max_ms": max(took_ns) / 1e6,
    }
