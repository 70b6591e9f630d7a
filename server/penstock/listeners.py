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
from penstock.sockets import BACKLOG_DEFAULT, SYSTEM_CONGESTION, SocketOptions

# Until the SYN-ACK was sent once more, after a second: who connects and says nothing is
# accepted then, and met by the timeouts.
_DEFER_ACCEPT_S = 1
_SO_BUSY_POLL = 46  # <asm-generic/socket.h>; Python has no name for it
_SYSCTL = Path("/proc/sys/net/ipv4")
_REMEDIES = {
    errno.EADDRINUSE: "the port is in use: stop its server or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EACCES: "not permitted: ports below net.ipv4.ip_unprivileged_port_start "
    "need CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: "this kernel has no IPv6",
}


def open_listeners(
    addresses: Sequence[Address],
    engines: int,
    options: Sequence[SocketOptions] | None = None,
) -> tuple[list[Address], list[list[socket.socket]]]:
    """Bind and listen on every address once per engine.

    Args:
        addresses: where to listen.
        engines: how many sockets each address gets.
        options: for each address; None: the defaults for all.

    Returns:
        The addresses with their real ports, and for each engine its sockets, one
        per address. The caller closes them.

    Raises:
        PenstockError: an address can not be had, or an option is not available.
            Nothing stays open then.
    """
    bound: list[Address] = []
    sockets: list[list[socket.socket]] = [[] for _ in range(engines)]
    with ExitStack() as undo:
        wanted = options or [SocketOptions.defaults()] * len(addresses)
        for address, how in zip(addresses, wanted, strict=True):
            fixed = _probe(address)
            for own in sockets:
                own.append(_listen(fixed, how, undo))
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
    listener.listen(BACKLOG_DEFAULT)
    return listener


def _probe(address: Address) -> Address:
    """Refuse a port that anybody uses.

    SO_REUSEPORT alone would join another penstock of the same user without a word.
    """
    with _bind(address, reuse_port=False):
        return address


def _listen(address: Address, how: SocketOptions, undo: ExitStack) -> socket.socket:
    listener = undo.enter_context(_bind(address, reuse_port=True))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(how.nodelay))
    if how.congestion != SYSTEM_CONGESTION:
        _set_congestion(listener, how.congestion)
    if how.notsent_lowat_bytes:
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, how.notsent_lowat_bytes
        )
    if how.defer_accept:
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_ACCEPT_S
        )
    if how.busy_poll_ns:
        _set_busy_poll(listener, how.busy_poll_ns)
    listener.listen(how.backlog)
    return listener


def _set_busy_poll(listener: socket.socket, poll_ns: int) -> None:
    """socket(7): more than net.core.busy_read needs CAP_NET_ADMIN."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_BUSY_POLL, -(-poll_ns // 1000))
    except OSError as error:
        raise PenstockError(
            f"busy_poll: {error.strerror}; it needs CAP_NET_ADMIN, or a "
            "net.core.busy_read that is as long"
        ) from None


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
