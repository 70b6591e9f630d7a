import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from perf import cli, progress, record, suite, workloads
from perf.errors import PerfError
from perf.progress import Steps
from perf.results import Result
from tests.perf.samples import measured


def test_all_is_every_workload_once() -> None:
    assert sorted(suite.chosen("all")) == sorted(workloads.__all__)
    assert suite.chosen("large, small,large") == ["large", "small"]


def test_an_unknown_workload_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PerfError, match="suite: 'tiny' is none of all, small, large"):
        suite.chosen("small,tiny")


def test_what_was_asked_for_wins_over_quick() -> None:
    assert suite.settings("small", {"rounds": "9"}, quick=True) == [
        *("--rounds", "9"),
        *("--seconds", "1"),
    ]
    assert suite.settings("small", {}, quick=False) == []
    assert suite.settings("of tomorrow", {}, quick=True) == [
        *("--rounds", "3"),
        *("--seconds", "1"),
    ]


GIVEN = {"rounds": "1", "seconds": "2", "peers": "nginx", "congestion": "bbr, cubic"}


@pytest.mark.parametrize(
    ("name", "usable", "remarks"),
    [
        ("large", GIVEN, []),
        ("small", GIVEN | {"congestion": "bbr"}, ["small compares no congestion"]),
        ("bucket", {"rounds": "1", "seconds": "2"}, ["no --peers", "no --congestion"]),
        (
            "limit",
            {"rounds": "1", "seconds": "2", "congestion": "bbr"},
            ["limit has no --peers", "measured with bbr"],
        ),
    ],
)
def test_each_workload_gets_what_it_has_a_use_for_and_the_rest_is_told(
    name: str, usable: dict[str, str], remarks: list[str]
) -> None:
    found, said = suite.fitting(name, GIVEN)
    assert found == usable
    assert len(said) == len(remarks)
    for line, part in zip(said, remarks, strict=True):
        assert part in line


@pytest.mark.parametrize("name", workloads.__all__)
def test_every_workload_can_be_given_a_congestion_control_or_has_none(
    name: str,
) -> None:
    usable, _ = suite.fitting(name, {"congestion": "cubic"})
    common = cli.common_of(name)()
    assert common.congestions() == [] or usable == {"congestion": "cubic"}


def test_a_suite_says_before_it_measures_what_a_workload_leaves_out(
    monkeypatch: pytest.MonkeyPatch, console: io.StringIO, tmp_path: Path
) -> None:
    pretend(monkeypatch, "", tmp_path / "run.json")
    assert suite.command("bucket,small", peers="penstock", congestion="cubic,bbr") == 0
    before, _, _ = console.getvalue().partition("1 KiB")
    assert "note: bucket has no --peers\n" in before
    assert "note: bucket has no --congestion\n" in before
    assert "note: small compares no congestion controls: measured with cubic" in before


@pytest.mark.parametrize(
    ("code", "log", "reason"),
    [
        (2, "perf: error: no wrk\nanywhere\n", "no wrk anywhere"),
        (1, "Traceback\n  File x\nValueError: y\n", "ValueError: y"),
        (-9, "", "ended by SIGKILL"),
        (-15, "perf: error: late\n", "ended by SIGTERM late"),
        (3, "", "ended with exit code 3"),
        (2, "perf: error: " + "x" * 9999, "x" * 500),
    ],
)
def test_a_failure_is_one_line_of_the_workloads_own_words(
    code: int, log: str, reason: str
) -> None:
    assert suite.reason(code, log) == reason


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    page = io.StringIO()
    monkeypatch.setattr(suite, "console", Console(file=page, width=120))
    return page


def pretend(
    monkeypatch: pytest.MonkeyPatch, failing: str, json_path: Path
) -> list[int]:
    """Replaces measuring; returns how many results were saved before each workload."""
    saved: list[int] = []

    def measure(name: str, options: list[str], show: Steps) -> Result:
        exists = json_path.exists()
        saved.append(len(json.loads(json_path.read_text())["results"]) if exists else 0)
        if name in failing:
            raise PerfError("no descriptors")
        found = measured({"penstock": [1.0]})
        found.workload = name
        return found

    monkeypatch.setattr(suite, "measure", measure)
    return saved


