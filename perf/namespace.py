"""A private network namespace in which the congestion control can be chosen.

nginx and lighttpd have no option for it, and the machine's default must not be
touched. In a namespace of its own the harness (and all it starts) has a loopback
device nobody else uses, and the route to it carries ``congctl``, which every
connection over it takes. The namespace's sysctl would not do: outside the first
namespace it only accepts algorithms that the machine's own default allows.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_NAME_BYTES = 16  # TCP_CA_NAME_MAX
_ROUTES = ("127.0.0.0/8", "127.0.0.1")  # both are made with the device, one by one


def system_congestion_control() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def effective_congestion_control() -> str:
    """What a connection accepted on 127.0.0.1 really uses, from the socket itself."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            names = {_congestion_of(accepted), _congestion_of(client)}
    return "/".join(sorted(names))


def _congestion_of(sock: socket.socket) -> str:
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_BYTES)
    return raw.rstrip(b"\0").decode()


def unshare() -> None:
    """Leave for a new network namespace; the caller must have one thread only.

    Raises:
        OSError: neither root nor a user namespace is allowed to.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    # As oneself, not as root: peers that try to drop root's rights would fail.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")


def enter(congestions: Sequence[str]) -> str | None:
    """Move this process into its own namespace, with the first of ``congestions``
    on loopback; the others are tried, so that ``pin`` will not fail later.

    Returns:
        None on success, else why not: then nothing is pinned, and the caller
        reports ``effective_congestion_control()`` with its figures.
    """
    try:
        unshare()
        run_ip("link", "set", "lo", "up")
        # What one server's connections learnt must not help or hinder the next one's.
        set_own("net/ipv4/tcp_no_metrics_save", "1")
        for congestion in reversed(congestions):
            pin(congestion)
            found = effective_congestion_control()
            if congestion not in ("system", found):
                return f"connections use {found} although {congestion} was set"
    except FileNotFoundError:
        return "the ip command (Debian package iproute2) is not installed"
    except (OSError, subprocess.CalledProcessError) as error:
        return _reason(error)
    return None


def pin(congestion: str) -> None:
    """Let all connections from now on use ``congestion``; ``system`` pins nothing.

    Only after a successful ``enter``, which tried it.
    """
    attribute = () if congestion == "system" else ("congctl", congestion)
    for target in _ROUTES:
        run_ip(
            *("route", "replace", "local", target, "dev", "lo"),
            *("table", "local", "proto", "kernel", "scope", "host"),
            *("src", "127.0.0.1", *attribute),
        )


def set_own(name: str, value: str) -> None:
    """Write a setting under /proc/sys that every network namespace has for itself.

    Raises:
        OSError: the kernel has no such setting, or it is read-only here.
    """
    Path("/proc/sys", name).write_text(value)


def congestion_of_server(port: int) -> str:
    """What the open connections of the server on ``port`` use, as ss(8) sees it.

    At least one must be open; its accepted end is looked at, which sends the
    bodies. Without ss it is what a connection of our own uses.
    """
    program = _iproute("ss")
    if program is None:
        return effective_congestion_control()
    done = subprocess.run(
        [program, "-tinH", "state", "established", f"( sport = :{port} )"],
        check=True,
        capture_output=True,
        text=True,
    )
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text()
    return "/".join(sorted(set(known.split()) & set(done.stdout.split())))


def _iproute(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def run_ip(*arguments: str) -> None:
    """Run ip(8) in this process's own namespace.

    Raises:
        FileNotFoundError: it is not installed.
        subprocess.CalledProcessError: it failed; ``stderr`` says why.
    """
    # Ambient, because without root the capabilities end with execve(2).
    subprocess.run(
        [_iproute("ip") or "ip", *arguments],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=_keep_net_admin if os.geteuid() != 0 else None,
    )


_CAP_NET_ADMIN = 12
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522


def _keep_net_admin() -> None:
    """Carry CAP_NET_ADMIN of our own user namespace over the next execve(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    data[2] |= 1 << _CAP_NET_ADMIN  # inheritable, first 32 capabilities
    libc.capset(header, data)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_NET_ADMIN, 0, 0)


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return f"a network namespace is not permitted ({error.strerror})"
    return f"ip failed: {str(error.stderr).strip()}"
