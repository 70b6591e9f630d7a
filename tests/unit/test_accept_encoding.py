"""Accept-Encoding: the grammar and the preferences of RFC 9110 section 12.5.3."""

import re

import pytest
from hypothesis import given, strategies as st

from penstock import _testing

ALL = ("br", "zstd", "gzip")


def chosen(
    field: bytes | None, offered: tuple[str, ...] = ALL, available: object = None
) -> str:
    name: str = _testing.encoding_chosen(field, offered, available)
    return name


ACCEPTED = [
    (b"br", "br"),
    (b"gzip", "gzip"),
    (b"zstd", "zstd"),
    (b"x-gzip", "gzip"),
    (b"GZip", "gzip"),
    (b"X-GZIP;Q=0.5", "gzip"),
    (b"gzip, deflate, br, zstd", "br"),
    (b"gzip, deflate", "gzip"),
    (b"gzip;q=1, br;q=0.9", "gzip"),
    (b"gzip;q=0.5 , br ; q=0.501", "br"),
    (b"gzip\t;\tq=0.001", "gzip"),
    (b",, gzip,,", "gzip"),
    (b"*", "br"),
    (b"*;q=0.1", "br"),
    (b"br;q=0, *", "zstd"),
    (b"br;q=0, zstd;q=0.0, *;q=0.5", "gzip"),
    (b"gzip;q=1.000", "gzip"),
    (b"gzip;q=0.", "identity"),
    (b"gzip;q=1.", "gzip"),
    (b"identity;q=0, gzip", "gzip"),
    (b"identity, gzip", "gzip"),
    (b"*;q=0, gzip", "gzip"),
]
NONE_CHOSEN = [
    None,
    b"",
    b" ",
    b",",
    b"identity",
    b"deflate",
    b"br2, xgzip, gzipx",
    b"gzip;q=0",
    b"gzip;q=0.000",
    b"*;q=0",
    b"identity;q=0",
    b"identity;q=1, gzip;q=0.5",
    b"gzip;q=0, gzip",
    b"gzip, gzip;q=0",
    b"gzip, x-gzip;q=0",
    # "*" names identity, too.
    b"gzip;q=0.5, br;q=0, zstd;q=0, *",
]
MALFORMED = [
    b"gzip;",
    b"gzip;q",
    b"gzip;q=",
    b"gzip;q=2",
    b"gzip;q=1.1",
    b"gzip;q=1.001",
    b"gzip;q=0.1234",
    b"gzip;q=.5",
    b"gzip;q=-1",
    b'gzip;q="1"',
    b"gzip;q =1",
    b"gzip;q= 1",
    b"gzip;level=1",
    b"gzip;q=1;q=1",
    b"gzip br",
    b";q=1, gzip",
    b"gzip, (br)",
    b"gzip\x00",
    b"gzip, \xff",
    b"gzip;q=1x",
]


@pytest.mark.parametrize(("field", "expected"), ACCEPTED)
def test_the_highest_weight_wins_then_the_order_of_the_server(
    field: bytes, expected: str
) -> None:
    assert chosen(field) == expected


@pytest.mark.parametrize("field", NONE_CHOSEN)
def test_what_accepts_no_encoding_gets_the_file_itself(field: bytes | None) -> None:
    assert chosen(field) == "identity"


@pytest.mark.parametrize("field", MALFORMED)
def test_a_malformed_field_counts_as_absent(field: bytes) -> None:
    assert chosen(field) == "identity"
    assert chosen(b"br, " + field) == "identity", "nor does a part of it count"


def test_the_order_of_the_server_decides_among_equals() -> None:
    field = b"gzip, zstd, br"
    assert chosen(field, ("gzip", "br")) == "gzip"
    assert chosen(field, ("zstd", "gzip", "br")) == "zstd"
    assert chosen(field, ("br", "gzip"), ["gzip"]) == "gzip"


def test_only_what_is_offered_and_there_is_chosen() -> None:
    assert chosen(b"br, gzip;q=0.1", ("gzip",)) == "gzip"
    assert chosen(b"br, gzip;q=0.1", ALL, ["zstd"]) == "identity"
    assert chosen(b"br", ()) == "identity"
    assert chosen(b"br", ("gzip",), ["br"]) == "identity"


def test_a_path_that_ends_like_a_sidecar_is_known() -> None:
    for path in (b"a.js.br", b"dir/a.gz", b"a.zst"):
        assert _testing.ends_like_a_sidecar(path, ALL)
    for path in (b"a.js", b"br", b".br", b"a.br/b", b"a.BR", b"", b"a.bz"):
        assert not _testing.ends_like_a_sidecar(path, ALL)
    assert not _testing.ends_like_a_sidecar(b"a.js.br", ("gzip",))


_ELEMENT = re.compile(
    rb"(?P<coding>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)"
    rb"(?:[ \t]*;[ \t]*[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


def model(field: bytes | None, offered: list[str], available: set[str]) -> str:
    """As the RFC reads: parse all, then rank."""
    named: dict[str, float] = {}
    for part in (field or b"").split(b","):
        element = part.strip(b" \t")
        if not element:
            continue
        match = _ELEMENT.fullmatch(element)
        if match is None:
            return "identity"
        coding = match["coding"].decode().lower().replace("x-gzip", "gzip")
        weight = float(match["q"]) if match["q"] else 1.0
        named[coding] = min(weight, named.get(coding, 1.0))
    rest = named.get("*", 0.0)
    own = named.get("identity", rest)
    best = max(
        (name for name in offered if name in available),
        key=lambda name: named.get(name, rest),
        default="identity",
    )
    weight = named.get(best, rest)
    return best if weight > 0 and weight >= own else "identity"


CODINGS = st.sampled_from(
    [
        b"br",
        b"gzip",
        b"x-gzip",
        b"zstd",
        b"identity",
        b"*",
        b"BR",
        b"deflate",
        b"",
        b"(",
    ]
)
WEIGHTS = st.sampled_from(
    [
        b"",
        b";q=0",
        b";q=1",
        b";q=0.5",
        b" ;\tQ=0.25",
        b";q=0.001",
        b";q=1.1",
        b";",
        b" x",
    ]
)
SPACE = st.sampled_from([b"", b"", b" ", b"\t"])
WELL_FORMED = st.lists(
    st.tuples(SPACE, CODINGS, WEIGHTS, SPACE).map(b"".join), max_size=6
).map(b",".join)
OFFERS = st.permutations(ALL).flatmap(
    lambda names: st.integers(0, len(names)).map(lambda n: names[:n])
)


@given(
    field=st.one_of(st.none(), WELL_FORMED, st.binary(max_size=30)),
    offered=OFFERS,
    available=st.sets(st.sampled_from(ALL)),
)
def test_agrees_with_the_model(
    field: bytes | None, offered: list[str], available: set[str]
) -> None:
    assert chosen(field, tuple(offered), available) == model(field, offered, available)


@given(text=st.text("brgzipqx-*;=,.01 5\t", max_size=40), offered=OFFERS)
def test_agrees_with_the_model_on_nearly_valid_text(
    text: str, offered: list[str]
) -> None:
    field = text.encode()
    assert chosen(field, tuple(offered)) == model(field, offered, set(ALL))
