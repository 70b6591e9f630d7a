"""tus 1.0: discovery, status, bytes, the end."""

import pytest

from penstock.uploads.model import End, SessionState
from tests.uploads.asking import MOST_BYTES, Site
from tests.uploads.begun import SIZE, TEXT
from tests.uploads.fakestore import LIFETIME_S
from tests.uploads.tusasking import TYPE, Tus, checksum, named, url_id


async def test_discovery_says_what_is_possible_whatever_version_is_asked(
    tus: Tus,
) -> None:
    for target in ("/files", "/files/", "/files/x"):
        answer = await tus.ask("OPTIONS", target, tus_resumable="0.2.2")
        assert answer.status == 204
        assert answer["tus-version"] == "1.0.0"
        assert answer["tus-max-size"] == str(MOST_BYTES)
        assert answer["tus-checksum-algorithm"] == "sha1,sha256"
        assert answer["tus-extension"] == (
            "creation,creation-with-upload,creation-defer-length,checksum,"
            "expiration,termination,concatenation"
        )


@pytest.mark.parametrize("version", ["", "0.2.2", "1.0", "1.0.0, 1.0.0"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE", "GET"])
async def test_another_version_is_412_and_not_processed(
    site: Site, tus: Tus, method: str, version: str
) -> None:
    url = "/files" if method == "POST" else await tus.create()
    n_sessions = len(site.store.sessions)
    said = {"tus_resumable": version, "content_type": TYPE, "upload_offset": "0"}
    answer = await tus.ask(method, url, TEXT, upload_length=str(SIZE), **said)
    assert (answer.status, answer["tus-version"]) == (412, "1.0.0")
    assert (answer.intake.was_asked, len(site.store.sessions)) == (False, n_sessions)


async def test_a_request_without_a_version_is_412(site: Site) -> None:
    answer = await site.ask("POST", "/files", upload_length="5")
    assert (answer.status, answer["tus-version"]) == (412, "1.0.0")


async def test_the_offset_is_told_at_the_start_in_between_and_at_the_end(
    tus: Tus,
) -> None:
    url = await tus.create(upload_metadata=named("a.txt"))
    for start, end in ((0, 0), (0, 500), (500, SIZE)):
        answer = await tus.patch(url, start, TEXT[start:end])
        assert (answer.status, answer["upload-offset"]) == (204, str(end))
        status = await tus.ask("HEAD", url)
        assert (status.status, status["upload-offset"]) == (200, str(end))
        assert status["upload-length"] == str(SIZE)
        assert status["upload-metadata"] == named("a.txt")
        assert status["cache-control"] == "no-store"
        assert status["upload-concat"] is None


async def test_the_last_byte_publishes_the_file(site: Site, tus: Tus) -> None:
    url = await tus.create(upload_metadata=named("a.txt"))
    await tus.patch(url, 0, TEXT[:1000])
    assert site.store.published == {}
    await tus.patch(url, 1000, TEXT[1000:])
    assert site.store.published == {"a.txt": TEXT}


@pytest.mark.parametrize("offset", [0, 99, 101, SIZE])
async def test_another_offset_is_409_and_nothing_changes(tus: Tus, offset: int) -> None:
    url = await tus.create()
    await tus.patch(url, 0, TEXT[:100])
    answer = await tus.patch(url, offset, TEXT[offset : offset + 1])
    assert (answer.status, answer["upload-offset"]) == (409, "100")
    assert answer.intake.was_asked is False
    assert await tus.offset(url) == "100"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"content_type": "application/json"}, 415),
        ({"content_type": ""}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"upload_offset": "x"}, 400),
        ({"upload_offset": "-1"}, 400),
        ({"upload_offset": "0, 0"}, 400),
        ({"upload_offset": "1"}, 409),
        ({"upload_length": str(SIZE + 1)}, 400),
        ({"upload_length": "x"}, 400),
        ({"upload_checksum": "md5 AAAA"}, 400),
        ({"upload_checksum": "sha1 AAAA"}, 400),
    ],
)
async def test_a_patch_that_cannot_be_is_refused_before_its_body_is_sent(
    tus: Tus, said: dict[str, str], status: int
) -> None:
    url = await tus.create()
    answer = await tus.patch(url, 0, TEXT[:100], **said)
    assert (answer.status, answer.intake.was_asked) == (status, False)
    assert answer.detail
    assert await tus.offset(url) == "0"


async def test_a_patch_says_its_offset_and_its_type(tus: Tus) -> None:
    url = await tus.create()
    without_offset = await tus.ask("PATCH", url, TEXT, content_type=TYPE)
    without_type = await tus.ask("PATCH", url, TEXT, upload_offset="0")
    assert (without_offset.status, without_type.status) == (400, 415)
    assert (await tus.patch(url, 0, b"x", content_type=f"{TYPE}; q=1")).status == 204


