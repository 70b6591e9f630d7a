"""``suite``: all workloads, one after another, as one report.

Each runs in a process of its own, because a process enters a network namespace once.
What it found comes back as its JSON; how far it is, as lines in a file.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from subprocess import Popen

from perf import corpus, record, terminal, workloads
from perf.cli import app, common_of, console, servers
from perf.errors import PerfError
from perf.output import Outputs, finish, prepare
from perf.process import child
from perf.progress import STEPS_FILE, Steps, bar, lines, steps_of
from perf.record import Failure, Record
from perf.results import Result

Show = Callable[[int, str], Steps]
"""Called when a workload begins, with its index and name."""

POLL_SECONDS = 0.5
WORKLOAD_SECONDS_MAX = 4 * 3600.0
"""What takes longer hangs: with its defaults none takes half an hour."""
REASON_CHARACTERS_MAX = 500
ERROR_PREFIX = "perf: error: "
QUICK: Mapping[str, Mapping[str, str]] = {
    "small": {"rounds": "3", "seconds": "1"},
    "large": {
        "sizes": str(100 * corpus.MIB),
        "connections": "1,16",
        "rounds": "3",
        "seconds": "1",
    },
    "connect": {"rounds": "3", "seconds": "1"},
    "mixed": {"rounds": "3", "seconds": "1"},
    "cold": {"rounds": "3", "seconds": "1"},
    "limit": {"limits": "10,100", "connections": "1,16", "seconds": "5"},
    "shape": {"downloads": "200x1MiB,2000x100KiB", "seconds": "5"},
    "joint": {"limits": "16", "seconds": "5"},
    "share": {"seconds": "3"},
    "reload": {"rounds": "1"},
    "scrape": {"rounds": "1", "seconds": "5"},
    "control": {"rtts": "20", "loss": "1", "seconds": "5"},
    "idle": {"connections": "1000"},
    "latency": {"rounds": "3", "seconds": "1"},
    "bucket": {"rounds": "3", "clients": "1,100000"},
    "sensing": {"connections": "1000"},
    "upload": {"connections": "1", "rounds": "3", "seconds": "1"},
    "uploaders": {"sizes": str(corpus.KIB), "rounds": "1", "seconds": "5"},
    "write": {"rounds": "20"},
    "pinning": {"connections": "1000"},
}
"""Options of each workload with ``--quick``; they come in this order, too."""
QUICK_OTHERS = {"rounds": "3", "seconds": "1"}


@app.command(name="suite")
def command(
    names: str = "all",
    /,
    *,
    quick: bool = False,
    rounds: int | None = None,
    seconds: int | None = None,
    peers: str | None = None,
    congestion: str | None = None,
    json: Path | None = None,
    markdown: Path | None = None,
    html: Path | None = None,
    compare: Path | None = None,
) -> int:
    """Several workloads, one after another, in one report. Exit code 1 when one missed
    its bound or got worse, 2 when one could not be measured; the others go on.

    Args:
        names: Which workloads, for example small,large.
        quick: Fewer and shorter rounds: minutes, and wider ranges.
        rounds: How often every server takes its turn, instead of each workload's own.
        seconds: Length of one measured interval, instead of each workload's own.
        peers: The servers, in the order of their turns.
        congestion: TCP congestion control of every connection. Of several, a workload
            that compares none takes the first.
        json: Also write everything to this file, after each workload.
        markdown: Also write the tables to this file.
        html: Also write a page with plots to this file.
        compare: Compare with this file of an earlier --json.
    """
    wanted = chosen(names)
    if peers is not None:
        servers(peers)  # a mistake in the names is found now, not by each workload
    given = {"rounds": rounds, "seconds": seconds, "peers": peers}
    options = {
        key: str(value)
        for key, value in (given | {"congestion": congestion}).items()
        if value is not None
    }
    outputs = Outputs(json, markdown, html)
    old = prepare(outputs, compare, wanted)
    plan = {}
    for name in wanted:
        usable, remarks = fitting(name, options)
        plan[name] = settings(name, usable, quick=quick)
        for remark in remarks:
            terminal.say(console, f"note: {remark}")
    found = run(plan, json)
    found.suite = "suite, quick" if quick else "suite"
    terminal.show_failures(console, found)
    code = finish(console, found, outputs, old)
    return 2 if found.failures else code


def known() -> list[str]:
    """Every workload there is; those that ``QUICK`` does not name come last."""
    others = sorted(set(workloads.__all__) - set(QUICK))
    return [*(name for name in QUICK if name in workloads.__all__), *others]


def chosen(names: str) -> list[str]:
    """The workloads that ``names`` lists, each once.

    Raises:
        PerfError: one of them is unknown.
    """
    if names == "all":
        return known()
    parts = [name.strip() for name in names.split(",")]
    for name in parts:
        if name not in known():
            raise PerfError(f"suite: {name!r} is none of all, {', '.join(known())}")
    return list(dict.fromkeys(parts))


def fitting(name: str, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What of ``given`` the workload has a use for, and remarks about the rest."""
    common = common_of(name)
    known_options = {field.name for field in fields(common)}
    usable = {key: value for key, value in given.items() if key in known_options}
    remarks = [f"{name} has no --{key}" for key in given if key not in usable]
    first, *others = usable.get("congestion", "").split(",")
    if others and not common.several_congestions:
        usable["congestion"] = first.strip()
        remarks.append(
            f"{name} compares no congestion controls: measured with {first.strip()}"
        )
    return usable, remarks


