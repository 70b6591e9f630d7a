"""The workload of scrapes: who scrapes, and what is made of it."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perf.errors import PerfError
from perf.load.scraper import scraping
from perf.servers.base import Setup
from perf.servers.penstock import CONFIG_NAME, Penstock
from perf.workloads import scrape

CPU = min(os.sched_getaffinity(0))


class Metrics(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    code = 200
    asked: list[tuple[str, str]]
    peers: set[int]  # ports
    once: threading.Event
    enough: threading.Event

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        self.peers.add(self.client_address[1])
        self.once.set()
        if len(self.asked) >= 3:
            self.enough.set()
        self.send_response(self.code)
        body = b"x" * (100_000 if self.code == 200 else 1)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[tuple[int, type[Metrics]]]:
    own = {
        "asked": [],
        "peers": set(),
        "once": threading.Event(),
        "enough": threading.Event(),
    }
    handler = type("Handler", (Metrics,), own)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, handler
        server.shutdown()
        thread.join()


def test_a_connection_is_left_before_the_server_ends_it(
    admin: tuple[int, type[Metrics]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, handler = admin
    monkeypatch.setattr("perf.load.scraper.SCRAPES_PER_CONNECTION", 2)
    with scraping(port, 1000, CPU):
        assert handler.enough.wait(10)
    assert len(handler.peers) >= 2


def test_scrapes_go_on_until_the_block_ends_and_are_timed(
    admin: tuple[int, type[Metrics]],
) -> None:
    port, handler = admin
    affinity = os.sched_getaffinity(0)
    with scraping(port, 1000, CPU) as took_ns:
        assert handler.enough.wait(10)
    assert len(took_ns) == len(handler.asked) >= 3
    assert min(took_ns) > 0
    assert set(handler.asked) == {("/metrics", "127.0.0.1")}
    assert os.sched_getaffinity(0) == affinity


def scrape_until(handler: type[Metrics], port: int) -> None:
    """It was asked once."""
    with scraping(port, 1000, CPU):
        assert handler.once.wait(10)


def test_a_scrape_that_fails_fails_the_measurement(
    admin: tuple[int, type[Metrics]],
) -> None:
    port, handler = admin
    handler.code = 429
    with pytest.raises(PerfError, match=r"answered HTTP/1\.1 429"):
        scrape_until(handler, port)


def test_figures_are_of_the_scrapes_that_there_were() -> None:
    assert scrape.scrape_figures([]) == {}
    assert scrape.scrape_figures([3_000_000, 1_000_000, 8_000_000]) == {
        "scrapes": 3,
        "scrape_p50_ms": 3.0,
        "scrape_max_ms": 8.0,
    }


def test_the_row_that_is_compared_is_the_one_with_a_scrape_each_second() -> None:
    assert next(iter(scrape.ROWS.values())) == 1.0
    assert 0.0 in scrape.ROWS.values()


def test_how_many_clients_are_named_is_configured(tmp_path: Path) -> None:
    penstock = Penstock()
    if penstock.version() is None:
        pytest.skip("penstock is not built")
    penstock.launch(Setup(tmp_path, [0], top_clients=7), 8000, tmp_path)
    text = (tmp_path / CONFIG_NAME).read_text()
    assert text.endswith("[telemetry]\ntop_clients = 7\n")
    penstock.launch(Setup(tmp_path, [0]), 8000, tmp_path)
    assert "telemetry" not in (tmp_path / CONFIG_NAME).read_text()
