"""What is common to all requests: rights, counts, one upload for both protocols."""

import json

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st

from penstock.uploads.model import End, Upload
from penstock.uploads.routes import is_of_uploads
from tests.uploads.asking import Site, request
from tests.uploads.begun import SIZE, TEXT, begin
from tests.uploads.fakes import FakeIntake
from tests.uploads.tusasking import TYPE, Tus, named, url_id


def test_requests_are_told_apart_by_their_path() -> None:
    for target in ("/upload", "/upload?path=a", "/files", "/files/", "/files/x?y"):
        assert is_of_uploads(target)
    for target in (
        "/",
        "/uploads",
        "/upload/x",
        "/files.txt",
        "/a?/files",
        "//files/x",
    ):
        assert not is_of_uploads(target)


@pytest.mark.parametrize("target", ["/upload?path=a", "/files", "/files/x"])
async def test_who_may_not_upload_learns_nothing_else(site: Site, target: str) -> None:
    site.refused = True
    unknown = await site.ask("POST", target, TEXT, upload_length=str(SIZE))
    known = await site.ask("POST", target, TEXT, authorization="Bearer x")
    assert (unknown.status, unknown["www-authenticate"]) == (
        401,
        'Bearer realm="uploads"',
    )
    assert (known.status, known["www-authenticate"]) == (403, None)
    assert (unknown.intake.was_asked, site.store.sessions) == (False, {})


async def test_who_may_not_upload_may_ask_what_is_possible(site: Site) -> None:
    site.refused = True
    for target in ("/upload", "/files"):
        assert (await site.ask("OPTIONS", target)).status == 204


async def test_refusals_are_problem_details(site: Site) -> None:
    answer = await site.ask("PUT", "/upload")
    assert answer["content-type"] == "application/problem+json"
    assert json.loads(answer.body) == {
        "title": "Bad Request",
        "status": 400,
        "detail": "say which upload: /upload?upload_id=ID",
    }


async def test_a_client_can_not_take_all_that_there_can_be(site: Site) -> None:
    """It may still ask, and others are not concerned."""
    begun = await begin(site)
    owner = site.upload(begun.id).owner
    site.service.at_once[owner] = site.service.most_at_once
    for answer in (await begun.put(0, SIZE), await site.ask("POST", "/files")):
        assert (answer.status, answer["retry-after"]) == (429, "1")
        assert not answer.intake.was_asked
    assert (await site.ask("HEAD", begun.url)).status == 200
    site.service.at_once.clear()
    site.service.at_once["other"] = site.service.most_at_once
    assert (await begun.put(0, SIZE)).status == 200
    assert set(site.service.at_once) == {"other"}


async def test_a_server_that_ends_begins_nothing_and_says_when_to_come_again(
    site: Site,
) -> None:
    begun = await begin(site)
    site.ends = True
    for method, target in (
        ("POST", "/upload?path=b"),
        ("PUT", begun.url),
        ("POST", "/files"),
        ("PATCH", f"/files/{begun.id}"),
    ):
        answer = await site.ask(method, target, TEXT)
        assert (answer.status, answer.intake.was_asked) == (503, False)
        assert int(answer["retry-after"] or 0) > 0
        assert "what has come of uploads is kept" in answer.detail
    assert (await site.ask("HEAD", begun.url)).status == 200


async def test_answers_are_counted_by_protocol_method_and_status(
    site: Site, tus: Tus
) -> None:
    url = await tus.create()
    await tus.patch(url, 1, TEXT)
    await site.ask("PUT", "/upload")
    await site.ask("PUT", "/upload")
    await site.ask("FROB", "/upload")
    assert site.service.results == {
        ("tus", "POST", 201): 1,
        ("tus", "PATCH", 409): 1,
        ("core", "PUT", 400): 2,
        ("core", "other", 405): 1,
    }


async def test_an_upload_of_tus_is_seen_by_upload_but_has_no_key(
    site: Site, tus: Tus
) -> None:
    url = await tus.create()
    await tus.patch(url, 0, TEXT[:100])
    other = f"/upload?upload_id={url_id(url)}"
    assert (await site.ask("HEAD", other))["upload-offset"] == "100"
    for key in ("x", '"x"'):
        answer = await site.ask("PUT", other, TEXT, idempotency_key=key)
        assert answer.status == 403


async def test_an_upload_with_a_key_wants_it_from_tus_too(site: Site, tus: Tus) -> None:
    begun = await site.ask("POST", "/upload?path=a", upload_length=str(SIZE))
    url = f"/files/{begun['upload-id']}"
    assert (await tus.patch(url, 0, TEXT[:100])).status == 400
    assert (await tus.patch(url, 0, TEXT[:100], idempotency_key="x")).status == 403
    assert (await tus.ask("DELETE", url)).status == 400
    said = {"idempotency_key": begun.fields["idempotency-key"]}
    assert (await tus.patch(url, 0, TEXT, **said)).status == 204
    assert site.store.published == {"a": TEXT}


