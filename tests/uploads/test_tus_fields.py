"""Metadata and concatenation of tus."""

import pytest

from penstock.uploads import tus_fields
from penstock.uploads.tus_fields import Concat
from tests.uploads.asking import encoded
from tests.uploads.fakes import head
from tests.uploads.parsing import refusal


def test_metadata_is_pairs_and_is_written_anew() -> None:
    text = f"filename {encoded(b'a b')}, draft ,empty,kind {encoded(b'x')}"
    found = tus_fields.upload_metadata(head(upload_metadata=text))
    assert found == {"filename": b"a b", "draft": b"", "empty": b"", "kind": b"x"}
    written = tus_fields.written_metadata(found)
    assert written == "filename YSBi,draft,empty,kind eA=="
    assert tus_fields.upload_metadata(head(upload_metadata=written)) == found
    assert tus_fields.upload_metadata(head(upload_metadata="")) == {}


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "a YQ==,",
        "a YQ==,a YQ==",
        "a YQ== YQ==",
        "a =",
        "a ä",
        "ä YQ==",
        "a\tYQ==",
        "a  YQ==",
        "a " + "A" * 5000,
    ],
)
def test_metadata_that_is_not_pairs_is_refused(text: str) -> None:
    assert refusal(tus_fields.upload_metadata, head(upload_metadata=text)).status == 400


def test_parts_are_named_by_any_url_that_ends_in_their_path() -> None:
    text = "final;/files/a  http://penstock.example:80/files/b?x#y"
    found = tus_fields.upload_concat(head(upload_concat=text))
    assert found == Concat(("a", "b"))
    assert str(found) == "final;/files/a /files/b"
    assert str(tus_fields.upload_concat(head(upload_concat="partial"))) == "partial"
    assert tus_fields.upload_concat(head()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Partial",
        "final",
        "final;",
        "final; ",
        "final;/upload/a",
        "final;/files/",
        "final;/files/a/b",
        "final;/files/../etc",
        "final;/files/%2e",
        "final;http://[/files/a",
        "final;" + " /files/a" * 129,
    ],
)
def test_a_concatenation_that_names_no_uploads_is_refused(text: str) -> None:
    assert refusal(tus_fields.upload_concat, head(upload_concat=text)).status == 400
