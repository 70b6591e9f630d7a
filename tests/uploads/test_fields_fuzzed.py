"""Whatever a field has: the answer is a value or a refusal."""

from hypothesis import example, given, strategies as st

from penstock.uploads import digest_fields, fields, names, tus_fields
from penstock.uploads.model import RefusedError
from tests.uploads.asking import encoded
from tests.uploads.fakes import head
from tests.uploads.parsing import check_outcome, outcome

ANYTHING = st.text(st.characters(max_codepoint=255)) | st.text()


@given(ANYTHING)
@example("bytes=0-1")
def test_whatever_comes_is_understood_or_refused(text: str) -> None:
    heads = {
        fields.byte_range: ("range", "content-range"),
        fields.upload_length: ("upload-length", "x-upload-content-length"),
        fields.defers_length: ("upload-defer-length",),
        fields.idempotency_key: ("idempotency-key",),
        fields.if_match: ("if-match",),
        fields.refuse_coded: ("content-encoding",),
        fields.is_octet_stream: ("content-type",),
        digest_fields.content_digest: ("content-digest",),
        digest_fields.wanted_digests: ("repr-digest", "penstock-digest"),
        digest_fields.upload_checksum: ("upload-checksum",),
        tus_fields.upload_metadata: ("upload-metadata",),
        tus_fields.upload_concat: ("upload-concat",),
    }
    for parse, names_of_fields in heads.items():
        for name in names_of_fields:
            check_outcome(parse, head(**{name: text}))


@given(st.sampled_from(["sha-256=", "sha-256=:", '"', "a;", "sha-512=("]), ANYTHING)
def test_structured_fields_that_begin_well_are_understood_or_refused(
    begin: str, rest: str
) -> None:
    text = begin + rest
    check_outcome(digest_fields.content_digest, head(content_digest=text))
    check_outcome(fields.idempotency_key, head(idempotency_key=text))


@given(st.dictionaries(st.text(min_size=1), st.binary()))
def test_metadata_that_is_kept_has_nothing_but_pairs_in_it(
    pairs: dict[str, bytes],
) -> None:
    text = ",".join(f"{key} {encoded(value)}" for key, value in pairs.items())
    found = outcome(tus_fields.upload_metadata, head(upload_metadata=text))
    if isinstance(found, RefusedError):
        return
    written = tus_fields.written_metadata(found)
    assert written.isascii()
    assert written.isprintable() or not written
    assert tus_fields.upload_metadata(head(upload_metadata=written)) == found


@given(ANYTHING)
@example("../../etc/passwd")
def test_a_path_stays_below_the_root_or_is_refused(text: str) -> None:
    path = outcome(names.target_path, text)
    if isinstance(path, RefusedError):
        assert path.status == 400
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert not any(part.startswith(".") or len(part.encode()) > 255 for part in parts)
    assert not any(ord(c) < 32 or ord(c) == 127 for c in path)
    assert names.location(path).isascii()
