"""Networks: the longest prefix that holds an address, against Python's ipaddress."""

import ipaddress
from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAPPED = 0xFFFF << 32


def wide(address: Address) -> bytes:
    """16 bytes, v4 as v4-mapped."""
    mapped = MAPPED if address.version == 4 else 0
    return (int(address) | mapped).to_bytes(16, "big")


def table(networks: Mapping[Network, int]) -> _testing.NetworkTable:
    rows = [
        (wide(n.network_address), n.prefixlen + (96 if n.version == 4 else 0), value)
        for n, value in networks.items()
    ]
    return _testing.NetworkTable(sorted(rows))


def widened(net: Network) -> ipaddress.IPv6Network:
    """v4 as v4-mapped."""
    prefix = net.prefixlen + (96 if net.version == 4 else 0)
    return ipaddress.IPv6Network((wide(net.network_address), prefix))


def expected(networks: Mapping[Network, int], address: Address) -> int | None:
    """``::ffff:10.0.0.1`` is 10.0.0.1, however it is written."""
    at = ipaddress.IPv6Address(wide(address))
    holding = [n for n in networks if at in widened(n)]
    if not holding:
        return None
    return networks[max(holding, key=lambda n: widened(n).prefixlen)]


def network(text: str) -> Network:
    return ipaddress.ip_network(text)


def find(networks: Mapping[Network, int], address: str) -> int | None:
    found = table(networks).find(wide(ipaddress.ip_address(address)))
    assert found is None or isinstance(found, int)
    return found


NESTED = {
    network("10.0.0.0/8"): 1,
    network("10.1.0.0/16"): 2,
    network("10.1.2.3/32"): 3,
    network("10.255.0.0/16"): 4,
    network("2001:db8::/32"): 5,
    network("2001:db8:0:1::/64"): 6,
}


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("9.255.255.255", None),
        ("10.0.0.0", 1),
        ("10.0.255.255", 1),
        ("10.1.0.0", 2),
        ("10.1.2.2", 2),
        ("10.1.2.3", 3),
        ("10.1.2.4", 2),
        ("10.1.255.255", 2),
        ("10.2.0.0", 1),
        ("10.255.255.255", 4),
        ("11.0.0.0", None),
        ("::10.0.0.1", None),
        ("2001:db8::", 5),
        ("2001:db8:0:1:ffff::", 6),
        ("2001:db8:0:2::", 5),
        ("2001:db9::", None),
    ],
)
def test_the_longest_prefix_wins(address: str, value: int | None) -> None:
    assert find(NESTED, address) == value


def test_the_ends_of_all_addresses_can_be_in_a_network() -> None:
    everything = {network("::/0"): 1, network("ffff::/16"): 2, network("::/128"): 3}
    last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    assert find(everything, last) == 2
    assert find(everything, "::") == 3
    assert find(everything, "::1") == 1
    assert find({network(f"{last}/128"): 7}, last) == 7


def test_without_networks_nothing_is_found() -> None:
    assert find({}, "10.0.0.1") is None


addresses = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    # Few different ones, so that networks nest and touch.
    st.integers(0, 255).map(lambda n: ipaddress.IPv4Address(0x0A000000 + n)),
    st.integers(0, 255).map(lambda n: ipaddress.IPv6Address((0xFC << 120) + n)),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address = draw(addresses)
    bits = address.max_prefixlen
    prefix = draw(st.integers(0, bits) | st.integers(bits - 8, bits))
    if address.version == 6 and prefix < 96:
        prefix = max(prefix, 1)  # ::/0 would hold v4-mapped addresses, too
    return (
        ipaddress.ip_network((int(address), prefix), strict=False)
        if (address.version == 6)
        else ipaddress.IPv4Network((int(address), prefix), strict=False)
    )


def holds_mapped(net: Network) -> bool:
    return net.version == 6 and ipaddress.IPv6Address(MAPPED) in net


@given(st.lists(networks(), max_size=40), st.lists(addresses, max_size=20))
def test_every_table_agrees_with_ipaddress(
    nets: list[Network], others: list[Address]
) -> None:
    once = {widened(net): (net, i) for i, net in enumerate(nets)}
    chosen = {net: i for net, i in once.values() if not holds_mapped(net)}
    built = table(chosen)
    edges = [a for n in chosen for a in (n.network_address, n.broadcast_address)]
    near = [
        type(a)(number)
        for a in edges
        for number in (int(a) - 1, int(a) + 1)
        if 0 <= number < 1 << a.max_prefixlen
    ]
    mapped = ipaddress.IPv6Address(MAPPED)  # v4's 0.0.0.0, written as v6
    for address in [mapped, *others, *edges, *near]:
        assert built.find(wide(address)) == expected(chosen, address), address


def test_a_table_has_at_most_two_edges_for_each_network() -> None:
    nets = {network(f"10.{i}.0.0/16"): i for i in range(0, 200, 2)}
    assert table(nets).edges <= 2 * len(nets) + 1
