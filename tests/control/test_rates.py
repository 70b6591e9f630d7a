"""Rates, sizes and durations: exact, bounded, and explained when wrong."""

import pytest
from hypothesis import given, strategies as st

from penstock.durations import format_duration, parse_duration
from penstock.rates import MAX_RATE_BPS, format_rate, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("5242880", 5242880),
        ("5MB/s", 5_000_000),
        ("5MB", 5_000_000),
        (" 5 MB/s ", 5_000_000),
        ("5MiB/s", 5_242_880),
        ("1.5MB/s", 1_500_000),
        ("0.5KiB/s", 512),
        ("40Mbit/s", 5_000_000),
        ("8Kibit/s", 1024),
        ("8bit/s", 1),
        ("1kbit/s", 125),
        ("1Gbit/s", 125_000_000),
        ("1kB/s", 1000),
        ("1KB/s", 1000),
        ("1GiB/s", 2**30),
        ("1TB/s", MAX_RATE_BPS),
        ("1000000000000", MAX_RATE_BPS),
    ],
)
def test_a_rate_is_exact_in_decimal_and_binary_bytes_and_bits(
    text: str, bps: int
) -> None:
    assert parse_rate(text) == bps


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0MB/s",
        "-1",
        "-5MB/s",
        "1bit/s",
        "0.3B/s",
        "1000000000001",
        "2TB/s",
        "5 parsec",
        "5MB/h",
        "5MB/s/s",
        "MB/s",
        "1e6",
        "nan",
        "inf",
        "0x10",
        "٣",
        "1_000",
        "5MB/s; rm",
        "9" * 5000,
        "1." + "0" * 5000,
    ],
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="5MB/s, 40Mbit/s or 5242880"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["5Mb/s", "5mb/s", "5Mbps", "5kb"])
def test_a_unit_that_could_be_bits_or_bytes_is_asked_about(text: str) -> None:
    with pytest.raises(ValueError, match="could mean bits or bytes"):
        parse_rate(text)


@given(st.integers(1, MAX_RATE_BPS))
def test_a_formatted_rate_reads_back_as_the_same_number(bps: int) -> None:
    assert parse_rate(format_rate(bps)) == bps


@given(
    st.integers(1, 10**6),
    st.sampled_from(["k", "M", "G", "Ki", "Mi", "Gi"]),
)
def test_a_round_rate_is_formatted_with_its_unit(number: int, prefix: str) -> None:
    bps = parse_size(f"{number}{prefix}B")
    assert len(format_rate(bps)) <= len(f"{number}{prefix}B/s")


@given(st.text(max_size=30))
def test_any_text_is_a_rate_within_the_bounds_or_a_value_error(text: str) -> None:
    try:
        bps = parse_rate(text)
    except ValueError:
        return
    assert 1 <= bps <= MAX_RATE_BPS


def test_a_size_may_be_zero_and_larger_than_any_rate() -> None:
    assert parse_size("0") == 0
    assert parse_size("1.5TiB") == 3 * 2**39


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("10", 10 * 10**9),
        ("10s", 10 * 10**9),
        ("2.5", 25 * 10**8),
        ("500ms", 5 * 10**8),
        ("2m", 120 * 10**9),
        ("1h", 3600 * 10**9),
        ("1.5 us", 1500),
        ("0", 0),
    ],
)
def test_a_duration_is_exact_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1 fortnight", "1e3", "0.0001us"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="10s, 500ms"):
        parse_duration(text)


@given(st.integers(0, 10**15))
def test_a_formatted_duration_reads_back_as_the_same_number(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns
