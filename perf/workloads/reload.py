"""``reload``: how soon do downloads that are under way follow a changed limit?

One client with many connections; its limit is lowered and raised again, over the admin
API, then by a changed file and SIGHUP; for HTB by ``tc class change``. Readers take
what has arrived every 2 ms, and bytes are counted in slots of 20 ms. nginx and haproxy
are no peers here: what is under way keeps its limit to the end.
"""

import json
import os
import signal
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import corpus, shaped
from perf.bench import Bench
from perf.cli import PeersCommon, app, execute, servers
from perf.errors import PerfError
from perf.evenness import reached_ms
from perf.load import paced
from perf.results import SUBJECT, Metric, Result, Sample, Timeline
from perf.servers import KINDS, SHAPERS, Client, Kind, Running, htb, penstock, running

NAME = "reload"
RAMP_NS = 10**9
TICK_NS, SLOT_NS = 2_000_000, 20_000_000
SLOT_SECONDS = SLOT_NS / 1e9
APART_SECONDS = 2
"""Between two changes; the first comes as long after the counting began."""
EFFECT_MS_MAX = 100.0
REQUEST_SECONDS = 5.0
ADDRESS = paced.source_address(0)
CHANGES = {
    "post_lower_ms": "POST lower",
    "post_raise_ms": "POST raise",
    "hup_lower_ms": "SIGHUP lower",
    "hup_raise_ms": "SIGHUP raise",
    "tc_lower_ms": "tc lower",
    "tc_raise_ms": "tc raise",
}
METRICS = (
    *(Metric(key, title, "ms", 0) for key, title in CHANGES.items()),
    Metric("slowest_ms", "slowest", "ms", 0, better="lower"),
    *shaped.METRICS,
)


@Parameter(name="*")
@dataclass(frozen=True)
class ReloadCommon(PeersCommon):
    peers: str = "penstock,nginx-htb"
    "The servers, in the order of their turns; others do not change what is under way."
    rounds: int = 3
    "How often every server takes its turn."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers, KINDS | SHAPERS)


@dataclass(frozen=True, slots=True)
class Case:
    low_bps: int
    high_bps: int
    connections: int

    def title(self) -> str:
        low, high = corpus.title(self.low_bps), corpus.title(self.high_bps)
        return f"{high}/s to {low}/s and back"


@app.command(name=NAME)
def command(
    *,
    low: int = 16,
    high: int = 64,
    connections: int = 32,
    common: ReloadCommon | None = None,
) -> int:
    """A limit that changes while bytes flow: how soon they follow. Exit code 1 when
    penstock takes more than 100 ms.

    Args:
        low: The lower limit, MiB per second.
        high: The higher limit, MiB per second.
        connections: Of the one client.
    """
    if not 0 < low < high or connections < 1:
        raise PerfError("--low must be at least 1 and below --high")
    case = Case(low * corpus.MIB, high * corpus.MIB, connections)
    return execute(
        common or ReloadCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds),
        lambda bench: run(bench, case),
    )


def run(bench: Bench, case: Case) -> Result:
    """Measure every server.

    Raises:
        PerfError: penstock did not start, refused a change, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.paced (MSG_TRUNC)")
    result.bound = f"{EFFECT_MS_MAX:g} ms for each change"
    bench.collect(
        result,
        [case.title()],
        lambda kind, _, number: _turn(bench, kind, number, case),
    )
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    keys = [key for key in CHANGES if key.startswith("tc_") != (kind.name == SUBJECT)]
    order = paced.PacedOrder(
        port=0,
        path="",
        downloads=case.connections,
        ramp_ns=RAMP_NS,
        begin_ns=0,
        slots=(len(keys) + 1) * APART_SECONDS * 10**9 // SLOT_NS,
        slot_ns=SLOT_NS,
        tick_ns=TICK_NS,
        addresses=1,
    )
    seconds = shaped.lead_seconds(order) + order.slots * SLOT_SECONDS
    # As if one connection had a quarter of it all.
    size_bytes = max(corpus.MIB, int(seconds * case.high_bps / 4))
    path = bench.file(size_bytes)
    setup = replace(
        bench.setup(),
        body_bytes=size_bytes,
        clients=[Client(ADDRESS, None, case.high_bps)],
    )
    with running(kind, setup, path) as server:
        acts = [
            shaped.Act(
                (at + 1) * APART_SECONDS * 10**9, _change(server, key, limit(case, key))
            )
            for at, key in enumerate(keys)
        ]
        found = shaped.by_paced(bench, server, replace(order, path=path), acts)
    [row] = found.done.slots
    values = effects(row, case, dict(zip(keys, found.acts_ns, strict=True)))
    passed = len(values) == len(keys) and max(values.values()) <= EFFECT_MS_MAX
    if len(values) == len(keys):
        values["slowest_ms"] = max(values.values())
    return Sample(
        server=kind.name,
        case=case.title(),
        round=number,
        values=values | found.values(),
        limited_by=found.limited_by(SLOT_NS // 2),
        passed=passed if kind.name == SUBJECT else None,
        timelines=[timeline(row, case, dict(zip(keys, found.acts_ns, strict=True)))],
    )


def limit(case: Case, key: str) -> int:
    """Bytes per second after the change."""
    return case.low_bps if "lower" in key else case.high_bps


def _change(server: Running, key: str, rate_bps: int) -> shaped.Do:
    if key.startswith("post_"):
        return lambda: post(server, rate_bps)
    if key.startswith("hup_"):
        return lambda: hang_up(server, rate_bps)
    shaped_class = htb.ShapedClass(1, 0, rate_bps, rate_bps)
    return lambda: htb.change(server, [shaped_class])


def post(server: Running, rate_bps: int) -> None:
    """Change the limit over the admin API.

    Raises:
        PerfError: it was refused.
    """
    content = {"client_id": ADDRESS, "target_bps": rate_bps}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.admin_port}/config",
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=REQUEST_SECONDS).close()
    except OSError as error:
        raise PerfError(f"POST /config failed: {error}") from error


def hang_up(server: Running, rate_bps: int) -> None:
    """Change the limit in the file and tell the server to read it."""
    assert server.folder is not None
    text = penstock.config([Client(ADDRESS, None, rate_bps)])
    (server.folder / penstock.CONFIG_NAME).write_text(text)
    os.kill(server.pid, signal.SIGHUP)


def effects(
    row: Sequence[int], case: Case, begun_ns: dict[str, int]
) -> dict[str, float]:
    """Milliseconds from each change until it had an effect; only those that had."""
    rates = [count / SLOT_SECONDS for count in row]
    found = {}
    for key, at_ns in begun_ns.items():
        after = limit(case, key)
        before = case.low_bps + case.high_bps - after
        until = int(at_ns / SLOT_NS) + APART_SECONDS * 10**9 // SLOT_NS
        took = reached_ms(rates[:until], SLOT_SECONDS, at_ns / 1e9, before, after)
        if took is not None:
            found[key] = took
    return found


def timeline(row: Sequence[int], case: Case, begun_ns: dict[str, int]) -> Timeline:
    """The client's rate in 10^6 bytes per second."""
    return Timeline(
        title="rate of the client",
        unit="MB/s",
        slot_seconds=SLOT_SECONDS,
        lines={"client": [count / SLOT_SECONDS / 1e6 for count in row]},
        limits={"higher": case.high_bps / 1e6, "lower": case.low_bps / 1e6},
        events={CHANGES[key]: at_ns / 1e9 for key, at_ns in begun_ns.items()},
    )