@pytest.mark.parametrize("start", [0, 500, SIZE])
async def test_bytes_beyond_the_length_are_413(tus: Tus, start: int) -> None:
    url = await tus.create()
    await tus.patch(url, 0, TEXT[:start])
    answer = await tus.patch(url, start, TEXT[start:] + b"x")
    assert (answer.status, answer.intake.was_asked) == (413, False)
    assert await tus.offset(url) == str(start)


async def test_what_a_chunked_body_has_beyond_the_length_is_thrown_away(
    site: Site, tus: Tus
) -> None:
    url = await tus.create(upload_metadata=named("a"))
    answer = await tus.patch(url, 0, TEXT + b"more", chunked=True)
    assert (answer.status, answer["upload-offset"]) == (204, str(SIZE))
    assert site.store.published == {"a": TEXT}
    late = await tus.patch(url, SIZE, b"more", chunked=True)
    assert (late.status, late.intake.was_asked) == (204, False)


async def test_a_chunked_body_may_end_anywhere(tus: Tus) -> None:
    url = await tus.create()
    answer = await tus.patch(url, 0, TEXT[:100], chunked=True)
    assert (answer.status, answer["upload-offset"]) == (204, "100")


@pytest.mark.parametrize("then", [End.CUT, End.TIMEOUT])
@pytest.mark.parametrize("chunked", [False, True])
async def test_of_a_body_that_was_cut_what_came_is_kept_and_no_more_claimed(
    tus: Tus, then: End, chunked: bool
) -> None:
    url = await tus.create()
    said = {"then": then, "chunked": chunked, "announced": SIZE}
    answer = await tus.patch(url, 0, TEXT[:100], **said)
    assert (answer.status, answer["upload-offset"]) == (400, "100")
    assert await tus.offset(url) == "100"
    assert (await tus.patch(url, 100, TEXT[100:])).status == 204


@pytest.mark.parametrize("name", ["sha1", "sha256"])
async def test_bytes_that_match_their_checksum_are_kept(tus: Tus, name: str) -> None:
    url = await tus.create()
    said = {"upload_checksum": checksum(TEXT[:100], name)}
    assert (await tus.patch(url, 0, TEXT[:100], **said)).status == 204


async def test_bytes_that_do_not_match_their_checksum_are_460_and_forgotten(
    tus: Tus,
) -> None:
    url = await tus.create()
    await tus.patch(url, 0, TEXT[:100])
    answer = await tus.patch(url, 100, TEXT[100:], upload_checksum=checksum(b"x"))
    assert (answer.status, await tus.offset(url)) == (460, "100")
    assert "Upload-Checksum" in answer.detail


async def test_a_checksum_of_a_body_that_was_cut_keeps_nothing(tus: Tus) -> None:
    url = await tus.create()
    said = {"upload_checksum": checksum(TEXT), "announced": SIZE, "then": End.CUT}
    assert (await tus.patch(url, 0, TEXT[:100], **said)).status == 400
    assert await tus.offset(url) == "0"


async def test_a_checksum_needs_a_length(tus: Tus) -> None:
    url = await tus.create()
    said = {"upload_checksum": checksum(TEXT), "chunked": True}
    answer = await tus.patch(url, 0, TEXT, **said)
    assert (answer.status, answer.intake.was_asked) == (411, False)


async def test_a_length_that_was_put_off_is_said_once(site: Site, tus: Tus) -> None:
    said = {"upload_defer_length": "1", "upload_metadata": named("a")}
    url = (await tus.post(**said)).fields["location"]
    await tus.patch(url, 0, TEXT[:100])
    status = await tus.ask("HEAD", url)
    assert (status["upload-defer-length"], status["upload-length"]) == ("1", None)
    said = {"upload_length": str(SIZE)}
    assert (await tus.patch(url, 100, TEXT[100:200], **said)).status == 204
    status = await tus.ask("HEAD", url)
    assert status["upload-defer-length"] is None
    assert status["upload-length"] == str(SIZE)
    assert (await tus.patch(url, 200, TEXT[200:300], **said)).status == 204
    changed = {"upload_length": str(SIZE + 1)}
    assert (await tus.patch(url, 300, TEXT[300:], **changed)).status == 400
    assert (await tus.patch(url, 300, TEXT[300:])).status == 204
    assert site.store.published == {"a": TEXT}


async def test_a_length_that_comes_after_the_last_byte_ends_the_upload(
    site: Site, tus: Tus
) -> None:
    said = {"upload_defer_length": "1", "upload_metadata": named("a")}
    url = (await tus.post(**said)).fields["location"]
    await tus.patch(url, 0, TEXT)
    assert site.store.published == {}
    assert (await tus.patch(url, SIZE, upload_length=str(SIZE))).status == 204
    assert site.store.published == {"a": TEXT}


