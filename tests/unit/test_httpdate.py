"""HTTP dates against the standard library's own calendar."""

import calendar
import email.utils
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

NOV_1994 = 784111777
FIRST_S = -62167219200
LAST_S = 253402300799
NOW_2024 = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What datetime can name: from year 1 on.
seconds = st.integers(-62135596800, LAST_S)
# What libc's gmtime and asctime agree on everywhere.
four_digit_years = st.integers(-30610224000, LAST_S)


def moment(epoch_s: int) -> datetime:
    return EPOCH + timedelta(seconds=epoch_s)


def rfc850(epoch_s: int) -> bytes:
    return moment(epoch_s).strftime("%A, %d-%b-%y %H:%M:%S GMT").encode()


@given(seconds)
def test_formats_as_the_standard_library(epoch_s: int) -> None:
    expected = email.utils.format_datetime(moment(epoch_s), usegmt=True)
    assert _testing.httpdate_text(epoch_s) == expected.encode()


@given(st.integers(FIRST_S, LAST_S))
def test_what_is_written_is_read_back(epoch_s: int) -> None:
    assert _testing.httpdate_seconds(_testing.httpdate_text(epoch_s)) == epoch_s


@given(four_digit_years)
def test_reads_asctime(epoch_s: int) -> None:
    text = time.asctime(time.gmtime(epoch_s)).encode()
    assert _testing.httpdate_seconds(text) == epoch_s


@given(
    st.integers(0, LAST_S),
    st.integers(-49 * 31556952, 49 * 31556952),
)
def test_reads_two_digit_years_near_now(now_s: int, offset_s: int) -> None:
    epoch_s = min(max(now_s + offset_s, 0), LAST_S)
    found = _testing.httpdate_seconds(rfc850(epoch_s), now_s)
    if moment(epoch_s).year // 100 > moment(now_s).year // 100:
        assert found < now_s  # beyond this century: the last one is meant
    elif moment(epoch_s).year // 100 == moment(now_s).year // 100:
        assert found == epoch_s


@pytest.mark.parametrize(
    ("text", "now", "year"),
    [
        (b"Sunday, 06-Nov-94 08:49:37 GMT", datetime(1994, 11, 7), 1994),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", datetime(2024, 1, 1), 1994),
        # 50 years ahead to the second is not more than 50 years ahead.
        (b"Sunday, 06-Nov-94 08:49:37 GMT", datetime(2044, 11, 6, 8, 49, 36), 1994),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", datetime(2044, 11, 6, 8, 49, 37), 2094),
        (b"Sunday, 06-Nov-00 08:49:37 GMT", datetime(2024, 1, 1), 2000),
        (b"Sunday, 06-Nov-74 08:49:37 GMT", datetime(2024, 11, 7), 2074),
        (b"Sunday, 06-Nov-75 08:49:37 GMT", datetime(2024, 11, 7), 1975),
    ],
)
def test_two_digit_year_more_than_50_years_ahead_is_past(
    text: bytes, now: datetime, year: int
) -> None:
    now_s = int(now.replace(tzinfo=UTC).timestamp())
    expected = datetime(year, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert _testing.httpdate_seconds(text, now_s) == int(expected.timestamp())


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [
        (NOV_1994, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, b"Wed, 31 Dec 1969 23:59:59 GMT"),
        (951782400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
        (4107542400, b"Mon, 01 Mar 2100 00:00:00 GMT"),
        (FIRST_S, b"Sat, 01 Jan 0000 00:00:00 GMT"),
        (LAST_S, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (FIRST_S - 1, b"Sat, 01 Jan 0000 00:00:00 GMT"),
        (LAST_S + 1, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (-(2**63), b"Sat, 01 Jan 0000 00:00:00 GMT"),
        (2**63 - 1, b"Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_formats_edges_and_clamps_to_four_digits(epoch_s: int, text: bytes) -> None:
    assert _testing.httpdate_text(epoch_s) == text


@pytest.mark.parametrize("day", list(calendar.day_name))
def test_every_long_day_name_is_read_even_if_it_is_the_wrong_one(day: str) -> None:
    text = f"{day}, 06-Nov-94 08:49:37 GMT".encode()
    assert _testing.httpdate_seconds(text, NOW_2024) == NOV_1994


def test_leap_second_is_the_next_minute() -> None:
    text = b"Sat, 31 Dec 2016 23:59:60 GMT"
    assert _testing.httpdate_seconds(text) == 1483228800


IMF = b"Sun, 06 Nov 1994 08:49:37 GMT"
ASCTIME = b"Sun Nov  6 08:49:37 1994"
RFC850 = b"Sunday, 06-Nov-94 08:49:37 GMT"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"784111777",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"sun, 06 nov 1994 08:49:37 gmt",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 EST",
        b"Sun, 06 Nov 1994 08:49:37 +00",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Xyz, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Xyz 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 32 Dec 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT",
        b"Sun, 29 Feb 2023 08:49:37 GMT",
        b"Sun, 30 Feb 2024 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 1994 -8:49:37 GMT",
        b"Sun, 06 Nov -994 08:49:37 GMT",
        b"Sun, 06 Nov 1 94 08:49:37 GMT",
        b"Sun, 06 Nov 19 4 08:49:37 GMT",
        b"Sun Nov  0 08:49:37 1994",
        b"Sun Nov 31 08:49:37 1994",
        b"Sun Nov   6 08:49:37 199",
        b"Sun Nov  6 08:49:37 199x",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Sunday, 06-Nov-x4 08:49:37 GMT",
        b"Sunday, 30-Feb-94 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Funday, 06-Nov-94 08:49:37 GMT",
        IMF + b" ",
        b" " + IMF,
    ],
)
def test_refuses_what_is_no_date(text: bytes) -> None:
    assert _testing.httpdate_seconds(text, NOW_2024) is None


@pytest.mark.parametrize("text", [IMF, ASCTIME, RFC850])
def test_refuses_every_prefix_of_a_date(text: bytes) -> None:
    assert _testing.httpdate_seconds(text, NOW_2024) == NOV_1994
    for n in range(len(text)):
        assert _testing.httpdate_seconds(text[:n], NOW_2024) is None


@pytest.mark.parametrize("text", [IMF, ASCTIME, RFC850])
def test_refuses_a_date_with_any_byte_spoilt(text: bytes) -> None:
    for i in range(len(text)):
        for spoilt in (b"\x00", b"\xff", b"?"):
            changed = text[:i] + spoilt + text[i + 1 :]
            assert _testing.httpdate_seconds(changed, NOW_2024) is None


@given(st.binary(max_size=40), st.integers(-(2**63), 2**63 - 1))
def test_arbitrary_bytes_are_not_dates(text: bytes, now_s: int) -> None:
    assert _testing.httpdate_seconds(text, now_s) is None
