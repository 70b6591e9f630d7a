"""Socket addresses as people write them: ``127.0.0.1:8000``, ``[::1]:8000``."""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

_ADDRESS = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})")
_PORT_MAX = 65535
_EXAMPLES = "write HOST:PORT, like 127.0.0.1:8000, 0.0.0.0:80 or [::1]:8000"


@dataclass(frozen=True)
class Address:
    """Where a socket listens. Port 0 lets the kernel pick one."""

    ip: IPv4Address | IPv6Address
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.ip.version == 4 else socket.AF_INET6

    @property
    def is_loopback(self) -> bool:
        return self.ip.is_loopback

    def with_port(self, port: int) -> "Address":
        return Address(self.ip, port)

    def __str__(self) -> str:
        host = str(self.ip) if self.ip.version == 4 else f"[{self.ip}]"
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self}"


def parse_address(text: str) -> Address:
    """``HOST:PORT``; HOST is an IP address, or ``localhost`` for 127.0.0.1.

    Other names are refused: they can mean several addresses, and change.

    Raises:
        ValueError: not an address; the message shows valid ones.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not understood; {_EXAMPLES}")
    bracketed, plain, port = match.groups()
    if int(port) > _PORT_MAX:
        raise ValueError(f"{text!r}: ports end at {_PORT_MAX}")
    return Address(_parse_host(bracketed, plain, text), int(port))


def _parse_host(
    bracketed: str | None, plain: str | None, text: str
) -> IPv4Address | IPv6Address:
    host = "127.0.0.1" if plain == "localhost" else bracketed or plain or ""
    try:
        ip = ip_address(host)
    except ValueError:
        raise ValueError(f"{text!r} has no IP address; {_EXAMPLES}") from None
    if (ip.version == 6) != (bracketed is not None):
        raise ValueError(f"{text!r}: only IPv6 has brackets; {_EXAMPLES}")
    return ip
