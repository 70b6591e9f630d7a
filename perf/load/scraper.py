"""Prometheus' part: asks for the metrics by a schedule, in a thread of its own."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from perf.load.hold import exchange

_TIMEOUT_SECONDS = 10.0
SCRAPES_PER_CONNECTION = 500
"""The admin API ends a connection after a thousand requests."""
# What the admin API is asked for must come from this machine, and say so.
_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def scraping(port: int, per_second: float, cpu: int) -> Iterator[list[int]]:
    """Scrape the admin ``port`` while the block runs; how long each took, in
    nanoseconds from the request to the last byte, is complete afterwards.

    Raises:
        PerfError, OSError: a scrape failed.
    """
    took_ns: list[int] = []
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_scrape, port, per_second, cpu, stop, took_ns)
        try:
            yield took_ns
        finally:
            stop.set()
        future.result()


def _scrape(
    port: int, per_second: float, cpu: int, stop: Event, took_ns: list[int]
) -> None:
    """Over a connection that is kept, as Prometheus does. A scrape that is late is not
    made up for."""
    os.sched_setaffinity(0, {cpu})  # of this thread
    due = time.monotonic()
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS) as sock:
            for _ in range(SCRAPES_PER_CONNECTION):
                if stop.wait(max(due - time.monotonic(), 0)):
                    break
                began_ns = time.monotonic_ns()
                exchange(sock, _REQUEST)
                took_ns.append(time.monotonic_ns() - began_ns)
                due = max(due + 1 / per_second, time.monotonic())
