"""Hypercorn around the admin API, on a socket that is bound already."""

import socket
from functools import partial
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config

GRACEFUL_TIMEOUT_S = 1.0  # for admin requests in flight when the server ends
# Well below any scrape interval, so that a scrape never meets a closing connection; and
# hypercorn keeps the descriptor of a peer that has gone for so long.
KEEP_ALIVE_TIMEOUT_S = 2
READ_TIMEOUT_S = 30
HEAD_BYTES_MAX = 16384


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
    config.read_timeout = READ_TIMEOUT_S
    config.h11_max_incomplete_size = HEAD_BYTES_MAX
    config.bind = [f"fd://{listener.detach()}"]
    serve = partial(hypercorn.trio.serve, shutdown_trigger=stop.wait, mode="asgi")
    await serve(app, config, task_status=task_status)
