"""``control``: what do the controllers make of a path that loses, marks or narrows?

One client, whose limit is far above what its line carries, downloads over several
connections through the lab: a line with a rate, a queue and a delay, and in turn no
loss, random loss, congestion marks, and a line that becomes narrow and wide again. Each
once with ``client_mode = "off"`` and once with ``"full"``, with the same seed.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from cyclopts import Parameter

from perf import looks
from perf.bench import Bench
from perf.cli import Common, app, execute, numbers
from perf.cpu import pinned
from perf.errors import PerfError
from perf.lab.bulk import Bulk, downloading
from perf.lab.link import Shape
from perf.lab.network import Lab, client_host, opened
from perf.lab.served import Served, serving
from perf.results import SUBJECT, Metric, Result, Sample, Timeline

NAME = "control"
MODES = {f"{SUBJECT}, off": "off", SUBJECT: "full"}
"""Rows and their ``client_mode``, in the order of their turns."""
OFF = next(iter(MODES))
SLOT_SECONDS = 0.2
MS = 1_000_000
MEGABIT_BYTES = 125_000
RATE_MEGABITS = 100
RATE_BPS = RATE_MEGABITS * MEGABIT_BYTES
MARK_ABOVE_MS = 5
NARROW_SHARE = 0.25
GOODPUT_RATIO_MIN = 0.9
RETRANSMITTED_RATIO_MAX = 0.8
JUDGED = (20, 1)  # RTT in ms, loss in percent
METRICS = (
    Metric("mb_per_second", "goodput MB/s", "", 2, ratio=True, better="higher"),
    Metric("retransmitted", "retransmitted", "", 0, ratio=True, better="lower"),
    Metric("retransmitted_per_gb", "per GB", "", 0, ratio=True, better="lower"),
    Metric("queue_drops", "dropped by the queue", "", 0),
    Metric("lost", "lost at random", "", 0),
    Metric("marked", "marked", "", 0),
    Metric("srtt_ms", "smoothed RTT", "ms", 0),
    Metric("cuts", "controller cuts", "", 0),
    Metric("trip_seconds", "until the breaker tripped", "s", 1),
    Metric("relay_late_ms", "relay late", "ms", 1),
)


@Parameter(name="*")
@dataclass(frozen=True)
class ControlCommon(Common):
    rounds: int = 1
    "How often everything is measured, in turn; each round has its own seed."
    seconds: int = 20
    "How long the client downloads."
    congestion: str = "cubic"
    "TCP congestion control of the connections; several, for example cubic,bbr."
    load_cpu: int = 1
    "Core of the relay and of the readers."
    several_congestions: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Case:
    """A path from the server to the client, and what becomes of it."""

    title: str
    rtt_ms: int
    congestion: str
    down: Shape
    judged: bool = False
    changes: Mapping[float, int] = field(default_factory=dict)
    """From a share of the time to the rate from then on, in bytes per second."""


@app.command(name=NAME)
def command(
    *,
    rtts: str = "20,100",
    loss: str = "0,1,5,20",
    line: int = 20,
    queue: int = 100,
    connections: int = 4,
    others: bool = True,
    pace: bool = False,
    common: ControlCommon | None = None,
) -> int:
    """A client whose path loses, marks or narrows, with and without controllers. Exit
    code 1 when at 20 ms and 1 % loss they cost more than a tenth of the goodput, or
    save less than a fifth of the retransmissions.

    Args:
        rtts: Round trip times without a queue, in ms.
        loss: Random loss, in percent.
        line: Rate of the line, in Mbit/s; the client's limit is 100.
        queue: What may wait before the line, in kB.
        connections: Of the client.
        others: Also congestion marks, and a line that narrows.
        pace: Spread out what any limited client is sent (shaping.pace_sockets), and not
            only what controllers limit.
    """
    if line < 1 or queue < 1 or connections < 1:
        raise PerfError("--line, --queue and --connections must be at least 1")
    chosen = common or ControlCommon()
    wide = Shape(rate_bps=line * MEGABIT_BYTES, queue_bytes=queue * 1000)
    losses = percents(loss)
    found = [
        case
        for congestion in chosen.congestion.split(",")
        for rtt in numbers("rtts", rtts)
        for case in cases(congestion.strip(), rtt, wide, losses, others=others)
    ]
    return execute(
        chosen,
        NAME,
        lambda bench: bench.rounds * len(found) * len(MODES),
        lambda bench: run(bench, found, connections, pace=pace),
    )


def cases(
    congestion: str, rtt_ms: int, line: Shape, losses: Sequence[int], *, others: bool
) -> Iterator[Case]:
    """Of one RTT and congestion control."""
    where = f"{rtt_ms} ms, {congestion}"
    for loss in losses:
        shape = shaped(line, rtt_ms, loss=loss / 100)
        yield Case(
            f"{loss} % loss, {where}",
            rtt_ms,
            congestion,
            shape,
            judged=(rtt_ms, loss) == JUDGED,
        )
    if not others:
        return
    shape = shaped(line, rtt_ms, mark_above_ns=MARK_ABOVE_MS * MS)
    yield Case(f"marks, {where}", rtt_ms, congestion, shape)
    narrow = int(line.rate_bps * NARROW_SHARE)
    changes = {1 / 3: narrow, 2 / 3: line.rate_bps}
    step = f"narrows to {NARROW_SHARE:.0%}, {where}"
    yield Case(step, rtt_ms, congestion, shaped(line, rtt_ms), changes=changes)


def percents(text: str) -> list[int]:
    """``"0,5"`` as integers.

    Raises:
        PerfError: not a list of percentages.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) <= 100 for part in parts):
        raise PerfError(f"--loss: {text!r} is not a list of percentages")
    return [int(part) for part in parts]


