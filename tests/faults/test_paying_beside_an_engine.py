"""Python and a real engine take from one client's bucket: one limit, and turns."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from penstock._engine import ClientTable, Engine
from penstock.events import EventLog
from penstock.limiter import Limiter
from penstock.sharing import Sharing
from penstock.steered import Steered
from tests.http.test_shaping import near
from tests.serving import request

MB = 10**6
CLIENT = "127.0.0.1"
CONNECTIONS = 4
WARM_S, MEASURED_S = 1.0, 4.0


@contextlib.contextmanager
def serving(root: Path, table: ClientTable) -> Iterator[int]:
    """An engine in this process; its port."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        engine = Engine(
            index=0,
            cpu=0,
            root_fd=folder,
            listen_fds=[listener.fileno()],
            clients=table,
            media_types={},
        )
        port = listener.getsockname()[1]
    os.close(folder)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield port
    finally:
        engine.stop(0)
        thread.join(10)
        assert not thread.is_alive()


async def download(port: int) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request("/big") * 20)
        async for _ in stream:
            pass


def total(table: ClientTable) -> int:
    row = table.find(CLIENT)
    assert row is not None
    return row.bytes_total


@pytest.mark.alone
@pytest.mark.parametrize("by", ["client", "server"])
async def test_one_limit_holds_for_both_and_neither_is_starved(
    root: Path, by: str
) -> None:
    rate = 8 * MB
    table = ClientTable(
        default_rate_bps=rate if by == "client" else 0,
        total_rate_bps=rate if by == "server" else 0,
    )
    limiter = Limiter(table)
    paid = 0

    async def count() -> None:
        nonlocal paid
        with limiter.context(CLIENT) as context:
            while True:
                await context.pay(50_000)
                paid += 50_000

    with serving(root, table) as port:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Sharing(table, Steered(EventLog())).run)
            for _ in range(CONNECTIONS):
                nursery.start_soon(download, port)
            nursery.start_soon(count)
            await trio.sleep(WARM_S)
            start, before, own = trio.current_time(), total(table), paid
            await trio.sleep(MEASURED_S)
            seconds = trio.current_time() - start
            moved, own = total(table) - before, paid - own
            nursery.cancel_scope.cancel()
    assert near(moved / seconds, rate, 0.03)
    assert 0.15 * moved < own < 0.85 * moved
    assert limiter.open == limiter.leaked_total == 0
