"""The client table as Python configures it: refusals change nothing."""

from __future__ import annotations

import hashlib

import pytest

from penstock._engine import ClientTable
from penstock.allowances import Allowance, ClientEntry

MB = 10**6


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def configured(table: ClientTable, rate: int, tokens: list[str]) -> None:
    digests = [digest(token) for token in tokens]
    table.configure(
        default=Allowance(rate),
        total=Allowance(),
        clients=[ClientEntry("ann", None, None, digests)],
    )


def test_more_tokens_than_fit_are_refused_before_anything_changes() -> None:
    """Those that were taken back keep their places: rotated often, they fill it up."""
    table = ClientTable(rows=4)

    def rotate(times: int) -> None:
        for i in range(times):
            configured(table, MB + i, [f"token {i}"])

    with pytest.raises(OverflowError, match="more tokens do not fit"):
        rotate(100_000)
    rate, version = table.default_rate_bps(), table.version
    with pytest.raises(OverflowError):
        configured(table, 7, ["another"])
    assert (table.default_rate_bps(), table.version) == (rate, version)
    configured(table, 7, [f"token {rate - MB}"])
    assert table.default_rate_bps() == 7, "with the tokens that it knows it goes on"


@pytest.mark.parametrize(
    "name",
    ["2001:db8::5%x", "2001:db8::/064", "2001:db8::/64/64", "192.0.2.7/64", "::1/63"],
)
def test_a_name_that_only_resembles_an_address_is_a_name(name: str) -> None:
    table = ClientTable(rows=8)
    table.set_rate(name, MB)
    row = table.find(name)
    assert row is not None
    assert row.client_id == name


def test_an_address_and_its_network_of_64_bits_are_one_client() -> None:
    table = ClientTable(rows=8)
    table.set_rate("2001:db8::5", MB)
    row = table.find("2001:db8::/64")
    assert row is not None
    assert (row.client_id, row.rate_bps) == ("2001:db8::/64", MB)
