"""``connect``: a new connection for every request, as clients without keep-alive do.

wrk sends ``Connection: close``, takes one small file and connects again. CPU per
request is therefore that of accept, one response and close.

Tens of thousands of connections a second use up the ephemeral ports: whoever closes
first keeps the pair of addresses in TIME_WAIT for a minute, and a server may leave
closing to the client. In our own network namespace, for every server alike, clients
therefore take any port from 1,024 on, and take one from TIME_WAIT again after a second
(tcp_tw_reuse, ip-sysctl.rst): good for 64,000 connections a second. The machine's own
settings are left alone; where there is no namespace, its ports have to do.

Some servers let the kernel hand a connection over only with its first request
(TCP_DEFER_ACCEPT), as an option or always: a wake-up less for each. That is measured as
a case of its own, so that like is compared with like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from perf import corpus, loaded, namespace
from perf.bench import Bench
from perf.cli import IntervalCommon, app, execute, numbers
from perf.errors import PerfError
from perf.load import hold, wrk
from perf.results import Metric, Result, Sample
from perf.servers import Kind, running

NAME = "connect"
FILE_BYTES = corpus.KIB
WARM_UP_SECONDS = 1
ACCEPTS = {"at once": False, "deferred": True}
PORTS = ("net/ipv4/ip_local_port_range", "1024 65535")
REUSE = ("net/ipv4/tcp_tw_reuse", "1")
METRICS = (
    Metric(
        "cpu_us_per_request", "CPU per connection", "µs", ratio=True, better="lower"
    ),
    Metric("requests_per_second", "connections/s", "", digits=0, better="higher"),
    Metric("server_cpu_share", "server CPU", "", digits=2),
    Metric("server_core_share", "its core", "", digits=2),
    Metric("load_cpu_share", "wrk CPU", "", digits=2),
)


@app.command(name=NAME)
def command(
    *,
    connections: str = "64",
    accept: str = "at once,deferred",
    common: IntervalCommon | None = None,
) -> int:
    """A new connection for every request of 1 KiB: CPU and connections per second.

    Args:
        connections: How many are open at the same time.
        accept: When the kernel hands a connection over: "at once", or "deferred" until
            its request is there (servers that offer it). Several, separated by commas.
    """
    counts = numbers("connections", connections)
    accepts = [part.strip() for part in accept.split(",")]
    if unknown := [part for part in accepts if part not in ACCEPTS]:
        raise PerfError(f"--accept: {unknown[0]!r} is not one of {', '.join(ACCEPTS)}")
    cases = cases_of(counts, accepts)
    return execute(
        common or IntervalCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds) * len(cases),
        lambda bench: run(bench, cases),
    )


@dataclass(frozen=True, slots=True)
class Case:
    connections: int
    defer_accept: bool


def cases_of(connections: Sequence[int], accepts: Sequence[str]) -> dict[str, Case]:
    """Every number of connections with every way to accept, by their titles."""
    return {
        f"{corpus.title(FILE_BYTES)}, {n} at the same time"
        + (", deferred" if ACCEPTS[how] else ""): Case(n, ACCEPTS[how])
        for how in accepts
        for n in connections
    }


def run(bench: Bench, cases: Mapping[str, Case]) -> Result:
    """Measure every case.

    Raises:
        PerfError: penstock did not start, failed a request, or ended.
    """
    hold.check(max(case.connections for case in cases.values()))
    result = bench.result(NAME, METRICS, wrk.version() or "wrk absent")
    note = _widen_ports(bench)
    bench.collect(
        result,
        list(cases),
        lambda kind, case, number: _turn(bench, kind, case, number, cases[case]),
    )
    result.notes += [note] if note else []
    if any(sample.limited_by == "client" for sample in result.samples):
        result.notes.append(
            "some rounds were limited by wrk, whose core also does the server's half "
            "of each handshake: connections/s are its limit; CPU is the server's own"
        )
    return result


def _widen_ports(bench: Bench) -> str | None:
    """Make room for connections in TIME_WAIT; else the note that there is little."""
    reason = bench.unpinned_reason
    if reason is None:
        try:
            namespace.set_own(*PORTS)
            namespace.set_own(*REUSE)
        except OSError as error:
            reason = str(error)
    return (
        None if reason is None else f"the machine's ephemeral ports are used: {reason}"
    )


def _turn(bench: Bench, kind: Kind, case: str, number: int, how: Case) -> Sample:
    path = bench.file(FILE_BYTES)
    setup = replace(
        bench.setup(),
        connections=max(1024, 2 * how.connections),
        defer_accept=how.defer_accept,
    )
    with running(kind, setup, path) as server:
        load = wrk.Load(
            server.url(path), how.connections, bench.load_cpu, keep_alive=False
        )
        done, interval = loaded.by_wrk(bench, server, load, WARM_UP_SECONDS)
    values = {
        "cpu_us_per_request": interval.usage.cpu_ns / 1e3 / done.requests,
        "requests_per_second": done.requests / done.seconds,
    }
    return interval.sample(kind.name, case, number, values)
