"""The sink and the holder against a small server that answers what it is told."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from perf.errors import PerfError
from perf.load import hold, sink

BODY = b"x" * 100_000
FULL = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Answers(socketserver.ThreadingTCPServer):
    """Sends ``answer`` for every request; remembers the requests."""

    allow_reuse_address = True
    daemon_threads = True
    answer = FULL
    close_after_answer = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[bytes] = []


class Handler(socketserver.BaseRequestHandler):
    server: Answers

    def handle(self) -> None:
        with suppress(ConnectionError):  # loads drop what they need no more
            self._answer_all()

    def _answer_all(self) -> None:
        received = b""
        while piece := self.request.recv(4096):
            received += piece
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                self.server.requests.append(head)
                self.request.sendall(self.server.answer)
                if self.server.close_after_answer:
                    return


@contextmanager
def serving(answer: bytes = FULL, *, close: bool = False) -> Iterator[Answers]:
    with Answers() as server:
        server.answer, server.close_after_answer = answer, close
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def order(server: Answers, *, finish: bool) -> sink.SinkOrder:
    port = server.server_address[1]
    return sink.SinkOrder(port, ["f"], 3, 0.05, token="t", finish=finish)


def test_a_finishing_sink_counts_whole_responses_only() -> None:
    with serving() as server:
        done = sink.drain(order(server, finish=True))
    assert done.body_bytes == done.responses * len(BODY)
    assert done.responses >= 3
    assert done.responses == len(server.requests)


def test_a_sink_ends_after_whole_passes_over_its_paths() -> None:
    paths = [f"f{index}" for index in range(7)]
    with serving() as server:
        port = server.server_address[1]
        done = sink.drain(sink.SinkOrder(port, paths, 3, 0.0, first_bytes=True))
    asked = sorted(head.split()[1].decode() for head in server.requests)
    assert asked == [f"/{path}" for path in paths]
    assert done.responses == len(done.first_byte_ns) == 7
    assert all(latency > 0 for latency in done.first_byte_ns)


def test_a_sink_counts_the_bodies_of_chunks_only() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % len(BODY) + BODY + b"\r\n"
    with serving(head + 2 * chunk + b"0\r\n\r\n") as server:
        done = sink.drain(order(server, finish=True))
    assert done.body_bytes == done.responses * 2 * len(BODY)
    assert done.responses >= 3


def test_an_exact_sink_measures_exactly_the_interval() -> None:
    with serving() as server:
        done = sink.drain(order(server, finish=False))
    assert done.seconds == 0.05
    assert done.body_bytes > 0


def test_every_request_of_the_sink_carries_the_token() -> None:
    with serving() as server:
        sink.drain(order(server, finish=True))
    assert all(b"Authorization: Bearer t" in head for head in server.requests)


def test_a_body_cut_short_fails_the_sink() -> None:
    with (
        serving(FULL[:-1], close=True) as server,
        pytest.raises(PerfError, match="within a body"),
    ):
        sink.drain(order(server, finish=True))


def test_an_error_status_fails_the_sink() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with serving(answer) as server, pytest.raises(PerfError, match="503 Busy"):
        sink.drain(order(server, finish=True))


def test_held_connections_are_served_once_each_and_again_when_asked() -> None:
    with serving() as server, hold.held(server.server_address[1], "f") as held:
        held.grow(3)
        held.grow(5)
        assert (len(held), len(server.requests)) == (5, 5)
        held.exchange_again(0)
        assert len(server.requests) == 6


def test_a_connection_that_is_not_served_is_named() -> None:
    with (
        serving(FULL[:10], close=True) as server,
        hold.held(server.server_address[1], "f") as held,
        pytest.raises(PerfError, match="connection 1 was not served"),
    ):
        held.grow(2)


def test_held_connections_change_the_source_address_before_ports_run_out() -> None:
    per_address = hold.CONNECTIONS_PER_ADDRESS
    assert hold.source_address(per_address - 1) == "127.0.0.2"
    assert hold.source_address(per_address) == "127.0.0.3"