def settings(name: str, given: Mapping[str, str], *, quick: bool) -> list[str]:
    """Options of one workload: what was given wins over what is quick."""
    merged = dict(QUICK.get(name, QUICK_OTHERS)) if quick else {}
    merged |= given
    return [word for key, value in merged.items() for word in (f"--{key}", value)]


def run(plan: Mapping[str, Sequence[str]], json: Path | None) -> Record:
    """Measure every workload of ``plan``, a name and its options.

    Raises:
        PerfError: none could be measured; with the reason of the first.
    """
    found = Record([], "suite, not finished")
    with display(len(plan)) as show:
        for index, (name, options) in enumerate(plan.items()):
            try:
                result = measure(name, options, show(index, name))
            except PerfError as error:
                found.failures.append(Failure(name, str(error)))
                continue
            found.results.append(result)
            terminal.show(console, result)
            if json is not None:
                record.write_json(found, json)
        show(len(plan), "")
    if not found.results:
        first = found.failures[0]
        raise PerfError(f"nothing could be measured: {first.workload}: {first.reason}")
    return found


@contextmanager
def display(total: int) -> Iterator[Show]:
    """A line for the suite and one for its workload; in a log, one now and then."""
    if not console.is_terminal:
        yield lambda index, name: lines(f"{name} ({index + 1} of {total})")
        return
    with bar(console) as progress:
        whole = progress.add_task("", total=total, title="suite")
        part = progress.add_task("", total=None, title="")

        def show(index: int, name: str) -> Steps:
            progress.update(whole, completed=index)
            progress.reset(
                part, total=None, title=name, description="", visible=bool(name)
            )
            return lambda done, of, text: progress.update(
                part, completed=done, total=of, description=text
            )

        yield show


def measure(name: str, options: Sequence[str], show: Steps) -> Result:
    """Run one workload in its own process.

    Raises:
        PerfError: it failed; with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="perf-suite-") as text:
        folder = Path(text)
        steps, log, found = folder / "steps", folder / "log", folder / "found.json"
        argv = [sys.executable, "-m", "perf", name, *options, "--json", str(found)]
        environment = {STEPS_FILE: str(steps), "COLUMNS": str(REASON_CHARACTERS_MAX)}
        cpus = os.sched_getaffinity(0)
        with child(argv, cpus=cpus, log=log, env=environment) as process:
            wait(process, steps, show)
        # An uncaught exception is exit code 1, too, like a bound that was missed.
        if process.returncode not in (0, 1) or not found.exists():
            raise PerfError(reason(process.returncode, log.read_text(errors="replace")))
        return record.load(found).results[0]


def wait(process: Popen[bytes], steps: Path, show: Steps) -> None:
    """Until the process has ended.

    Raises:
        PerfError: it took longer than ``WORKLOAD_SECONDS_MAX``.
    """
    deadline = time.monotonic() + WORKLOAD_SECONDS_MAX
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise PerfError(f"not done within {WORKLOAD_SECONDS_MAX:g} s, ended")
        if (found := steps_of(steps)) is not None:
            show(*found)
        time.sleep(POLL_SECONDS)


def reason(code: int, log: str) -> str:
    """The error of a workload in one line."""
    _, found, message = log.rpartition(ERROR_PREFIX)
    if not found:
        # A traceback's last line.
        said = [line for line in log.splitlines() if any(map(str.isalnum, line))]
        message = said[-1] if said else ""
    words = " ".join(message.split())[:REASON_CHARACTERS_MAX]
    if code < 0:
        return f"ended by {signal.Signals(-code).name} {words}".strip()
    return words or f"ended with exit code {code}"
