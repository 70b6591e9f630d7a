import pytest

from perf.errors import PerfError
from perf.load import wrk

SUMMARY = """\
Running 3s test @ http://127.0.0.1:8000/1024.bin
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   517.31us  134.99us   4.14ms   86.78%
    Req/Sec   123.45k     9.12k   139.00k    70.00%
  368421 requests in {time}, 450.12MB read
Requests/sec: 122807.00
"""


@pytest.mark.parametrize(
    ("text", "seconds"), [("3.00s", 3.0), ("500.00ms", 0.5), ("1.50m", 90.0)]
)
def test_summary_is_read_in_every_unit_of_time(text: str, seconds: float) -> None:
    done = wrk.parse(SUMMARY.format(time=text), cpu_ns=7)
    assert done == wrk.WrkRun(requests=368421, seconds=seconds, cpu_ns=7)


@pytest.mark.parametrize(
    "line",
    [
        "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        "  Non-2xx or 3xx responses: 12\n",
    ],
)
def test_a_run_with_failures_gives_no_figures(line: str) -> None:
    with pytest.raises(PerfError, match="wrk saw failures"):
        wrk.parse(SUMMARY.format(time="3.00s") + line, cpu_ns=0)


def test_output_that_is_no_summary_is_shown() -> None:
    with pytest.raises(PerfError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1", cpu_ns=0)
