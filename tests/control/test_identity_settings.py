"""[identity] and networks: what is accepted, and what every mistake says."""

from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from penstock.networks import parse_network, wide
from tests.control.test_settings import load, problems

PROXIES = 'trusted_proxies = ["10.0.0.0/8"]'


def test_by_default_nobody_is_trusted(tmp_path: Path) -> None:
    identity = load(tmp_path, "").identity
    assert identity.trusted_proxies == ()
    assert identity.header is None
    assert identity.methods() == ("token", "header", "network", "address")


def test_the_section_is_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [identity]
        order = ["header", "token"]
        header = "X-Client-ID"
        trusted_proxies = ["10.0.0.0/8", "::ffff:192.0.2.1", "2001:db8::/32"]
        forwarded = "forwarded"
        [clients.office]
        networks = ["198.51.100.0/24"]
        """,
    )
    identity = settings.identity
    assert identity.methods() == ("header", "token", "address")
    assert [str(n) for n in identity.trusted_proxies] == [
        "10.0.0.0/8",
        "192.0.2.1/32",
        "2001:db8::/32",
    ]
    office = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 0])
    rules = settings.identity_rules()
    assert rules.clients == [((office, 120), "office")]
    assert rules.header == "X-Client-ID"
    assert len(rules.proxies) == 3
    shown = settings.public()
    assert shown["identity"] == {
        "order": ["header", "token"],
        "header": "X-Client-ID",
        "trusted_proxies": ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"],
        "forwarded": "forwarded",
    }
    assert shown["clients"]["office"]["networks"] == ["198.51.100.0/24"]


EXAMPLES = "write it like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('order = ["token", "token"]', "order: 'token' is listed twice"),
        (
            'order = ["address", "token"]',
            "order: 'address' finds everybody: it can only be the last",
        ),
        ('order = "token"', 'order: must be a list, like ["token"]'),
        (
            'trusted_proxies = ["10.0.0.0/33"]',
            f"trusted_proxies[0]: '10.0.0.0/33' is not a network; {EXAMPLES}",
        ),
        (
            'trusted_proxies = ["10.0.0.1/8"]',
            "trusted_proxies[0]: '10.0.0.1/8' has bits behind its prefix; "
            "the network is 10.0.0.0/8",
        ),
        (
            "trusted_proxies = [7]",
            f"trusted_proxies[0]: 7 is not a network; {EXAMPLES}",
        ),
        (
            'trusted_proxies = ["10.0.0.0/8", "::ffff:10.0.0.0/104"]',
            "trusted_proxies: 10.0.0.0/8 is listed twice",
        ),
        (
            'header = "X-Client-ID"',
            "header: X-Client-ID is believed from nobody: set identity.trusted_proxies",
        ),
        (
            f'header = "X-Client-ID"\norder = ["token"]\n{PROXIES}',
            "header: X-Client-ID is not looked at: identity.order lacks 'header'",
        ),
        (
            f'header = "a b"\n{PROXIES}',
            "header: 'a b' is not the name of a field, like 'X-Client-ID'",
        ),
        (
            f'header = "Authorization"\n{PROXIES}',
            "header: Authorization means something else already",
        ),
        (
            f'header = "{"x" * 64}"\n{PROXIES}',
            "header: the name of a field has at most 63 bytes",
        ),
        ('forwarded = "xff"', "forwarded: must be 'auto', 'forwarded', "),
    ],
)
def test_a_mistake_is_said_with_its_remedy(
    tmp_path: Path, line: str, problem: str
) -> None:
    found = problems(tmp_path, f"[identity]\n{line}")
    assert len(found) == 1
    assert found[0].startswith(f"identity.{problem}")


def test_a_method_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, '[identity]\norder = ["cookie"]')
    assert found.startswith("identity.order[0]: must be 'token', 'header', 'network'")


def test_a_network_of_two_clients_is_refused_and_both_are_named(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [clients.a]
        networks = ["10.0.0.0/8", "10.0.0.0/8"]
        [clients.b]
        networks = ["10.0.0.0/16", "::ffff:10.0.0.0/104"]
        [groups.a]
        networks = ["10.0.0.0/8"]
        [groups.b]
        networks = ["10.0.0.0/8"]
        """,
    )
    assert found == [
        "clients.a.networks[1]: 10.0.0.0/8 is listed twice",
        "clients.b.networks[1]: 10.0.0.0/8 is listed by clients.a, too",
        "groups.b.networks[0]: 10.0.0.0/8 is listed by groups.a, too",
    ]


def test_a_group_has_whole_clients(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, '[groups.a]\nnetworks = ["2001:db8::/65"]')
    assert found.startswith(
        "groups.a.networks: 2001:db8::/65 is part of one client, an IPv6 /64"
    )


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::1", "::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text",
    ["", "10/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.0.0"]
    + ["10.0.0.1/24", "2001:db8::1/32", "fe80::%eth0/64", "::/129", "example.org", "1"]
    + ["10.0.0.0 /8", "010.0.0.0/8", "10.0.0.0/8/8", "10.0.0.0/٨"],
)
def test_no_networks(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not a network|has bits behind its prefix"
    ):
        parse_network(text)


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_reaches_the_engine_as_its_128_bits(
    address: object, prefix: int
) -> None:
    bits = 32 if "." in str(address) else 128
    network = ip_network(f"{address}/{min(prefix, bits)}", strict=False)
    first, length = wide(parse_network(str(network)))
    assert len(first) == 16
    if isinstance(network, IPv4Network):
        assert first == bytes(10) + b"\xff\xff" + network.network_address.packed
        assert length == network.prefixlen + 96
    else:
        assert int.from_bytes(first, "big") == int(network.network_address)
        assert length == network.prefixlen
