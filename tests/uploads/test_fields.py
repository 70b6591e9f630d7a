"""Ranges, lengths, keys and ETags: what is understood, and what is refused."""

import pytest

from penstock.uploads import fields
from penstock.uploads.fields import ByteRange
from tests.uploads.fakes import head
from tests.uploads.parsing import refusal


def test_a_range_says_its_ends_and_may_say_the_total() -> None:
    plain = head(range="bytes=1024-2047")
    assert fields.byte_range(plain) == ByteRange(1024, 2048, None)
    literal = head(range="bytes=1024-2047/1048576")
    assert fields.byte_range(literal) == ByteRange(1024, 2048, 1048576)
    twin = head(content_range="bytes 1024-2047/1048576")
    assert fields.byte_range(twin) == ByteRange(1024, 2048, 1048576)
    open_ended = head(content_range="bytes 0-0/*")
    assert fields.byte_range(open_ended) == ByteRange(0, 1, None)
    assert fields.byte_range(head()) is None


def test_the_unit_of_a_range_is_in_any_case() -> None:
    assert fields.byte_range(head(range="BYTES=0-1")) == ByteRange(0, 2, None)
    assert fields.byte_range(head(content_range="Bytes 0-1/2")) == ByteRange(0, 2, 2)


def test_both_forms_of_a_range_may_come_together_if_they_agree() -> None:
    both = head(range="bytes=0-9", content_range="bytes 0-9/20")
    assert fields.byte_range(both) == ByteRange(0, 10, 20)


@pytest.mark.parametrize(
    ("literal", "twin"),
    [
        ("bytes=0-9/20", "bytes 0-8/20"),
        ("bytes=1-9/20", "bytes 0-9/20"),
        ("bytes=0-9/20", "bytes 0-9/21"),
    ],
)
def test_both_forms_of_a_range_that_disagree_are_refused(
    literal: str, twin: str
) -> None:
    refused = refusal(fields.byte_range, head(range=literal, content_range=twin))
    assert (refused.status, "disagree" in refused.detail) == (400, True)


@pytest.mark.parametrize(
    "text",
    [
        "bytes=2-1",
        "bytes=-5",
        "bytes=5-",
        "bytes=0-1,4-5",
        "bytes=0-1, 4-5",
        "bytes = 0-1",
        "bytes=0 - 1",
        " bytes=0-1",
        "bytes=*",
        "bytes=*/10",
        "bytes=0-1/*",
        "bytes=0-10/10",
        "bytes=0-9223372036854775807",
        "bytes=9223372036854775808-9223372036854775809",
        "bytes=0-" + "9" * 5000,
        "bytes=+0-1",
        "bytes=0x0-1",
        "bytes=\u0660-\u0661",
        "lines=0-1",
        "bytes",
        "",
    ],
)
def test_a_literal_range_that_is_not_one_is_refused(text: str) -> None:
    assert refusal(fields.byte_range, head(range=text)).status == 400


@pytest.mark.parametrize(
    "text",
    [
        "bytes */10",
        "bytes 0-1",
        "bytes 2-1/10",
        "bytes 0-10/10",
        "bytes  0-1/10",
        "bytes=0-1/10",
        "bytes 0-1/10, bytes 2-3/10",
        "bytes 0-9223372036854775807/*",
        "bytes 0-1/9223372036854775808",
        "bytes -5/10",
        "",
    ],
)
def test_a_content_range_that_is_not_one_is_refused(text: str) -> None:
    assert refusal(fields.byte_range, head(content_range=text)).status == 400


def test_the_last_byte_that_a_file_can_have_is_still_a_range() -> None:
    last = fields.NUMBER_MAX - 1
    found = fields.byte_range(head(range=f"bytes={last}-{last}"))
    assert found == ByteRange(last, last + 1, None)


@pytest.mark.parametrize(
    "beyond", [ByteRange(0, 11, None), ByteRange(10, 11, 11), ByteRange(0, 5, 11)]
)
def test_a_range_beyond_the_upload_or_of_another_total_is_416(
    beyond: ByteRange,
) -> None:
    refused = refusal(fields.placed, beyond, 10)
    assert (refused.status, refused.fields) == (416, (("Content-Range", "bytes */10"),))


def test_without_a_range_it_is_the_whole() -> None:
    assert fields.placed(None, 10) == (0, 10)
    assert fields.placed(ByteRange(2, 5, 10), 10) == (2, 5)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", "1, 1", "1.0", "0x1", "\u0661"])
def test_a_number_of_bytes_is_nothing_but_digits(text: str) -> None:
    assert refusal(fields.number, head(upload_length=text), "Upload-Length").status == (
        400
    )


def test_a_number_of_bytes_ends_where_files_do() -> None:
    def length(text: str) -> int | None:
        return fields.number(head(upload_length=text), "Upload-Length")

    assert length("0") == 0
    assert length("007") == 7
    assert length(str(2**63 - 1)) == 2**63 - 1
    assert refusal(length, str(2**63)).status == 400
    assert refusal(length, "9" * 5000).status == 400


def test_the_length_has_two_names_that_may_not_disagree() -> None:
    assert fields.upload_length(head(upload_length="5")) == 5
    assert fields.upload_length(head(x_upload_content_length="5")) == 5
    both = head(upload_length="5", x_upload_content_length="5")
    assert fields.upload_length(both) == 5
    differ = head(upload_length="5", x_upload_content_length="6")
    assert refusal(fields.upload_length, differ).status == 400
    assert fields.upload_length(head()) is None


def test_a_length_is_put_off_by_1_and_nothing_else() -> None:
    assert fields.defers_length(head(upload_defer_length="1")) is True
    assert fields.defers_length(head()) is False
    for text in ("0", "true", "", "1, 1"):
        other = head(upload_defer_length=text)
        assert refusal(fields.defers_length, other).status == 400


@pytest.mark.parametrize("text", ["abc", '"abc"', '"abc";a=1'])
def test_a_key_is_bare_or_quoted(text: str) -> None:
    assert fields.idempotency_key(head(idempotency_key=text)) == "abc"


@pytest.mark.parametrize(
    "text", ["", '""', '"abc', "a b", "a, b", 'a"b', "ä", '"ä"', '"a b"', "x" * 256]
)
def test_a_key_that_is_not_one_is_refused_and_not_shown(text: str) -> None:
    refused = refusal(fields.idempotency_key, head(idempotency_key=text))
    assert refused.status == 400
    assert "abc" not in refused.detail


def test_one_strong_etag_or_a_star_may_be_replaced() -> None:
    assert fields.if_match(head()) is None
    assert fields.if_match(head(if_match="*")) == "*"
    assert fields.if_match(head(if_match='"5f-1"')) == '"5f-1"'
    assert refusal(fields.if_match, head(if_match='W/"5f-1"')).status == 412
    for text in ("5f-1", '"a", "b"', '"a', '"a b"', ""):
        assert refusal(fields.if_match, head(if_match=text)).status == 400


def test_bytes_that_are_encoded_are_refused() -> None:
    fields.refuse_coded(head(content_encoding="identity"))
    assert refusal(fields.refuse_coded, head(content_encoding="gzip")).status == 415
