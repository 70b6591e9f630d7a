"""The two ends of the lab: network namespaces with a TUN device each.

Made by the relay's process for itself; others enter by way of its descriptors. Nothing
has a name outside, so labs do not meet, and nothing is left when the process ends.

A TUN device without IFF_VNET_HDR offloads nothing: the kernel cuts what it sends into
packets of the MTU and completes their checksums before the relay reads them.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from perf.errors import PerfError
from perf.namespace import run_ip, set_own, unshare

SERVER_HOST = "198.18.0.1"  # of the block that RFC 2544 has for tests
CLIENT_NETWORK, CLIENT_HOST = "198.19.0.0/16", "198.19.0.1"
"""The client's end answers to all of these, so that there can be many clients."""
DEVICE = "lab0"
MTU_BYTES = 1500
# In packets. The default of 500 is less than TCP has under way at 100 Mb/s and 100 ms,
# and what the device drops the relay would not know of.
DEVICE_QUEUE = 10_000
_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
# What is its own, what is beyond the device, and as whom it goes there.
_ROUTES = {
    "server": (SERVER_HOST, CLIENT_NETWORK, SERVER_HOST),
    "client": (CLIENT_NETWORK, SERVER_HOST, CLIENT_HOST),
}


@dataclass(frozen=True, slots=True)
class End:
    """Descriptors that last as long as the process: of the namespace and the device."""

    namespace_fd: int
    tun_fd: int  # does not block


def make(name: str, congestion: str, ecn: int) -> End:
    """Leave for a new namespace with a device, and stay there.

    Args:
        name: ``"server"`` or ``"client"``.
        congestion: what every connection over the device uses. By the route, since the
            namespace's setting takes only what the machine's default allows.
        ecn: net.ipv4.tcp_ecn; 1: connections ask for it.

    Raises:
        PerfError: it is not permitted here, or something is missing; says what.
    """
    try:
        unshare()
        namespace_fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        tun_fd = _open_tun()
        _settle(name, congestion, ecn)
    except FileNotFoundError as error:
        raise PerfError(f"{error.filename} is missing") from None
    except OSError as error:
        reason = f"{error.strerror}: {error.filename or 'a network namespace'}"
        raise PerfError(reason) from None
    except subprocess.CalledProcessError as error:
        raise PerfError(f"ip failed: {str(error.stderr).strip()}") from None
    return End(namespace_fd, tun_fd)


def enter(end: End) -> None:
    """Move this process there; the sockets it opens from now on belong there.

    Raises:
        OSError: that is not permitted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(end.namespace_fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def open_socket(end: End, kind: int) -> socket.socket:
    """An unbound IPv4 socket of ``kind`` (SOCK_STREAM) in that namespace."""
    enter(end)
    return socket.socket(socket.AF_INET, kind)


def _open_tun() -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, request)
    except OSError as error:
        os.close(fd)
        error.filename = "/dev/net/tun"
        raise
    return fd


def _settle(name: str, congestion: str, ecn: int) -> None:
    set_own("net/ipv4/tcp_ecn", str(ecn))
    # What one connection learnt must not help or hinder the next one.
    set_own("net/ipv4/tcp_no_metrics_save", "1")
    _without_ipv6()
    mtu, queue = str(MTU_BYTES), str(DEVICE_QUEUE)
    run_ip("link", "set", "lo", "up")
    run_ip("link", "set", DEVICE, "mtu", mtu, "txqueuelen", queue, "up")
    own, beyond, source = _ROUTES[name]
    run_ip("route", "add", "local", own, "dev", "lo")
    way = ("route", "add", beyond, "dev", DEVICE, "src", source)
    run_ip(*way, "congctl", congestion)


def _without_ipv6() -> None:
    """Its solicitations would be packets that nobody sent."""
    for which in ("all", "default"):
        path = Path("/proc/sys/net/ipv6/conf", which, "disable_ipv6")
        if path.exists():
            path.write_text("1")
