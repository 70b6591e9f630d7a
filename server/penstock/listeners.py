"""Listening sockets: one per address and engine, all on one port by SO_REUSEPORT.

The kernel spreads new connections over the engines. Accepted sockets inherit
TCP_NODELAY and TCP_CONGESTION from their listener (Linux).
"""

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from penstock.addresses import Address
from penstock.errors import PenstockError
from penstock.settings import SYSTEM_CONGESTION

# Connections that wait for accept: a burst of one engine's clients while its loop is
# busy. The kernel cuts it to net.core.somaxconn, 4096 by default since Linux 5.4.
LISTEN_BACKLOG = 4096
_SYSCTL = Path("/proc/sys/net/ipv4")
_REMEDIES = {
    errno.EADDRINUSE: "the port is in use: stop its server or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EACCES: "not permitted: ports below net.ipv4.ip_unprivileged_port_start "
    "need CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: "this kernel has no IPv6",
}


def open_listeners(
    addresses: Sequence[Address], engines: int, congestion: str = SYSTEM_CONGESTION
) -> tuple[list[Address], list[list[socket.socket]]]:
    """Bind and listen on every address once per engine.

    Returns:
        The addresses with their real ports, and for each engine its sockets, one
        per address. The caller closes them.

    Raises:
        PenstockError: an address can not be had, or the congestion control is not
            available. Nothing stays open then.
    """
    bound: list[Address] = []
    sockets: list[list[socket.socket]] = [[] for _ in range(engines)]
    with ExitStack() as undo:
        for address in addresses:
            fixed = _probe(address)
            for own in sockets:
                own.append(_listen(fixed, congestion, undo))
                fixed = address.with_port(own[-1].getsockname()[1])
            bound.append(fixed)
        undo.pop_all()
    return bound, sockets


def open_single(address: Address) -> socket.socket:
    """One listening socket that shares its port with nobody.

    Raises:
        PenstockError: the address can not be had.
    """
    listener = _bind(address, reuse_port=False)
    listener.listen(LISTEN_BACKLOG)
    return listener


def _probe(address: Address) -> Address:
    """Refuse a port that anybody uses.

    SO_REUSEPORT alone would join another penstock of the same user without a word.
    """
    with _bind(address, reuse_port=False):
        return address


def _listen(address: Address, congestion: str, undo: ExitStack) -> socket.socket:
    listener = undo.enter_context(_bind(address, reuse_port=True))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if congestion != SYSTEM_CONGESTION:
        _set_congestion(listener, congestion)
    listener.listen(LISTEN_BACKLOG)
    return listener


def _bind(address: Address, *, reuse_port: bool) -> socket.socket:
    with ExitStack() as undo:
        try:
            s = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            undo.enter_context(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
            if address.family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((str(address.ip), address.port))
        except OSError as error:
            reason = _REMEDIES.get(error.errno or 0, error.strerror)
            raise PenstockError(f"can not listen on {address}: {reason}") from None
        undo.pop_all()
        return s


def _set_congestion(listener: socket.socket, name: str) -> None:
    """The kernel is asked, not only its lists: CAP_NET_ADMIN may use what others
    may not, and modules load on demand."""
    try:
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode("ascii")
        )
    except PermissionError:
        allowed = congestion_controls("allowed")
        raise PenstockError(
            f"congestion control {name!r} is not allowed to this user (allowed: "
            f"{', '.join(allowed)}); add it to net.ipv4.tcp_allowed_congestion_control"
        ) from None
    except OSError:
        available = congestion_controls("available")
        raise PenstockError(
            f"congestion control {name!r} is not in this kernel (available: "
            f"{', '.join(available)}); try `modprobe tcp_{name}`"
        ) from None


def congestion_controls(kind: str) -> list[str]:
    """The kernel's ``available`` or ``allowed`` ones; empty when it does not say."""
    try:
        return (_SYSCTL / f"tcp_{kind}_congestion_control").read_text().split()
    except OSError:
        return []
