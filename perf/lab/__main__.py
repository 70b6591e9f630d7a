"""The lab's own process: ``python -m perf.lab FD``, a socket on which it gets orders.

The first message says how the lab is to be, and the answer where its namespaces are,
or ``error``; what follows is for the relay. It ends when the other end of FD is closed,
and so with whoever started it.
"""

import gc
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from perf.errors import PerfError
from perf.lab import ends
from perf.lab.link import Link, Shape
from perf.lab.relay import ORDER_BYTES_MAX, Direction, Relay

PRIORITY = -10
_USER = Path("/proc/self/ns/user")


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    order = json.loads(control.recv(ORDER_BYTES_MAX))
    user = _USER.readlink()
    try:
        found = {
            name: ends.make(name, order["congestion"], order["ecn"])
            for name in ("server", "client")
        }
    except PerfError as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return 1
    answer: dict[str, Any] = {name: end.namespace_fd for name, end in found.items()}
    answer["own_user"] = _USER.readlink() != user
    control.send(json.dumps(answer).encode())
    _hurry()
    Relay(
        control,
        _directions(found, order),
        lambda end, kind: ends.open_socket(found[end], kind),
    ).run()
    return 0


def _hurry() -> None:
    """Packets that wait for us are delay of the network to those who measure it."""
    gc.disable()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def _directions(
    found: dict[str, ends.End], order: dict[str, Any]
) -> dict[str, Direction]:
    ways = {"down": ("server", "client"), "up": ("client", "server")}
    return {
        name: Direction(
            found[source].tun_fd,
            Link(Shape(**order[name]), f"{order['seed']} {name}"),
            found[target].tun_fd,
        )
        for name, (source, target) in ways.items()
    }


if __name__ == "__main__":
    sys.exit(main())