def test_a_workload_that_fails_does_not_end_the_suite_and_is_named(
    monkeypatch: pytest.MonkeyPatch, console: io.StringIO, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    saved = pretend(monkeypatch, "idle", path)
    found = suite.run({"small": [], "idle": [], "large": []}, path)
    assert [result.workload for result in found.results] == ["small", "large"]
    [failure] = found.failures
    assert (failure.workload, failure.reason) == ("idle", "no descriptors")
    assert saved == [0, 1, 1]  # so an interrupted suite has lost one workload
    assert "1 KiB" in console.getvalue()


def test_the_exit_code_of_a_suite_with_a_failure_is_2(
    monkeypatch: pytest.MonkeyPatch, console: io.StringIO, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    pretend(monkeypatch, "idle", path)
    assert suite.command("small,idle", json=path) == 2
    written = json.loads(path.read_text())
    assert written["suite"] == "suite"
    assert written["failures"] == [{"workload": "idle", "reason": "no descriptors"}]
    assert "idle: not measured: no descriptors" in console.getvalue()
    assert suite.command("small", quick=True, json=path) == 0
    assert json.loads(path.read_text())["suite"] == "suite, quick"


def test_a_suite_in_which_all_fail_is_an_error_with_the_first_reason(
    monkeypatch: pytest.MonkeyPatch, console: io.StringIO, tmp_path: Path
) -> None:
    pretend(monkeypatch, "small large", tmp_path / "run.json")
    with pytest.raises(PerfError, match="small: no descriptors"):
        suite.run({"small": [], "large": []}, None)


def test_a_workload_that_cannot_run_is_a_failure_with_its_own_reason() -> None:
    with pytest.raises(PerfError, match="--rounds"):
        suite.measure("write", ["--rounds", "many"], lambda *_: None)


def test_a_workload_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "WORKLOAD_SECONDS_MAX", 0.0)
    with pytest.raises(PerfError, match="not done within 0 s"):
        suite.measure("write", ["--rounds", "1000000"], lambda *_: None)


def test_a_workload_says_to_its_suite_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "steps"
    assert progress.steps_of(path) is None
    monkeypatch.setenv(progress.STEPS_FILE, str(path))
    with progress.progress(Console(file=io.StringIO()), "small", 6) as advance:
        advance(0, "round 1,\ta\ncase")
        assert progress.steps_of(path) == (0, 6, "round 1, a case")
        advance(2, "next")
        assert progress.steps_of(path) == (2, 6, "next")


def test_a_log_gets_a_line_now_and_then_and_its_tables_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.progress(Console(file=io.StringIO()), "small", 9) as advance:
        for step in range(9):
            now[0] = step * 10.0
            advance(0, f"round {step}")
            advance(1, "")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "small: 3/9, round 3\nsmall: 6/9, round 6\n"


@pytest.mark.parametrize("width", [30, 50, 79, 80, 120])
def test_the_bar_stays_on_one_line_and_keeps_its_numbers(width: int) -> None:
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=True, color_system=None)
    with progress.progress(console, "latency", 90) as advance:
        advance(34, "round 3, half of its own saturation, lighttpd " * 3)
    shown = [line for line in page.getvalue().splitlines() if "latency" in line]
    assert "34/90" in shown[-1]


def perf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perf", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.slow
def test_a_suite_is_measured_shown_and_compared(tmp_path: Path) -> None:
    pytest.importorskip("perf.load._blocks", reason="the load is not compiled")
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    pages = [tmp_path / name for name in ("a.html", "b.html", "c.html")]
    done = perf(
        *("suite", "write", "--rounds", "3"),
        *("--json", str(new), "--html", str(pages[0])),
    )
    assert done.returncode == 0, done.stderr
    assert "penstock" not in done.stderr
    again = perf("show", str(new), "--html", str(pages[1]))
    assert again.returncode == 0, again.stderr
    assert pages[0].read_text() == pages[1].read_text()
    assert perf("compare", str(new), str(new)).returncode == 0

    content = json.loads(new.read_text())
    for sample in content["results"][0]["samples"]:
        if sample["server"] == "1 splice":
            sample["values"]["ms"] /= 1000
    old.write_text(json.dumps(content))
    worse = perf(
        *("compare", str(old), str(new), "--html", str(pages[2])),
        *("--json", str(tmp_path / "compared.json")),
    )
    assert worse.returncode == 1, worse.stderr
    assert worse.stdout.splitlines()[-1].startswith("write: ")
    assert "0 worse" not in worse.stdout.splitlines()[-1]
    assert "Compared with an older result" in pages[2].read_text()
    compared = json.loads((tmp_path / "compared.json").read_text())["comparison"]
    assert compared["regressed"] is True
    assert perf("compare", str(new), str(old)).returncode == 0


def test_a_baseline_of_another_workload_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.json"
    record.write_json(record.Record([measured({"penstock": [1.0]})]), path)
    done = perf("write", "--rounds", "1", "--compare", str(path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{path}: is about small, not about write" in line
    assert done.stdout == ""
