"""Byte ranges against a plain model that uses Python's own numbers and strings."""

import re

import pytest
from hypothesis import example, given, strategies as st

from penstock import _testing

IGNORE = 0
UNSATISFIABLE = -1
INT64_MAX = 2**63 - 1
MAX_RANGES = 8


def resolve(first: str, last: str, size: int) -> tuple[int, int] | None:
    if first == "":
        n = min(int(last), size)
        return (size - n, size - 1) if int(last) > 0 else None
    if int(first) >= size:
        return None
    return (int(first), min(int(last), size - 1) if last else size - 1)


def touching(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def wasteful(found: list[tuple[int, int]], size: int) -> bool:
    overlapping = [
        r
        for i, r in enumerate(found)
        if any(touching(r, o) for k, o in enumerate(found) if k != i)
    ]
    return sum(b - a + 1 for a, b in found) > size or len(overlapping) > 2


def model(field: str, size: int, max_ranges: int) -> int | list[tuple[int, int]]:
    if field[:6].lower() != "bytes=":
        return IGNORE
    parts = [part.strip(" \t") for part in field[6:].split(",")]
    specs = [re.fullmatch(r"([0-9]*)-([0-9]*)", part) for part in parts if part]
    if not specs or len(specs) > max_ranges:
        return IGNORE
    found = []
    for spec in specs:
        if spec is None or spec.group() == "-":
            return IGNORE
        first, last = spec.groups()
        if first and last and min(int(last), INT64_MAX) < min(int(first), INT64_MAX):
            return IGNORE
        found.append(resolve(first, last, size))
    satisfiable = [r for r in found if r is not None]
    if not satisfiable:
        return UNSATISFIABLE
    if size == 0 or (len(satisfiable) > 1 and wasteful(satisfiable, size)):
        return IGNORE
    return satisfiable


number = st.one_of(
    st.just(""),
    st.integers(0, 30).map(str),
    st.integers(0, 30).map(lambda v: f"000{v}"),
    st.integers(2**63 - 3, 2**65).map(str),
)
spec = st.builds(lambda a, b: f"{a}-{b}", number, number)
space = st.sampled_from(["", " ", "\t", " \t"])
element = st.builds(
    lambda before, body, after: before + body + after,
    space,
    st.one_of(spec, spec, spec, st.just("")),
    space,
)
valid_fields = st.lists(element, min_size=1, max_size=MAX_RANGES + 3).map(
    lambda parts: "bytes=" + ",".join(parts)
)
noisy_fields = st.text(alphabet="bytes=0123456789-, \tB;", max_size=30)
sizes = st.one_of(st.integers(0, 40), st.just(INT64_MAX))


@given(st.one_of(valid_fields, noisy_fields), sizes, st.integers(1, MAX_RANGES))
@example("bytes=0-9,10-19", 20, 2)
def test_agrees_with_the_model(field: str, size: int, max_ranges: int) -> None:
    found = _testing.ranges(field.encode(), size, max_ranges)
    assert found == model(field, size, max_ranges)


@given(st.binary(max_size=40), sizes)
def test_whatever_is_found_lies_in_the_file(noise: bytes, size: int) -> None:
    found = _testing.ranges(b"bytes=" + noise, size, MAX_RANGES)
    if not isinstance(found, int):
        assert 1 <= len(found) <= MAX_RANGES
        assert all(0 <= first <= last < size for first, last in found)


@pytest.mark.parametrize(
    ("field", "size", "expected"),
    [
        (b"bytes=0-499", 10000, [(0, 499)]),
        (b"bytes=500-999", 10000, [(500, 999)]),
        (b"bytes=-500", 10000, [(9500, 9999)]),
        (b"bytes=9500-", 10000, [(9500, 9999)]),
        (b"bytes=0-0,-1", 10000, [(0, 0), (9999, 9999)]),
        (b"bytes= 0-0, 5-6 ,\t-1", 10000, [(0, 0), (5, 6), (9999, 9999)]),
        (b"BYTES=0-0", 1, [(0, 0)]),
        (b"bytes=,,0-0,,", 1, [(0, 0)]),
        (b"bytes=-99999", 5, [(0, 4)]),
        (b"bytes=0-99999", 5, [(0, 4)]),
        (b"bytes=3-99999999999999999999999999", 5, [(3, 4)]),
        (b"bytes=-99999999999999999999999999", 5, [(0, 4)]),
        (b"bytes=9223372036854775806-", INT64_MAX, [(INT64_MAX - 1, INT64_MAX - 1)]),
        # The order asked for is kept; what cannot be satisfied is left out.
        (b"bytes=8-9,100-200,0-1", 10, [(8, 9), (0, 1)]),
    ],
)
def test_finds(field: bytes, size: int, expected: list[tuple[int, int]]) -> None:
    assert _testing.ranges(field, size) == expected


@pytest.mark.parametrize(
    ("field", "size"),
    [
        (b"bytes=10-", 10),
        (b"bytes=10-20,30-40", 10),
        (b"bytes=-0", 10),
        (b"bytes=-0", 0),
        (b"bytes=0-", 0),
        (b"bytes=0-0", 0),
        # One more than int64 holds, in the last digit and by a whole digit.
        (b"bytes=9223372036854775808-", INT64_MAX),
        (b"bytes=99999999999999999999-", INT64_MAX),
    ],
)
def test_well_formed_ranges_outside_the_file_are_unsatisfiable(
    field: bytes, size: int
) -> None:
    assert _testing.ranges(field, size) == UNSATISFIABLE


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes =0-1",
        b"items=0-1",
        b"bytes:0-1",
        b"bytes=-",
        b"bytes=1",
        b"bytes=2-1",
        b"bytes=a-b",
        b"bytes=0x1-2",
        b"bytes=+1-2",
        b"bytes=1 -2",
        b"bytes=1- 2",
        b"bytes=1--2",
        b"bytes=--1",
        b"bytes=1-2-3",
        b"bytes=0-1 2-3",
        b"bytes=0-1;2-3",
        b"bytes=0-1,x",
        b"bytes=0-1,3-2",
        b"bytes=0-1\x00",
    ],
)
def test_malformed_value_or_other_unit_is_ignored(field: bytes) -> None:
    assert _testing.ranges(field, 10) == IGNORE


