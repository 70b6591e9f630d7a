import subprocess
import sys
from pathlib import Path

import pytest

from perf import corpus
from perf.bench import Usage
from perf.cli import numbers, servers
from perf.errors import PerfError
from perf.workloads.idle import rss_bytes


def perf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perf", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_numbers_are_read_from_a_list() -> None:
    assert numbers("sizes", "1024, 65536") == [1024, 65536]


@pytest.mark.parametrize("text", ["", "1,,2", "0", "-1", "1k"])
def test_what_is_not_a_list_of_positive_integers_is_refused(text: str) -> None:
    with pytest.raises(PerfError, match="--sizes"):
        numbers("sizes", text)


def test_an_unknown_peer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PerfError, match="'apache' is none of all, penstock, nginx"):
        servers("nginx,apache")


def test_a_mistake_is_one_line_and_exit_code_2() -> None:
    done = perf("small", "--peers", "apache")
    assert done.returncode == 2
    assert done.stderr.startswith("perf: error: --peers: 'apache'")
    assert "Traceback" not in done.stderr


def test_several_congestion_controls_are_refused_where_none_are_compared() -> None:
    done = perf("small", "--congestion", "cubic,bbr", "--peers", "nginx,penstock")
    assert done.returncode == 2
    assert "--congestion: small compares none" in done.stderr


def test_limit_measures_ten_seconds_on_all_cores_unless_told_otherwise() -> None:
    text = " ".join(perf("limit", "--help").stdout.split())
    assert "[default: 10]" in text
    assert "[default: all]" in text


@pytest.mark.parametrize(
    ("workload", "options"),
    [
        ("bucket", "peers load-cpu congestion"),
        ("write", "peers load-cpu congestion seconds"),
        ("pinning", "peers seconds"),
        ("limit", "peers"),
        ("idle", "seconds"),
    ],
)
def test_an_option_without_effect_is_refused(workload: str, options: str) -> None:
    shown = perf(workload, "--help").stdout
    assert "--rounds" in shown
    for option in options.split():
        assert f"--{option}" not in shown
    done = perf(workload, f"--{options.split(maxsplit=1)[0]}", "1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("perf: error: ")
    assert f"--{options.split(maxsplit=1)[0]}" in line
    assert "--help" in line


def test_corpus_file_has_exactly_its_size_and_is_made_once(tmp_path: Path) -> None:
    name = corpus.make(tmp_path, corpus.MIB + 1)
    path = tmp_path / name
    assert path.stat().st_size == corpus.MIB + 1
    before = path.stat().st_mtime_ns
    assert corpus.make(tmp_path, corpus.MIB + 1) == name
    assert path.stat().st_mtime_ns == before


def test_corpus_titles_are_whole_units_or_bytes() -> None:
    titles = [corpus.title(n) for n in (1, 1024, 1536, 100 * corpus.MIB)]
    assert titles == ["1 B", "1 KiB", "1536 B", "100 MiB"]


@pytest.mark.parametrize(
    ("server", "load", "core_idle", "limited_by"),
    [
        (0.99, 0.80, 0.20, "server"),
        (0.99, 0.99, 0.00, "server"),
        (0.70, 0.99, 0.01, "client"),
        (0.70, 0.60, 0.01, "client"),  # somebody else took the client's core
        (0.70, 0.60, 0.40, "neither"),
    ],
)
def test_who_limits_a_run(
    server: float, load: float, core_idle: float, limited_by: str
) -> None:
    usage = Usage(server_share=server, core_idle_share=core_idle)
    assert usage.limited_by(load) == limited_by


def test_rss_is_read_in_bytes() -> None:
    assert rss_bytes("1-2 ---p [rollup]\nRss:    12 kB\nPss: 3 kB\n") == 12288


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("latency", "--rate", "1,2"), "--rate: '1,2' is not one positive integer"),
        (("bucket", "--parked", "0"), "--parked: 0 is not a positive integer"),
        (("write", "--folder", "/no/such"), "--folder: /no/such is no folder"),
        (("pinning", "--connections", "x"), "--connections: 'x' is not a list"),
    ],
)
def test_wrong_options_of_workloads_are_one_line(
    words: tuple[str, ...], message: str
) -> None:
    done = perf(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"perf: error: {message}")
