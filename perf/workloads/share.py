"""``share``: do clients divide a saturated total by their weights, is what one of them
leaves lent to the others, and is it taken back when it returns?

Every client has several connections and would take more than the total. After a while
the heaviest ends its downloads, and begins as many anew two seconds later. Readers take
what has arrived every 2 ms; bytes of each client are counted in slots of 20 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cyclopts import Parameter

from perf import corpus, shaped
from perf.bench import Bench
from perf.cli import PeersCommon, app, execute, numbers, servers
from perf.errors import PerfError
from perf.evenness import reached_ms, share_error_percent
from perf.load import paced
from perf.results import SUBJECT, Metric, Result, Sample, Timeline
from perf.servers import KINDS, SHAPERS, Client, Kind, Setup, running

NAME = "share"
RAMP_NS = 10**9
TICK_NS, SLOT_NS = 2_000_000, 20_000_000
SLOT_SECONDS = SLOT_NS / 1e9
AWAY_SECONDS = 2
BACK_SECONDS = 2
CLIENTS_MAX = 64
LENT_AFTER_SECONDS = 0.5
"""From then on the utilisation without the heaviest client is looked at."""
SHARE_ERROR_PERCENT_MAX = 2.0
UTILISATION_PERCENT_MIN = 98.0
RECLAIM_MS_MAX = 200.0
METRICS = (
    Metric("share_error_percent", "share error", "%", 2, better="lower"),
    Metric("utilisation_percent", "utilisation", "%", 2, better="higher"),
    Metric("lent_ms", "until lent", "ms", 0, better="lower"),
    Metric("lent_utilisation_percent", "utilisation when lent", "%", 2),
    Metric("taken_back_ms", "until taken back", "ms", 0, better="lower"),
    Metric("cpu_ms_per_gb", "CPU per GB", "ms", 1, ratio=True, better="lower"),
    *shaped.METRICS,
)


@Parameter(name="*")
@dataclass(frozen=True)
class ShareCommon(PeersCommon):
    peers: str = "penstock,nginx-htb"
    "The servers, in the order of their turns; no others divide a total by weight."
    rounds: int = 1
    "How often every server takes its turn."
    seconds: int = 5
    "How long all clients download before one of them stops."

    def kinds(self) -> tuple[list[Kind], list[str]]:
        return servers(self.peers, KINDS | SHAPERS)


@dataclass(frozen=True, slots=True)
class Case:
    weights: Sequence[int]
    total_bps: int
    connections: int  # of each client

    def title(self) -> str:
        weights = ":".join(map(str, self.weights))
        return f"weights {weights}, {corpus.title(self.total_bps)}/s"

    def heaviest(self) -> int:
        return max(range(len(self.weights)), key=self.weights.__getitem__)

    def share_bps(self, client: int) -> float:
        return self.total_bps * self.weights[client] / sum(self.weights)


@app.command(name=NAME)
def command(
    *,
    weights: str = "1,2,4",
    total: int = 200,
    connections: int = 8,
    common: ShareCommon | None = None,
) -> int:
    """Clients with weights under a saturated total: shares, utilisation, and how soon a
    share is lent and taken back. Exit code 1 when penstock misses a bound.

    Args:
        weights: Of each client, for example 1,2,4.
        total: Limit of all clients together, MiB per second.
        connections: Of each client.
    """
    found = numbers("weights", weights)
    if not 2 <= len(found) <= CLIENTS_MAX:
        raise PerfError(f"--weights: 2 to {CLIENTS_MAX} clients, not {len(found)}")
    if total < 1 or connections < 1:
        raise PerfError("--total and --connections must be at least 1")
    case = Case(found, total * corpus.MIB, connections)
    return execute(
        common or ShareCommon(),
        NAME,
        lambda bench: bench.rounds * len(bench.kinds),
        lambda bench: run(bench, case),
    )


def run(bench: Bench, case: Case) -> Result:
    """Measure every server.

    Raises:
        PerfError: penstock did not start, failed a request, or ended.
    """
    result = bench.result(NAME, METRICS, "perf.load.paced (MSG_TRUNC)")
    result.bound = (
        f"share error {SHARE_ERROR_PERCENT_MAX:g} %, utilisation "
        f"{UTILISATION_PERCENT_MIN:g} %, lent and taken back in {RECLAIM_MS_MAX:g} ms"
    )
    bench.collect(
        result,
        [case.title()],
        lambda kind, _, number: _turn(bench, kind, number, case),
    )
    return result


def _turn(bench: Bench, kind: Kind, number: int, case: Case) -> Sample:
    stop, back = bench.seconds, bench.seconds + AWAY_SECONDS
    clients = len(case.weights)
    order = paced.PacedOrder(
        port=0,
        path="",
        downloads=clients * case.connections,
        ramp_ns=RAMP_NS,
        begin_ns=0,
        slots=(back + BACK_SECONDS) * 10**9 // SLOT_NS,
        slot_ns=SLOT_NS,
        tick_ns=TICK_NS,
        addresses=clients,
        pauses=[paced.Pause(case.heaviest(), stop * 10**9, back * 10**9)],
    )
    seconds = shaped.lead_seconds(order) + order.slots * SLOT_SECONDS
    # As if one client had all for all the time, so that no download ends.
    size_bytes = int(seconds * case.total_bps / case.connections)
    path = bench.file(size_bytes)
    with running(kind, setup(bench.setup(), case, size_bytes), path) as server:
        found = shaped.by_paced(bench, server, replace(order, path=path))
    values = figures(found.done.slots, case, stop)
    passed = judge(values) if kind.name == SUBJECT else None
    values["cpu_ms_per_gb"] = found.usage.cpu_ns / 1e6 / (found.body_bytes() / 1e9)
    return Sample(
        server=kind.name,
        case=case.title(),
        round=number,
        values=values | found.values(),
        limited_by=found.limited_by(SLOT_NS // 2),
        passed=passed,
        timelines=[timeline(found.done.slots, case, stop)],
    )


def setup(plain: Setup, case: Case, size_bytes: int) -> Setup:
    """Clients are known by their addresses, which have no limit of their own."""
    return replace(
        plain,
        body_bytes=size_bytes,
        total_bps=case.total_bps,
        clients=[
            Client(paced.source_address(index), None, weight=weight)
            for index, weight in enumerate(case.weights)
        ],
    )


def figures(
    slots: Sequence[Sequence[int]], case: Case, stop_seconds: int
) -> dict[str, float]:
    """From the bytes of each client in slots of 20 ms; what was never reached has no
    figure."""
    per_second = 10**9 // SLOT_NS
    stop, back = stop_seconds, stop_seconds + AWAY_SECONDS
    steady = [sum(row[: stop * per_second]) for row in slots]
    total = [sum(column) / SLOT_SECONDS for column in zip(*slots, strict=True)]
    lent = total[int((stop + LENT_AFTER_SECONDS) * per_second) : back * per_second]
    heaviest = case.heaviest()
    own = [count / SLOT_SECONDS for count in slots[heaviest]]
    others = [whole - mine for whole, mine in zip(total, own, strict=True)]
    share, whole = case.share_bps(heaviest), float(case.total_bps)
    found = {
        "share_error_percent": share_error_percent(steady, case.weights),
        "utilisation_percent": 100 * sum(steady) / (whole * stop),
        "lent_utilisation_percent": 100 * sum(lent) / len(lent) / whole,
        "lent_ms": reached_ms(
            others[: back * per_second], SLOT_SECONDS, stop, whole - share, whole
        ),
        "taken_back_ms": reached_ms(own, SLOT_SECONDS, back, 0.0, share),
    }
    return {key: value for key, value in found.items() if value is not None}


def judge(values: dict[str, float]) -> bool:
    """Against the bounds; what was never reached has missed its own."""
    never = float("inf")
    return (
        values["share_error_percent"] <= SHARE_ERROR_PERCENT_MAX
        and values["utilisation_percent"] >= UTILISATION_PERCENT_MIN
        and values.get("lent_ms", never) <= RECLAIM_MS_MAX
        and values.get("taken_back_ms", never) <= RECLAIM_MS_MAX
    )


def timeline(slots: Sequence[Sequence[int]], case: Case, stop_seconds: int) -> Timeline:
    """The rate of each client, and of all, in 10^6 bytes per second."""
    lines = {
        f"weight {weight}": [count / SLOT_SECONDS / 1e6 for count in row]
        for weight, row in zip(case.weights, slots, strict=True)
    }
    if len(lines) < len(slots):  # equal weights
        lines = {
            f"client {at + 1}": [count / SLOT_SECONDS / 1e6 for count in row]
            for at, row in enumerate(slots)
        }
    sums = zip(*slots, strict=True)
    lines["all"] = [sum(column) / SLOT_SECONDS / 1e6 for column in sums]
    return Timeline(
        title="rate of each client",
        unit="MB/s",
        slot_seconds=SLOT_SECONDS,
        lines=lines,
        limits={"total": case.total_bps / 1e6},
        events={"stops": stop_seconds, "returns": stop_seconds + AWAY_SECONDS},
    )
