"""``shaping.pace_sockets``, seen on the server's own socket (pidfd_getfd(2))."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http.test_shaping import near
from tests.http.test_tree import ask
from tests.serving import Client, Server, request

MB = 10**6
US = "127.0.0.1"
SYS_PIDFD_GETFD = 438  # on every architecture; Python has no name for it
SO_MAX_PACING_RATE = 47
NO_PACE = (1 << 64) - 1


def duplicate(pidfd: int, fd: int) -> int:
    """A descriptor of our own for an open file of another process; -1: it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours = int(libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0))
    error = ctypes.get_errno()
    if ours < 0 and error != errno.EBADF:
        pytest.skip(f"files of a server can not be looked at: {os.strerror(error)}")
    return ours


def sockets(pid: int) -> Iterator[socket.socket]:
    """The open sockets of another process, one after the other."""
    pidfd = os.pidfd_open(pid)
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not str(file.readlink()).startswith("socket:"):
                    continue
                ours = duplicate(pidfd, int(file.name))
                if ours >= 0:
                    yield socket.socket(fileno=ours)
    finally:
        os.close(pidfd)


def peer(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:  # a listener
        return None


@contextlib.contextmanager
def accepted(server: Server, client: Client) -> Iterator[socket.socket]:
    """The socket that the server accepted for ``client``."""
    us = client.sock.getsockname()
    with contextlib.closing(sockets(server.pid)) as found:
        for sock in found:
            with sock:
                if peer(sock) == us:
                    yield sock
                    return
    raise AssertionError("the server has no socket for this client")


def pace_bps(sock: socket.socket) -> int:
    value = sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 8)
    return int(struct.unpack("=Q", value)[0])


def paces(client: Client, sock: socket.socket, n_bytes: int) -> list[int]:
    """What the socket's pace was, each time that something came."""
    seen = []
    while n_bytes > 0:
        n_bytes -= len(client.sock.recv(65536))
        seen.append(pace_bps(sock))
    return seen


@pytest.fixture
def paced(start: Callable[..., Server], config: Callable[[str], str]) -> Server:
    text = '[shaping]\nclient_rate = "1MB/s"\npace_sockets = true\n'
    return start("--config", config(text))


def test_a_limited_clients_socket_is_paced_a_quarter_above_its_rate(
    paced: Server,
) -> None:
    with paced.client() as client:
        client.send(request("/big"))
        client.read_head()
        with accepted(paced, client) as sock:
            paces(client, sock, MB // 2)
            seen = set(paces(client, sock, MB))
    assert all(near(pace, 1.25 * MB, 0.05) for pace in seen), seen


def test_the_pace_goes_with_the_limit(paced: Server) -> None:
    with paced.client() as client:
        client.send(request("/big"))
        client.read_head()
        with accepted(paced, client) as sock:
            assert paces(client, sock, MB // 2)[-1] != NO_PACE
            ask(paced, "PUT", f"/clients/{US}", {"rate_bps": None})
            assert paces(client, sock, 6 * MB)[-1] == NO_PACE


def test_without_the_setting_no_socket_is_paced(start: Callable[..., Server]) -> None:
    server = start("--client-rate", "1MB/s")
    with server.client() as client:
        client.send(request("/big"))
        client.read_head()
        with accepted(server, client) as sock:
            assert set(paces(client, sock, MB // 2)) == {NO_PACE}