async def hanging(
    site: Site, nursery: trio.Nursery, method: str, url: str, **said: str
) -> FakeIntake:
    """The client is gone after 100 bytes, and nobody told the server."""
    hangs = request(method, url, TEXT[:100], announced=SIZE, waits=True, **said)
    nursery.start_soon(site.sent, hangs)
    await hangs.hangs.wait()
    return hangs


PATCH = {"tus_resumable": "1.0.0", "content_type": TYPE, "upload_offset": "0"}


async def test_who_asks_for_the_offset_gets_what_a_hanging_request_brought(
    site: Site, tus: Tus, nursery: trio.Nursery
) -> None:
    url = await tus.create()
    hangs = await hanging(site, nursery, "PATCH", url, **PATCH)
    assert await tus.offset(url) == "100"
    assert (await tus.patch(url, 100, TEXT[100:])).status == 204
    assert [status for status, _, _ in hangs.answers] == [409]


async def test_a_newer_patch_takes_over_from_one_that_hangs(
    site: Site, tus: Tus, nursery: trio.Nursery
) -> None:
    url = await tus.create(upload_metadata=named("a"))
    hangs = await hanging(site, nursery, "PATCH", url, **PATCH)
    assert (await tus.patch(url, 0, b"x" * 100 + TEXT[100:])).status == 204
    assert [status for status, _, _ in hangs.answers] == [409]
    assert site.store.published == {"a": TEXT}


async def test_bytes_go_where_they_were_said_to_whatever_came_meanwhile(
    site: Site, tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older request brought becomes durable while the length is written."""
    said = {"upload_defer_length": "1", "upload_metadata": named("a")}
    url = (await tus.post(**said)).fields["location"]
    set_length = site.store.set_length

    async def meanwhile(upload: Upload, length: int) -> None:
        await set_length(upload, length)
        await site.store.keep(upload.id, 0, TEXT[:100])

    monkeypatch.setattr(site.store, "set_length", meanwhile)
    answer = await tus.patch(url, 0, TEXT, upload_length=str(SIZE))
    assert (answer.status, site.store.published) == (204, {"a": TEXT})


async def test_asking_what_is_durable_ends_no_put(
    site: Site, nursery: trio.Nursery
) -> None:
    """Ranges may come side by side, and be watched."""
    begun = await site.ask("POST", "/upload?path=a", upload_length=str(SIZE))
    said = {"idempotency_key": begun.fields["idempotency-key"]}
    url = begun.fields["location"]
    hangs = await hanging(site, nursery, "PUT", url, **said)
    assert (await site.ask("HEAD", url))["upload-offset"] == "0"
    assert hangs.answers == []
    hangs.stop()


async def test_a_newer_put_of_the_same_range_writes_what_is_missing(
    site: Site, nursery: trio.Nursery
) -> None:
    begun = await site.ask("POST", "/upload?path=a", upload_length=str(SIZE))
    said = {"idempotency_key": begun.fields["idempotency-key"]}
    url = begun.fields["location"]
    hangs = await hanging(site, nursery, "PUT", url, **said)
    assert (await site.ask("PUT", url, b"x" * 100 + TEXT[100:], **said)).status == 200
    assert [status for status, _, _ in hangs.answers] == [409]
    assert site.store.published == {"a": TEXT}


async def test_a_full_disk_is_507_and_the_upload_goes_on_later(
    site: Site, tus: Tus
) -> None:
    url = await tus.create()
    full = request(
        "PATCH", url, b"", announced=9, then=End.ERROR, tus_resumable="1.0.0"
    )
    full.head.fields.extend([("content-type", TYPE), ("upload-offset", "0")])
    answer = await site.sent(full)
    assert (answer.status, await tus.offset(url)) == (507, "0")
    assert (await tus.patch(url, 0, TEXT)).status == 204


NAMES = (
    "upload-length upload-offset upload-metadata upload-concat upload-checksum range "
    "content-range idempotency-key content-digest repr-digest if-match tus-resumable "
    "content-type upload-defer-length x-http-method-override content-encoding"
).split()
WORDS = ["1.0.0", TYPE, "0", "5", "1", "bytes=0-4", "bytes 0-4/5", "partial", "*"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["POST", "PUT", "PATCH", "HEAD", "DELETE", "OPTIONS", "GET", "x"]),
    st.sampled_from(["/upload", "/upload?path=a", "/files", "/files/x", "/upload?"])
    | st.text(st.characters(max_codepoint=255)).map(lambda t: "/upload?" + t),
    st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from(WORDS) | st.text(max_size=20)
    ),
    st.binary(max_size=8),
)
def test_whatever_is_asked_there_is_one_answer_and_no_server_error(
    method: str, target: str, fields: dict[str, str], body: bytes
) -> None:
    site = Site()
    said = {name.replace("-", "_"): value for name, value in fields.items()}
    answer = trio.run(lambda: site.ask(method, target, body, **said))
    site.store.close()
    assert 200 <= answer.status < 500
    assert answer.status < 400 or method == "HEAD" or answer.detail