def test_suffix_of_an_empty_file_is_served_whole() -> None:
    assert _testing.ranges(b"bytes=-5", 0) == IGNORE
    assert _testing.ranges(b"bytes=0-,-5", 0) == IGNORE


def test_more_specifiers_than_the_bound_are_ignored() -> None:
    field = b"bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(0, 8, 2))
    assert _testing.ranges(field, 100, 4) == [(0, 0), (2, 2), (4, 4), (6, 6)]
    assert _testing.ranges(field, 100, 3) == IGNORE


def test_unsatisfiable_specifiers_count_against_the_bound() -> None:
    assert _testing.ranges(b"bytes=500-,600-,0-0", 100, 2) == IGNORE


def test_ranges_that_ask_for_more_than_the_file_are_ignored() -> None:
    assert _testing.ranges(b"bytes=0-4,5-9", 10) == [(0, 4), (5, 9)]
    assert _testing.ranges(b"bytes=0-5,5-9", 10) == IGNORE


def test_more_than_two_overlapping_ranges_are_ignored() -> None:
    assert _testing.ranges(b"bytes=0-4,3-9", 100) == [(0, 4), (3, 9)]
    assert _testing.ranges(b"bytes=0-4,3-9,9-12", 100) == IGNORE
    assert _testing.ranges(b"bytes=0-4,3-9,20-24,23-29", 100) == IGNORE
    assert _testing.ranges(b"bytes=0-4,3-9,20-24", 100) == [(0, 4), (3, 9), (20, 24)]
