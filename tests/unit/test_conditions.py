"""Preconditions: the tables of RFC 9110 sections 8.8.3.2, 13.1 and 13.2.2."""

import itertools

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

PROCEED, NOT_MODIFIED, FAILED = 0, 304, 412
ETAG = b'"v1"'
MTIME_S = 784111777
AT = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = b"Sun, 06 Nov 1994 08:49:38 GMT"
NOW_S = 1717200000


def verdict(
    get_or_head: bool = True, etag: bytes | None = ETAG, **fields: bytes | None
) -> int:
    file = _testing.Conditional(etag=etag, mtime_s=MTIME_S, **fields)
    return file.evaluate(get_or_head, NOW_S)


def range_applies(if_range: bytes | None, etag: bytes | None = ETAG) -> bool:
    file = _testing.Conditional(etag=etag, mtime_s=MTIME_S, if_range=if_range)
    return file.range_applies(NOW_S)


def test_request_without_conditions_proceeds() -> None:
    assert verdict() == PROCEED
    assert verdict(get_or_head=False) == PROCEED


LISTS_THAT_NAME_IT = [
    b'"v1"',
    b' "v1" ',
    b'"v0", "v1"',
    b'"v0","v1","v2"',
    b', ,\t"v0" ,, "v1",',
    b'"a,b", "v1"',
    b'"", "v1"',
    b'"\x80\xff!", "v1"',
]
LISTS_THAT_DO_NOT = [
    b'"v2"',
    b'"v"',
    b'"v11"',
    b'"V1"',
    b'"v0", "v2"',
    b'""',
    b'"v0, v1"',
]
MALFORMED = [
    b"",
    b",",
    b"v1",
    b"'v1'",
    b'"v1',
    b'v1"',
    b'"v1"x',
    b'"v1" "v1"',
    b'"v0" "v1"',
    b'w/"v1"',
    b'W"v1"',
    b'W/ "v1"',
    b"W/",
    b"W",
    b'"v0", *',
    b"**",
    b'"\x7f", "v1"',
    b'"a b", "v1"',
    b'x, "v1"',
]


@pytest.mark.parametrize("field", [*LISTS_THAT_NAME_IT, b"*", b" * "])
def test_if_match_that_names_the_file_proceeds(field: bytes) -> None:
    assert verdict(if_match=field) == PROCEED
    assert verdict(get_or_head=False, if_match=field) == PROCEED


@pytest.mark.parametrize("field", LISTS_THAT_DO_NOT + MALFORMED)
def test_if_match_that_does_not_name_the_file_fails(field: bytes) -> None:
    assert verdict(if_match=field) == FAILED
    assert verdict(get_or_head=False, if_match=field) == FAILED


@pytest.mark.parametrize("field", [*LISTS_THAT_NAME_IT, b"*", b'W/"v1"'])
def test_if_none_match_that_names_the_file(field: bytes) -> None:
    assert verdict(if_none_match=field) == NOT_MODIFIED
    assert verdict(get_or_head=False, if_none_match=field) == FAILED


@pytest.mark.parametrize("field", LISTS_THAT_DO_NOT + MALFORMED)
def test_if_none_match_that_does_not_name_the_file_proceeds(field: bytes) -> None:
    assert verdict(if_none_match=field) == PROCEED
    assert verdict(get_or_head=False, if_none_match=field) == PROCEED


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        (b'W/"1"', b'W/"1"', False, True),
        (b'W/"1"', b'W/"2"', False, False),
        (b'W/"1"', b'"1"', False, True),
        (b'"1"', b'"1"', True, True),
    ],
)
def test_comparison_table_of_section_8_8_3_2(
    one: bytes, other: bytes, strong: bool, weak: bool
) -> None:
    for asked, current in ((one, other), (other, one)):
        matched = verdict(etag=current, if_match=asked) == PROCEED
        not_modified = verdict(etag=current, if_none_match=asked) == NOT_MODIFIED
        assert (matched, not_modified) == (strong, weak)
        assert range_applies(asked, etag=current) == strong


@pytest.mark.parametrize("etag", [None, b"", b"v1", b'"v1"x'])
def test_file_without_an_entity_tag_matches_only_the_star(etag: bytes | None) -> None:
    assert verdict(etag=etag, if_match=b'"v1"') == FAILED
    assert verdict(etag=etag, if_match=b"*") == PROCEED
    assert verdict(etag=etag, if_none_match=b'"v1"') == PROCEED
    assert verdict(etag=etag, if_none_match=b"*") == NOT_MODIFIED
    assert not range_applies(b'"v1"', etag=etag)


