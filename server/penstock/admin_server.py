"""Hypercorn around the admin API, on a socket that is bound already."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config

GRACEFUL_TIMEOUT_S = 1.0  # for admin requests in flight when the server ends
# Well below any scrape interval, so that a scrape never meets a closing connection; and
# hypercorn keeps the descriptor of a peer that has gone for so long.
KEEP_ALIVE_TIMEOUT_S = 2
HEAD_BYTES_MAX = 16384
# Of an answer, unsent in the kernel: who reads slowly sees what is, not what was.
UNSENT_BYTES_MAX = 65536
# A peer that takes nothing for so long is cut, since hypercorn waits for ever.
STALLED_TIMEOUT_MS = 10_000


async def serve_admin(
    app: Any,
    listener: socket.socket,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop``; the listener belongs to this function from now on."""
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.include_server_header = False
    config.backlog = 128
    config.graceful_timeout = GRACEFUL_TIMEOUT_S
    config.keep_alive_timeout = KEEP_ALIVE_TIMEOUT_S
    # It would end streams of events, too. A head has the time of an idle connection,
    # and a body that of the guard.
    config.read_timeout = None
    config.h11_max_incomplete_size = HEAD_BYTES_MAX
    _bound_answers(listener)
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]
    serve = partial(hypercorn.trio.serve, shutdown_trigger=stop.wait, mode="asgi")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_those_who_stall, port, stop)
        await serve(app, config, task_status=task_status)
        nursery.cancel_scope.cancel()


def _bound_answers(listener: socket.socket) -> None:
    """tcp(7); accepted sockets inherit both."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_TIMEOUT_MS)


async def _cut_those_who_stall(port: int, stop: trio.Event) -> None:
    """Hypercorn's own deadline does not reach it while it sends."""
    await stop.wait()
    await trio.sleep(2 * GRACEFUL_TIMEOUT_S)
    for connection in _connections(port):
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _connections(port: int) -> Iterator[socket.socket]:
    """Duplicates of this process' sockets that are connected to its own ``port``."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if not stat.S_ISSOCK(entry.stat().st_mode):
                continue
            copy = socket.socket(fileno=os.dup(int(entry.name)))
            inet = copy.family in (socket.AF_INET, socket.AF_INET6)
            if inet and copy.getsockname()[1] == port:
                yield copy
            else:
                copy.close()
