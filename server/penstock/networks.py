"""IP networks as people write them: ``10.0.0.0/8``, ``2001:db8::/32``."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
NETWORK_EXAMPLES = "write it like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
_MAPPED = IPv6Network("::ffff:0:0/96")  # v4-mapped addresses, RFC 4291 section 2.5.5.2


def parse_network(text: str) -> Network:
    """``ADDRESS/PREFIX``, or an address alone for the network of it only. A v4-mapped
    network is the IPv4 network that it means.

    Raises:
        ValueError: not a network; the message shows valid ones.
    """
    host, slash, prefix = text.partition("/")
    network = _around(text) if prefix.isdecimal() or not slash else None
    if network is None or "%" in text:
        raise ValueError(f"{text!r} is not a network; {NETWORK_EXAMPLES}")
    if network.network_address != ip_address(host):
        raise ValueError(
            f"{text!r} has bits behind its prefix; the network is {network}"
        )
    return _plain(network)


def _around(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _plain(network: Network) -> Network:
    if network.version == 4 or not network.subnet_of(_MAPPED):
        return network
    v4 = int(network.network_address) & 0xFFFF_FFFF
    return IPv4Network((v4, network.prefixlen - _MAPPED.prefixlen))


def wide(network: Network) -> tuple[bytes, int]:
    """As the engine takes it: 16 bytes, v4 as v4-mapped, and a prefix of 128 bits."""
    if network.version == 6:
        return network.network_address.packed, network.prefixlen
    mapped = _MAPPED.network_address.packed[:12]
    return (
        mapped + network.network_address.packed,
        _MAPPED.prefixlen + network.prefixlen,
    )


def listed_twice(networks: Iterable[Network]) -> Network | None:
    """The first that equals an earlier one. Networks in each other are no mistake: the
    longest prefix wins."""
    seen = set()
    for network in networks:
        if network in seen:
            return network
        seen.add(network)
    return None
