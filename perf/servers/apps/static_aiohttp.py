"""aiohttp on a folder: ``python -m … ROOT PORT PROCESSES asyncio|uvloop``."""

import multiprocessing
import signal
import sys

import uvloop
from aiohttp import web

BACKLOG = 16384
CHUNK_BYTES = 1 << 20  # where it does not send by sendfile
KEEP_ALIVE_SECONDS = 3600.0


def serve(root: str, port: int, loop: str) -> None:
    """Serve until SIGTERM; a further process may listen on the same port."""
    app = web.Application()
    app.router.add_static("/", root, chunk_size=CHUNK_BYTES)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        reuse_port=True,
        backlog=BACKLOG,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop() if loop == "uvloop" else None,
    )


def main() -> None:
    root, port, processes, loop = sys.argv[1:]
    others = [
        multiprocessing.Process(target=serve, args=(root, int(port), loop))
        for _ in range(int(processes) - 1)
    ]
    for other in others:
        other.start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(root, int(port), loop)
    finally:
        for other in others:
            other.terminate()


if __name__ == "__main__":
    main()
