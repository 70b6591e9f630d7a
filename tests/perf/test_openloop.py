"""The open loop against a small server that stalls, closes or refuses on purpose."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

pytest.importorskip("perf.load._openloop", reason="the harness is not compiled")

from perf.errors import PerfError
from perf.load import openloop
from perf.workloads import latency

BODY = b"x" * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + BODY


class Handler(BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while self.request.recv(4096):
                answer = self.server.answer()
                self.request.sendall(answer)
                if not answer:
                    return


@contextmanager
def serving(answer: Callable[[int], bytes]) -> Iterator[int]:
    """``answer`` gets how many requests came before; empty closes the connection."""
    count = iter(range(10**9))
    lock = threading.Lock()

    class Server(ThreadingTCPServer):
        daemon_threads = True

        def answer(self) -> bytes:
            with lock:
                return answer(next(count))

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def order(port: int, **changes: object) -> openloop.Order:
    values = {
        "port": port,
        "path": "f",
        "greeting_path": "f",
        "connections": 1,
        "requests": 200,
        "rate_per_second": 1000.0,
    }
    return openloop.Order(**{**values, **changes})


def stalls_once(number: int) -> bytes:
    if number == 100:
        time.sleep(0.1)
    return OK


@pytest.mark.alone
@pytest.mark.parametrize("spin", [False, True])
def test_a_stall_counts_for_every_request_that_was_due_meanwhile(spin: bool) -> None:
    """At 1,000 a second a tenth of a second delays a hundred; a closed loop would
    see one slow request in 200."""
    with serving(stalls_once) as port:
        done = openloop.load(order(port, spin=spin))
    assert done.latency_ns.maximum >= 100e6
    assert done.mean_ns >= 15e6
    # Those who found no connection waited for the server, not for the generator.
    assert done.lateness_ns.p50 < 20e6


def test_the_schedule_is_kept_however_fast_the_answers_come() -> None:
    with serving(lambda _: OK) as port:
        done = openloop.load(order(port, requests=100))
    assert done.seconds >= 0.099


def test_without_a_rate_all_are_due_at_once() -> None:
    with serving(lambda _: OK) as port:
        done = openloop.load(
            order(port, connections=8, requests=8, rate_per_second=None)
        )
    assert done.latency_ns.maximum <= done.seconds * 1e9


def test_a_body_that_comes_in_pieces_is_counted_to_its_end() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000
    with serving(lambda _: big) as port:
        done = openloop.load(order(port, requests=20))
    assert done.latency_ns.p50 > 0


@pytest.mark.parametrize(
    ("late", "message"),
    [
        (b"", "closed a connection"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "else than 200"),
        (OK + b"z", "more than the answer"),
    ],
)
def test_a_failure_ends_the_load_with_its_reason(late: bytes, message: str) -> None:
    def answer(number: int) -> bytes:
        return OK if number < 50 else late

    with serving(answer) as port, pytest.raises(PerfError, match=message):
        openloop.load(order(port))


def test_a_server_that_never_answers_again_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openloop, "STALL_SECONDS", 0.2)

    def answer(number: int) -> bytes:
        if number == 50:
            time.sleep(1)
        return OK

    with serving(answer) as port, pytest.raises(PerfError, match="for too long"):
        openloop.load(order(port))


def test_a_failed_load_is_told_by_the_process_that_ran_it() -> None:
    with (
        serving(lambda _: b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as port,
        pytest.raises(PerfError, match="404"),
    ):
        openloop.run(order(port), {0})


def run(lateness: float, latency_: float) -> openloop.Run:
    late = openloop.Quantiles(lateness, lateness, lateness, lateness)
    took = openloop.Quantiles(latency_, latency_, latency_, latency_)
    return openloop.Run(took, latency_, late, 1.0, 0.5)


def test_a_generator_that_was_late_itself_says_so() -> None:
    assert latency.limited_by(run(9.0, 100.0)) == "neither"
    assert latency.limited_by(run(11.0, 100.0)) == "client"
