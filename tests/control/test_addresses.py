"""Addresses and client ids as people write them."""

import pytest

from penstock.addresses import parse_address
from penstock.clientids import MAX_CLIENT_ID_BYTES, canonical_client_id, check_client_id


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000", True),
        ("localhost:80", "127.0.0.1:80", True),
        ("0.0.0.0:0", "0.0.0.0:0", False),
        ("[::1]:8000", "[::1]:8000", True),
        ("[::]:65535", "[::]:65535", False),
        ("[2001:DB8:0::1]:1", "[2001:db8::1]:1", False),
    ],
)
def test_an_address_is_shown_in_its_canonical_form(
    text: str, shown: str, loopback: bool
) -> None:
    address = parse_address(text)
    assert str(address) == shown
    assert address.url == f"http://{shown}"
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text",
    [
        *("", "8000", ":8000", "127.0.0.1", "::1:8000", "[127.0.0.1]:80"),
        *("example.org:80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1"),
        *("[::1:80", "1.2.3.4:80:90"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1|ports end"):
        parse_address(text)


@pytest.mark.parametrize("text", ["user_123", "192.0.2.7", "ü" * 32, "x" * 64])
def test_a_client_id_of_up_to_64_bytes_is_accepted(text: str) -> None:
    assert check_client_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "x" * (MAX_CLIENT_ID_BYTES + 1), "ü" * 33, "a\nb", "\ud800", "other"]
)
def test_a_client_id_that_is_empty_long_unprintable_or_reserved_is_refused(
    text: str,
) -> None:
    with pytest.raises(ValueError, match=r"1 to 64 bytes|printable|reserved"):
        check_client_id(text)


def test_spellings_of_one_ipv6_network_are_the_same_client() -> None:
    spellings = ["2001:db8::/64", "2001:db8::1", "2001:0db8::ffff", "2001:db8::2/64"]
    assert len({canonical_client_id(text) for text in spellings}) == 1
    others = ["2001:db8:0:1::1", "2001:db8::/48", "192.0.2.7", "alice"]
    assert len({canonical_client_id(text) for text in others}) == len(others)
