"""A port of one's own loopback device that leads to a server inside the lab.

For what is not measured, such as its admin API: any program can use it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from socket import socket

import trio

CHUNK_BYTES = 65_536
START_SECONDS = 10.0
_Opened = tuple[int, Callable[[], None]]


@contextmanager
def door(open_inside: Callable[[], socket], host: str, port: int) -> Iterator[int]:
    """Carry connections to ``host`` and ``port`` until the block ends.

    Args:
        open_inside: gives a new TCP socket that can reach it.
        host: as it is called there.
        port: likewise.

    Yields:
        The port on 127.0.0.1.
    """
    ready: SimpleQueue[_Opened] = SimpleQueue()

    async def carry(outside: trio.SocketStream) -> None:
        inner = trio.socket.from_stdlib_socket(open_inside())
        with inner:
            await inner.connect((host, port))
            inside = trio.SocketStream(inner)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_copy, outside, inside)
                nursery.start_soon(_copy, inside, outside)

    async def answer(outside: trio.SocketStream) -> None:
        try:
            await carry(outside)
        except* (OSError, trio.BrokenResourceError):
            pass  # one side went away, and so does the other

    async def main() -> None:
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            cancel = nursery.cancel_scope.cancel
            bound: int = listeners[0].socket.getsockname()[1]
            ready.put((bound, lambda: token.run_sync_soon(cancel)))
            await trio.serve_listeners(answer, listeners)

    thread = threading.Thread(target=trio.run, args=(main,), name="door of the lab")
    thread.start()
    bound, close = ready.get(timeout=START_SECONDS)
    try:
        yield bound
    finally:
        close()
        thread.join()


async def _copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
    while data := await source.receive_some(CHUNK_BYTES):
        await target.send_all(data)
    await target.send_eof()
