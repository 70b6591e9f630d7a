"""Digests and checksums in fields."""

import pytest

from penstock.uploads import digest_fields
from tests.uploads.asking import digest, encoded
from tests.uploads.fakes import head
from tests.uploads.parsing import refusal


def test_a_digest_of_the_body_is_read_and_the_cheapest_is_taken() -> None:
    both = f"{digest(b'x', 'sha-512')}, {digest(b'x')}, md5=:AAAA:"
    found = digest_fields.content_digest(head(content_digest=both))
    assert found is not None
    assert (found[0], len(found[1])) == ("sha-256", 32)
    long = digest_fields.content_digest(head(content_digest=digest(b"x", "sha-512")))
    assert long is not None
    assert (long[0], len(long[1])) == ("sha-512", 64)
    assert digest_fields.content_digest(head()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        "sha-256=abc",
        'sha-256="abc"',
        "sha-256=:AAAA:",
        "sha-256=:AA",
        "sha-256=(:AAAA:)",
        "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
        "SHA-256=:AAAA:",
        "sha-256=:ä:",
    ],
)
def test_a_digest_that_nobody_can_check_is_refused(text: str) -> None:
    refused = refusal(digest_fields.content_digest, head(content_digest=text))
    assert refused.status == 400


def test_an_unknown_algorithm_is_told_which_are_wanted() -> None:
    refused = refusal(digest_fields.wanted_digests, head(repr_digest="md5=:AAAA:"))
    assert refused.fields == (("Want-Repr-Digest", "sha-256=10"),)


def test_digests_of_the_whole_are_said_as_they_were_asked_for() -> None:
    asked = head(
        repr_digest=f"{digest(b'x')}, {digest(b'x', 'sha-512')}",
        penstock_digest=digest(b"x").replace("sha-256", "sha256-tree-1m"),
    )
    found = digest_fields.wanted_digests(asked)
    assert list(found) == ["sha-256", "sha-512", "sha256-tree-1m"]
    said = {name.lower(): value for name, value in digest_fields.written_digests(found)}
    assert said == {"repr-digest": asked.get("repr-digest")} | {
        "penstock-digest": asked.get("penstock-digest")
    }


def test_a_checksum_of_tus_is_an_algorithm_and_base64() -> None:
    text = f"sha1 {encoded(bytes(20))}"
    found = digest_fields.upload_checksum(head(upload_checksum=text))
    assert found == ("sha1", bytes(20))
    assert digest_fields.upload_checksum(head()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha1",
        f"md5 {encoded(bytes(16))}",
        f"sha1 {encoded(bytes(19))}",
        f"SHA1 {encoded(bytes(20))}",
        f"sha1  {encoded(bytes(20))}",
        "sha1 ÄÖÜ",
        "sha1 a",
    ],
)
def test_a_checksum_that_nobody_can_check_is_refused(text: str) -> None:
    refused = refusal(digest_fields.upload_checksum, head(upload_checksum=text))
    assert refused.status == 400
