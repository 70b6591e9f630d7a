"""Ranges of bytes against the plainest model there is: a set of integers."""

from itertools import pairwise

from hypothesis import given, strategies as st

from penstock.uploads import spans

MOST = 60
ends = st.tuples(st.integers(0, MOST), st.integers(0, MOST)).map(
    lambda pair: (min(pair), max(pair))
)
many = st.lists(ends, max_size=12)


def union(ranges: list[tuple[int, int]]) -> set[int]:
    return {n for start, end in ranges for n in range(start, end)}


def joined(ranges: list[tuple[int, int]]) -> spans.Spans:
    found: spans.Spans = ()
    for start, end in ranges:
        found = spans.add(found, start, end)
    return found


@given(many)
def test_added_ranges_are_their_union_in_the_only_form_it_has(
    ranges: list[tuple[int, int]],
) -> None:
    found = joined(ranges)
    assert union(list(found)) == union(ranges)
    assert spans.in_order(found)
    assert found == joined(ranges[::-1])


@given(many, ends)
def test_pieces_and_gaps_cut_a_range_where_covering_changes(
    ranges: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    covered, wanted = union(ranges), set(range(*asked))
    found = joined(ranges)
    assert union(list(spans.gaps(found, *asked))) == wanted - covered
    assert spans.covers(found, *asked) == (wanted <= covered)
    pieces = list(spans.pieces(found, *asked))
    assert [n for a, b, _ in pieces for n in range(a, b)] == sorted(wanted)
    for a, b, is_covered in pieces:
        assert a < b
        assert set(range(a, b)) <= covered if is_covered else not covered & {a, b - 1}
    kinds = [is_covered for _, _, is_covered in pieces]
    assert all(one != other for one, other in pairwise(kinds))


@given(many)
def test_prefix_and_reach_are_the_first_gap_and_the_last_byte(
    ranges: list[tuple[int, int]],
) -> None:
    covered, found = union(ranges), joined(ranges)
    assert spans.prefix(found) == next(n for n in range(MOST + 1) if n not in covered)
    assert spans.reach(found) == max(covered, default=-1) + 1


def test_a_thousand_adjacent_ranges_are_one() -> None:
    ranges = [(n * 7, n * 7 + 7) for n in range(1000)]
    assert joined(ranges[1::2] + ranges[::2]) == ((0, 7000),)


def test_other_forms_are_seen() -> None:
    for wrong in (((0, 0),), ((1, 0),), ((-1, 1),), ((0, 1), (1, 2)), ((5, 6), (0, 1))):
        assert not spans.in_order(wrong)
    assert spans.in_order(((0, 1), (2, 3)))