@pytest.mark.parametrize(
    ("date", "unmodified", "modified"),
    [
        (BEFORE, FAILED, PROCEED),
        (AT, PROCEED, NOT_MODIFIED),
        (AFTER, PROCEED, NOT_MODIFIED),
        (b" " + AT + b" ", PROCEED, NOT_MODIFIED),
        (b"Sun Nov  6 08:49:36 1994", FAILED, PROCEED),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", PROCEED, NOT_MODIFIED),
        (b"", PROCEED, PROCEED),
        (b"yesterday", PROCEED, PROCEED),
        (BEFORE + b", " + BEFORE, PROCEED, PROCEED),
    ],
)
def test_dates_compare_with_last_modified_and_invalid_ones_are_ignored(
    date: bytes, unmodified: int, modified: int
) -> None:
    for get_or_head in (True, False):
        assert verdict(get_or_head, if_unmodified_since=date) == unmodified
    assert verdict(if_modified_since=date) == modified
    assert verdict(get_or_head=False, if_modified_since=date) == PROCEED


def in_order(
    get_or_head: bool,
    match: bool | None,
    unmodified: bool | None,
    none_match: bool | None,
    modified: bool | None,
) -> int:
    """Section 13.2.2, steps 1 to 4; None: the field is absent."""
    if match is False:
        return FAILED
    if match is None and unmodified is False:
        return FAILED
    if none_match is False:
        return NOT_MODIFIED if get_or_head else FAILED
    if none_match is None and get_or_head and modified is False:
        return NOT_MODIFIED
    return PROCEED


@pytest.mark.parametrize(
    "case", list(itertools.product([True, False], *[[None, True, False]] * 4))
)
def test_precedence_of_every_combination(
    case: tuple[bool, bool | None, bool | None, bool | None, bool | None],
) -> None:
    get_or_head, match, unmodified, none_match, modified = case
    found = verdict(
        get_or_head,
        if_match={None: None, True: ETAG, False: b'"x"'}[match],
        if_unmodified_since={None: None, True: AT, False: BEFORE}[unmodified],
        if_none_match={None: None, True: b'"x"', False: ETAG}[none_match],
        if_modified_since={None: None, True: BEFORE, False: AT}[modified],
    )
    assert found == in_order(*case)


@pytest.mark.parametrize(
    ("field", "applies"),
    [
        (None, True),
        (ETAG, True),
        (b" " + ETAG + b" ", True),
        (b'"v2"', False),
        (b'W/"v1"', False),
        (b"*", False),
        (b'"v1", "v1"', False),
        (b'"v1', False),
        (b"", False),
        (AT, True),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", True),
        (BEFORE, False),
        (AFTER, False),
        (b"tomorrow", False),
    ],
)
def test_if_range_needs_the_same_tag_or_the_same_date(
    field: bytes | None, applies: bool
) -> None:
    assert range_applies(field) is applies


fields = st.one_of(
    st.none(), st.binary(max_size=24), st.sampled_from([ETAG, AT, BEFORE, b"*"])
)


@given(st.booleans(), fields, fields, fields, fields, fields)
def test_any_bytes_get_one_of_the_three_verdicts(
    get_or_head: bool,
    match: bytes | None,
    none_match: bytes | None,
    modified: bytes | None,
    unmodified: bytes | None,
    if_range: bytes | None,
) -> None:
    file = _testing.Conditional(
        etag=ETAG,
        mtime_s=MTIME_S,
        if_match=match,
        if_none_match=none_match,
        if_modified_since=modified,
        if_unmodified_since=unmodified,
        if_range=if_range,
    )
    allowed = {PROCEED, NOT_MODIFIED, FAILED} if get_or_head else {PROCEED, FAILED}
    assert file.evaluate(get_or_head, NOW_S) in allowed
    assert file.range_applies(NOW_S) in (True, False)


opaque = st.binary(max_size=6).filter(lambda b: not set(b) & {0x22, 0x7F, *range(0x21)})
tags = st.builds(
    lambda weak, o: weak + b'"' + o + b'"', st.sampled_from([b"", b"W/"]), opaque
)


@given(st.lists(tags, max_size=4), tags)
def test_lists_of_tags_agree_with_a_plain_search(
    listed: list[bytes], tag: bytes
) -> None:
    field = b", ".join(listed)
    strong = not tag.startswith(b"W/") and tag in listed
    weak = tag.removeprefix(b"W/") in [t.removeprefix(b"W/") for t in listed]
    assert verdict(etag=tag, if_match=field) == (PROCEED if strong else FAILED)
    assert verdict(etag=tag, if_none_match=field) == (NOT_MODIFIED if weak else PROCEED)


@pytest.mark.parametrize(
    ("text", "lower", "same"),
    [
        (b"100-Continue", b"100-continue", True),
        (b"100-continue ", b"100-continue", False),
        (b"@[`{", b"`{`{", False),  # neighbours of the letters are no letters
        (b"", b"", True),
        (None, b"", False),
    ],
)
def test_text_compares_without_case(
    text: bytes | None, lower: bytes, same: bool
) -> None:
    assert _testing.text_equals_ci(text, lower) is same


@given(st.text(alphabet=" \t\nab", max_size=8))
def test_text_is_trimmed_of_optional_white_space(text: str) -> None:
    assert _testing.text_trimmed(text.encode()) == text.strip(" \t").encode()


def test_absent_text_stays_absent() -> None:
    assert _testing.text_trimmed(None) is None
