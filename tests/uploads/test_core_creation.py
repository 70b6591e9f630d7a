"""``POST /upload``: how an upload begins, and what its file may replace."""

import hashlib

import pytest

from penstock.uploads.model import SessionState
from tests.uploads.asking import MOST_BYTES, Site
from tests.uploads.begun import SIZE, TEXT, begin
from tests.uploads.fakestore import LIFETIME_S


async def test_an_upload_begins_with_its_length_and_gets_a_url_and_a_key(
    site: Site,
) -> None:
    begun = await begin(site)
    assert begun.url == f"/upload?upload_id={begun.id}"
    assert begun.answer["upload-offset"] == "0"
    assert begun.answer["cache-control"] == "no-store"
    assert begun.answer["upload-expires"] == "Fri, 27 Nov 2026 13:00:00 GMT"
    upload = site.upload(begun.id)
    assert (upload.target, upload.length, upload.owner) == ("a/b.bin", SIZE, "ci")
    assert upload.expires == upload.created + LIFETIME_S


async def test_of_the_key_only_a_hash_is_kept(site: Site) -> None:
    begun = await begin(site)
    upload = site.upload(begun.id)
    assert upload.key_hash == hashlib.sha256(begun.key.encode()).digest()
    assert begun.key not in repr(upload)
    other = await begin(site, "other")
    assert (other.key != begun.key, other.id != begun.id) == (True, True)


async def test_the_length_may_have_its_other_name(site: Site) -> None:
    said = {"x_upload_content_length": "5"}
    answer = await site.ask("POST", "/upload?path=a", **said)
    assert (answer.status, answer["upload-length"]) == (201, "5")


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/upload?path=a", {}, 400),
        ("/upload?path=a", {"upload_length": "x"}, 400),
        ("/upload?path=a", {"upload_length": "-1"}, 400),
        ("/upload?path=a", {"upload_length": "5", "x_upload_content_length": "6"}, 400),
        ("/upload?path=a", {"upload_length": str(MOST_BYTES + 1)}, 413),
        ("/upload", {"upload_length": "5"}, 400),
        ("/upload?path=", {"upload_length": "5"}, 400),
        ("/upload?path=../a", {"upload_length": "5"}, 400),
        ("/upload?path=%2e%2e/a", {"upload_length": "5"}, 400),
        ("/upload?path=a%00", {"upload_length": "5"}, 400),
        ("/upload?path=%ff", {"upload_length": "5"}, 400),
        ("/upload?path=a&path=b", {"upload_length": "5"}, 400),
        (
            "/upload?path=a" + "".join(f"&{n}=" for n in range(16)),
            {"upload_length": "5"},
            400,
        ),
        ("/upload?path=a", {"upload_length": "5", "repr_digest": "md5=:AAAA:"}, 400),
        ("/upload?path=a", {"upload_length": "5", "if_match": "x"}, 400),
        ("/upload?path=a", {"upload_length": "5", "if_match": 'W/"x"'}, 412),
    ],
)
async def test_an_upload_that_cannot_be_is_not_begun(
    site: Site, target: str, fields: dict[str, str], status: int
) -> None:
    answer = await site.ask("POST", target, **fields)
    assert answer.status == status
    assert answer.detail
    assert site.store.sessions == {}


async def test_a_body_of_the_post_is_refused_before_it_is_sent(site: Site) -> None:
    answer = await site.ask("POST", "/upload?path=a", b"{}", upload_length="5")
    assert (answer.status, answer.intake.was_asked) == (400, False)


async def test_what_the_store_refuses_is_answered(site: Site) -> None:
    site.fail("create", 507, "there is no space for it")
    answer = await site.ask("POST", "/upload?path=a", upload_length="5")
    assert (answer.status, answer.detail) == (507, "there is no space for it")


async def test_an_empty_file_is_there_at_once(site: Site) -> None:
    begun = await begin(site, upload_length="0")
    assert begun.answer["content-location"] == "/a/b.bin"
    assert site.store.published == {"a/b.bin": b""}
    answer = await site.ask("PUT", begun.url, idempotency_key=begun.key)
    assert (answer.status, answer["content-range"]) == (200, None)


async def test_what_its_own_request_cannot_finish_is_forgotten(site: Site) -> None:
    site.fail("finish", 409)
    answer = await site.ask("POST", "/upload?path=a", upload_length="0")
    [upload] = site.store.sessions.values()
    assert (answer.status, upload.state) == (409, SessionState.TERMINATED)


async def test_a_file_is_not_replaced(site: Site) -> None:
    site.store.published["a/b.bin"] = b"old"
    answer = await site.ask("POST", "/upload?path=a/b.bin", upload_length="5")
    assert (answer.status, site.store.published) == (409, {"a/b.bin": b"old"})


@pytest.mark.parametrize("any_file", [False, True])
async def test_if_match_lets_a_file_be_replaced(site: Site, any_file: bool) -> None:
    site.store.published["a/b.bin"] = b"old"
    said = "*" if any_file else site.store.etag("a/b.bin")
    begun = await begin(site, if_match=said)
    assert (await begun.put(0, SIZE)).status == 200
    assert site.store.published == {"a/b.bin": TEXT}


async def test_if_match_replaces_no_other_file(site: Site) -> None:
    """Neither when it begins nor, if the file changes meanwhile, when it ends."""
    site.store.published["a/b.bin"] = b"old"
    said = {"upload_length": str(SIZE), "if_match": '"another"'}
    assert (await site.ask("POST", "/upload?path=a/b.bin", **said)).status == 412
    begun = await begin(site, if_match=site.store.etag("a/b.bin"))
    site.store.published["a/b.bin"] = b"newer"
    assert (await begun.put(0, SIZE)).status == 412
    assert site.store.published == {"a/b.bin": b"newer"}


async def test_if_match_needs_a_file(site: Site) -> None:
    said = {"upload_length": str(SIZE), "if_match": "*"}
    assert (await site.ask("POST", "/upload?path=a/b.bin", **said)).status == 412


async def test_of_two_uploads_to_one_place_the_first_to_finish_wins(site: Site) -> None:
    one, other = await begin(site), await begin(site)
    assert (await other.put(0, SIZE)).status == 200
    assert (await one.put(0, SIZE, b"x" * SIZE)).status == 409
    assert site.store.published == {"a/b.bin": TEXT}


async def test_the_query_is_decoded_once_as_forms_are(site: Site) -> None:
    begun = await begin(site, "a%20b+c%2B%C3%BC%2525")
    assert site.upload(begun.id).target == "a b c+ü%25"


async def test_what_may_be_asked_is_told(site: Site) -> None:
    options = await site.ask("OPTIONS", "/upload")
    assert (options.status, options["allow"]) == (
        204,
        "POST, PUT, HEAD, DELETE, OPTIONS",
    )
    for method in ("GET", "PATCH", "TRACE"):
        answer = await site.ask(method, "/upload?upload_id=x")
        assert (answer.status, answer["allow"]) == (405, options["allow"])