def shaped(line: Shape, rtt_ms: int, **more: Any) -> Shape:
    """The way down; half of the delay is that of the way back."""
    return replace(line, delay_ns=rtt_ms * MS // 2, **more)


def run(bench: Bench, found: Sequence[Case], connections: int, *, pace: bool) -> Result:
    """Measure every case without and with controllers.

    Raises:
        PerfError: the lab is not permitted here, penstock did not start, or a download
            ended.
    """
    result = bench.result(NAME, METRICS, "perf.lab")
    names = dict.fromkeys(case.congestion for case in found)
    result.machine = replace(
        result.machine, congestion_control=" and ".join(names), congestion_pinned=True
    )
    result.bound = (
        f"at {JUDGED[0]} ms and {JUDGED[1]} % loss: {GOODPUT_RATIO_MIN:g} × the "
        f"goodput and {RETRANSMITTED_RATIO_MAX:g} × the retransmissions without "
        "controllers"
    )
    by_title = {case.title: case for case in found}
    off: Mapping[str, float] = {}
    rows = {title: list(MODES) for title in by_title}
    for number, title, row in bench.rows_in_turn(rows):
        case = by_title[title]
        values, timelines = _turn(
            bench, case, config(MODES[row], pace=pace), connections, number
        )
        passed = None
        if row == OFF:
            off = values
        elif case.judged:
            passed = judge(values, off)
        result.samples.append(
            Sample(
                *(row, title, number, values),
                passed=passed,
                congestion=case.congestion,
                timelines=timelines,
            )
        )
    return result


def judge(full: Mapping[str, float], off: Mapping[str, float]) -> bool:
    """Whether the controllers cost little, and saved what they should."""
    goodput = GOODPUT_RATIO_MIN * off["mb_per_second"]
    retransmitted = RETRANSMITTED_RATIO_MAX * off["retransmitted"]
    return full["mb_per_second"] >= goodput and full["retransmitted"] <= retransmitted


def config(mode: str, *, pace: bool) -> str:
    return (
        f'[shaping]\nclient_rate = "{RATE_MEGABITS}Mbit/s"\nclient_mode = "{mode}"\n'
        f"pace_sockets = {str(pace).lower()}\n"
    )


def _turn(
    bench: Bench, case: Case, settings: str, connections: int, number: int
) -> tuple[dict[str, float], list[Timeline]]:
    """Figures of one row, and what happened over time."""
    # As if one connection had all for twice the time, so that no download ends.
    path = bench.file(2 * bench.seconds * case.down.rate_bps)
    up = Shape(delay_ns=case.rtt_ms * MS - case.down.delay_ns)
    cpus = set(bench.server_cpus)
    with (
        pinned({bench.load_cpu}),
        opened(
            seed=number + 1, congestion=case.congestion, down=case.down, up=up
        ) as lab,
        tempfile.TemporaryDirectory(prefix="perf-control-") as folder,
        serving(lab, bench.folder, settings, Path(folder), cpus) as served,
        downloading(lab, path, connections) as bulk,
    ):
        found = watch(lab, served, bulk, bench.seconds, case)
        values = looks.figures(found) | link_figures(lab)
        values["cuts"] = looks.cuts(served.ask("/metrics").decode())
    size = found[-1].total_bytes
    values["retransmitted_per_gb"] = values["retransmitted"] / (size / 1e9)
    events = {
        f"line {rate_bps / MEGABIT_BYTES:g} Mbit/s": share * bench.seconds
        for share, rate_bps in case.changes.items()
    }
    lines = looks.timelines(found, SLOT_SECONDS, RATE_BPS, case.down.rate_bps, events)
    return values, lines


def link_figures(lab: Lab) -> dict[str, float]:
    """Of the line, and of the server's TCP; the server's few segments before the
    downloads began are part of it."""
    link = lab.statistics("down")
    return {
        "retransmitted": lab.counters("server")["RetransSegs"],
        "queue_drops": link.queue_drops,
        "lost": link.lost,
        "marked": link.marked,
        "relay_late_ms": link.late_max_ns / MS,
    }


def watch(
    lab: Lab, served: Served, bulk: Bulk, seconds: int, case: Case
) -> list[looks.Look]:
    """Look at the client every fifth of a second; change the line when it is due."""
    began = time.monotonic()
    due = sorted(case.changes.items())
    found = []
    for slot in range(1, round(seconds / SLOT_SECONDS) + 1):
        time.sleep(max(began + slot * SLOT_SECONDS - time.monotonic(), 0))
        if due and slot * SLOT_SECONDS >= due[0][0] * seconds:
            lab.change("down", rate_bps=due.pop(0)[1])
        at, total = time.monotonic() - began, bulk.total_bytes
        found.append(looks.Look(at, total, served.client(client_host(0))))
    return found
