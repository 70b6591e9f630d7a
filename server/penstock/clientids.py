"""The names of clients and groups: what is accepted, and which spellings mean one."""

import re
from ipaddress import IPv6Address, IPv6Network, ip_network

MAX_CLIENT_ID_BYTES = 64  # the engine's own bound; a test holds them together
# Label value of the metrics for all clients beyond the top ones. A client of this
# name would make its series ambiguous.
OTHER_CLIENTS = "other"
_HOST_PREFIX_V6 = 64
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_HEX_GROUPS = re.compile(r"[0-9a-fA-F:.]+")
_GROUPS_V6 = 8


def check_client_id(client_id: str) -> str:
    """``client_id`` itself.

    Raises:
        ValueError: empty, too long, unprintable or reserved.
    """
    _check_name(client_id, "a client id")
    if client_id == OTHER_CLIENTS:
        raise ValueError(f"{OTHER_CLIENTS!r} is reserved for the metrics")
    _check_address(client_id)
    return client_id


def check_group_name(name: str) -> str:
    """``name`` itself.

    Raises:
        ValueError: empty, too long or unprintable.
    """
    _check_name(name, "the name of a group")
    return name


def _check_name(name: str, what: str) -> None:
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_CLIENT_ID_BYTES:
        raise ValueError(
            f"{what} has 1 to {MAX_CLIENT_ID_BYTES} bytes of UTF-8, not {size}"
        )
    if not name.isprintable():
        raise ValueError(f"{what} has printable characters only")


def _is_like_address(host: str) -> bool:
    """Not every name of hexadecimal digits and colons: a MAC address is one, too."""
    if _DOTTED.fullmatch(host):
        return True
    colons = "::" in host or host.count(":") == _GROUPS_V6 - 1
    return colons and _HEX_GROUPS.fullmatch(host) is not None


def _check_address(client_id: str) -> None:
    """Refuse what looks like an address and is none that a client can have."""
    host, slash, prefix = client_id.partition("/")
    if not _is_like_address(host) or (slash and not prefix.isdecimal()):
        return
    try:
        network = ip_network(client_id, strict=False)
    except ValueError:
        raise ValueError(f"{client_id!r} looks like an address, and is none") from None
    if slash and (network.version, network.prefixlen) != (6, _HOST_PREFIX_V6):
        raise ValueError(
            f"{client_id!r} is no client: an IPv4 address is one, and the /64 of an "
            "IPv6 address"
        )


def canonical_client_id(client_id: str) -> str:
    """Equal for all spellings of one client: an IPv6 address stands for its /64."""
    if ":" not in client_id:
        return client_id  # nothing that has a second spelling; most names are
    try:
        network = f"{IPv6Address(client_id)}/{_HOST_PREFIX_V6}"
    except ValueError:
        network = client_id
    try:
        parsed = IPv6Network(network, strict=False)
    except ValueError:
        return client_id
    return str(parsed) if parsed.prefixlen == _HOST_PREFIX_V6 else client_id