@pytest.mark.parametrize(
    ("length", "status"),
    [(99, 400), (150, 413), (MOST_BYTES + 1, 413), (2**63, 400)],
)
async def test_a_length_that_cannot_be_is_not_taken(
    tus: Tus, length: int, status: int
) -> None:
    url = (await tus.post(upload_defer_length="1")).fields["location"]
    await tus.patch(url, 0, TEXT[:100])
    answer = await tus.patch(url, 100, TEXT[:100], upload_length=str(length))
    assert (answer.status, answer.intake.was_asked) == (status, False)
    assert (await tus.ask("HEAD", url))["upload-defer-length"] == "1"


async def test_without_a_length_an_upload_ends_where_any_does(tus: Tus) -> None:
    url = (await tus.post(upload_defer_length="1")).fields["location"]
    answer = await tus.patch(url, 0, b"", announced=MOST_BYTES + 1)
    assert (answer.status, answer.intake.was_asked) == (413, False)


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", ["0" * 32, "x/y", "../x", "%2e", "x" * 9999, "?x"])
async def test_an_unknown_upload_is_404_and_has_no_offset(
    tus: Tus, method: str, name: str
) -> None:
    said = {"content_type": TYPE, "upload_offset": "0"}
    answer = await tus.ask(method, f"/files/{name}", TEXT, **said)
    assert (answer.status in (404, 405), answer["upload-offset"]) == (True, None)


async def test_a_deleted_upload_is_gone(site: Site, tus: Tus) -> None:
    url = await tus.create()
    await tus.patch(url, 0, TEXT[:100])
    assert (await tus.ask("DELETE", url)).status == 204
    assert site.upload(url_id(url)).state is SessionState.TERMINATED
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = await tus.ask(method, url, content_type=TYPE, upload_offset="100")
        assert (answer.status, answer["upload-offset"]) == (410, None)


async def test_an_upload_expires_when_it_was_said_to(site: Site, tus: Tus) -> None:
    answer = await tus.post(upload_length=str(SIZE))
    url = answer.fields["location"]
    when = "Fri, 27 Nov 2026 13:00:00 GMT"
    patched = await tus.patch(url, 0, TEXT[:100])
    status = await tus.ask("HEAD", url)
    assert {a["upload-expires"] for a in (answer, patched, status)} == {when}
    site.now += LIFETIME_S
    late = await tus.ask("HEAD", url)
    assert (late.status, late["upload-offset"]) == (410, None)
    assert (await tus.patch(url, 100, TEXT[100:])).status == 410


async def test_a_finished_upload_does_not_expire(site: Site, tus: Tus) -> None:
    url = await tus.create()
    done = await tus.patch(url, 0, TEXT)
    assert done["upload-expires"] is None
    site.now += LIFETIME_S
    assert await tus.offset(url) == str(SIZE)


async def test_a_failed_upload_has_no_offset_to_go_on_from(tus: Tus) -> None:
    said = {"repr_digest": f"sha-256=:{'A' * 43}=:"}
    url = await tus.create(**said)
    assert (await tus.patch(url, 0, TEXT)).status == 422
    answer = await tus.ask("HEAD", url)
    assert (answer.status, answer["upload-offset"]) == (410, None)


async def test_head_finishes_what_is_whole(site: Site, tus: Tus) -> None:
    """A client that sees all of it there asks for nothing else."""
    url = await tus.create(upload_metadata=named("a"))
    site.fail("finish", 507)
    assert (await tus.patch(url, 0, TEXT)).status == 507
    assert await tus.offset(url) == str(SIZE)
    assert site.store.published == {"a": TEXT}


@pytest.mark.parametrize("method", ["PATCH", "patch"])
async def test_methods_are_overridden_for_who_can_only_post(
    site: Site, tus: Tus, method: str
) -> None:
    url = await tus.create()
    said = {"content_type": TYPE, "upload_offset": "0"}
    answer = await tus.ask("POST", url, TEXT[:9], x_http_method_override=method, **said)
    assert (answer.status, answer["upload-offset"]) == (204, "9")
    deleted = await tus.ask("POST", url, x_http_method_override="DELETE")
    assert (deleted.status, site.upload(url_id(url)).state) == (204, "terminated")


async def test_only_post_is_overridden(site: Site, tus: Tus) -> None:
    url = await tus.create()
    await tus.ask("HEAD", url, x_http_method_override="DELETE")
    assert site.upload(url_id(url)).state is SessionState.OPEN


async def test_other_methods_are_405_with_those_that_there_are(tus: Tus) -> None:
    url = await tus.create()
    for method in ("GET", "PUT", "POST"):
        answer = await tus.ask(method, url)
        assert (answer.status, answer["allow"]) == (405, "HEAD, PATCH, DELETE, OPTIONS")
    answer = await tus.ask("PATCH", "/files")
    assert (answer.status, answer["allow"]) == (405, "POST, OPTIONS")
