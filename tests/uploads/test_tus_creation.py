"""tus 1.0: how uploads begin, alone or from parts."""

import pytest

from penstock.uploads.model import End, SessionState
from penstock.uploads.tus_fields import METADATA_BYTES_MAX, PARTS_MAX
from tests.uploads.asking import MOST_BYTES, Site, encoded
from tests.uploads.begun import SIZE, TEXT
from tests.uploads.tusasking import TYPE, Tus, checksum, named, url_id


async def test_an_upload_begins_at_offset_0_with_a_url_of_its_own(
    site: Site, tus: Tus
) -> None:
    for target in ("/files", "/files/"):
        answer = await tus.ask("POST", target, upload_length=str(SIZE))
        url = answer.fields["location"]
        assert (answer.status, url) == (201, f"/files/{url_id(url)}")
        assert answer["upload-offset"] is None
        assert await tus.offset(url) == "0"
    assert len(site.store.sessions) == 2


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 400),
        ({"upload_length": "5", "upload_defer_length": "1"}, 400),
        ({"upload_defer_length": "2"}, 400),
        ({"upload_length": "x"}, 400),
        ({"upload_length": "-5"}, 400),
        ({"upload_length": str(MOST_BYTES + 1)}, 413),
        ({"upload_length": "5", "upload_metadata": "filename %"}, 400),
        ({"upload_length": "5", "upload_metadata": "a YQ==,a YQ=="}, 400),
        ({"upload_length": "5", "upload_metadata": named("../../etc/passwd")}, 400),
        ({"upload_length": "5", "upload_metadata": named("a\0")}, 400),
        ({"upload_length": "5", "upload_metadata": named("a\r\nX: y")}, 400),
        ({"upload_length": "5", "upload_metadata": named("x" * 300)}, 400),
        ({"upload_length": "5", "upload_metadata": named(".")}, 400),
        (
            {"upload_length": "5", "upload_metadata": f"filename {encoded(b'x' * 1)}/"},
            400,
        ),
        ({"upload_length": "5", "upload_metadata": "filename /w=="}, 400),
        ({"upload_length": "5", "upload_concat": "whole"}, 400),
        ({"upload_length": "5", "if_match": "x"}, 400),
    ],
)
async def test_an_upload_that_cannot_be_is_not_begun(
    site: Site, tus: Tus, said: dict[str, str], status: int
) -> None:
    answer = await tus.post(**said)
    assert answer.status == status
    assert answer.detail
    assert site.store.sessions == {}


async def test_its_name_is_that_of_the_metadata_or_else_its_id(
    site: Site, tus: Tus
) -> None:
    named_url = await tus.create(upload_metadata=named("a/ü b.txt"))
    assert site.upload(url_id(named_url)).target == "a/ü b.txt"
    url = await tus.create(upload_metadata="kind eA==")
    assert site.upload(url_id(url)).target == url_id(url)


async def test_a_name_that_is_taken_is_409(site: Site, tus: Tus) -> None:
    site.store.published["a"] = b"old"
    said = {"upload_length": "5", "upload_metadata": named("a")}
    assert (await tus.post(**said)).status == 409
    assert (await tus.post(**said, if_match="*")).status == 201


async def test_an_empty_upload_is_complete_at_once(site: Site, tus: Tus) -> None:
    answer = await tus.post(upload_length="0", upload_metadata=named("a"))
    assert (answer.status, answer["upload-expires"]) == (201, None)
    assert site.store.published == {"a": b""}
    assert await tus.offset(answer.fields["location"]) == "0"


@pytest.mark.parametrize("n_bytes", [0, 100, SIZE])
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upload_may_begin_with_bytes(
    site: Site, tus: Tus, n_bytes: int, chunked: bool
) -> None:
    said = {"upload_length": str(SIZE), "upload_metadata": named("a")}
    said |= {"content_type": TYPE}
    answer = await tus.post(TEXT[:n_bytes], chunked=chunked, **said)
    assert (answer.status, answer["upload-offset"]) == (201, str(n_bytes))
    assert await tus.offset(answer.fields["location"]) == str(n_bytes)
    assert site.store.published == ({"a": TEXT} if n_bytes == SIZE else {})


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": TYPE, "upload_length": "99"}, 413),
        ({"content_type": TYPE, "upload_checksum": "md5 AAAA"}, 400),
        ({"content_type": TYPE, "content_encoding": "br"}, 415),
    ],
)
async def test_bytes_that_cannot_be_taken_are_refused_before_they_are_sent(
    site: Site, tus: Tus, said: dict[str, str], status: int
) -> None:
    answer = await tus.post(TEXT[:100], **{"upload_length": "100", **said})
    assert (answer.status, answer.intake.was_asked) == (status, False)
    assert site.store.sessions == {}


async def test_what_the_store_refuses_is_answered_before_bytes_are_sent(
    site: Site, tus: Tus
) -> None:
    site.fail("create", 507)
    said = {"upload_length": "100", "content_type": TYPE}
    answer = await tus.post(TEXT[:100], **said)
    assert (answer.status, answer.intake.was_asked) == (507, False)


async def test_a_beginning_that_fails_leaves_nothing_nobody_knows_its_url(
    site: Site, tus: Tus
) -> None:
    said = {"upload_length": "100", "content_type": TYPE}
    wrong = await tus.post(TEXT[:100], upload_checksum=checksum(b"x"), **said)
    cut = await tus.post(TEXT[:50], announced=100, then=End.CUT, **said)
    assert (wrong.status, cut.status) == (460, 400)
    states = {upload.state for upload in site.store.sessions.values()}
    assert states == {SessionState.TERMINATED}


async def part(tus: Tus, content: bytes) -> str:
    said = {"upload_length": str(len(content)), "upload_concat": "partial"}
    url = (await tus.post(**said)).fields["location"]
    assert (await tus.patch(url, 0, content)).status == 204
    return url


async def final(tus: Tus, urls: str, **said: str):
    return await tus.post(upload_concat=f"final;{urls}", **said)


async def test_parts_are_put_together_in_the_order_that_is_said(
    site: Site, tus: Tus
) -> None:
    one, other = await part(tus, b"one"), await part(tus, b"other")
    assert site.store.published == {}
    said = {"upload_metadata": named("a")}
    answer = await final(tus, f"{other} http://penstock.example{one}", **said)
    assert answer.status == 201
    assert site.store.published == {"a": b"otherone"}
    status = await tus.ask("HEAD", answer.fields["location"])
    assert (status["upload-offset"], status["upload-length"]) == ("8", "8")
    assert status["upload-concat"] == f"final;{other} {one}"


async def test_parts_can_be_used_again_and_give_no_metadata(
    site: Site, tus: Tus
) -> None:
    said = {"upload_concat": "partial", "upload_metadata": named("x")}
    url = (await tus.post(upload_length="1", **said)).fields["location"]
    await tus.patch(url, 0, b"x")
    first = await final(tus, f"{url} {url}")
    second = await final(tus, url, upload_metadata=named("y"))
    name = url_id(first.fields["location"])
    assert site.store.published == {name: b"xx", "y": b"x"}
    assert second.status == 201


async def test_a_part_that_is_whole_is_finished_by_who_uses_it(
    site: Site, tus: Tus
) -> None:
    said = {"upload_length": "1", "upload_concat": "partial"}
    url = (await tus.post(**said)).fields["location"]
    site.fail("finish", 500)
    assert (await tus.patch(url, 0, b"x")).status == 500
    assert (await final(tus, url, upload_metadata=named("a"))).status == 201
    assert site.store.published == {"a": b"x"}


async def test_a_part_says_that_it_is_one(tus: Tus) -> None:
    url = await part(tus, b"x")
    assert (await tus.ask("HEAD", url))["upload-concat"] == "partial"


async def test_what_cannot_be_put_together_is_refused(site: Site, tus: Tus) -> None:
    said = {"upload_length": "5", "upload_concat": "partial"}
    unfinished = (await tus.post(**said)).fields["location"]
    whole = await tus.create(upload_length="0")
    url = await part(tus, b"x")
    for urls, status in (
        (unfinished, 400),
        (f"{url} {unfinished}", 400),
        (whole, 400),
        ("/files/" + "0" * 32, 404),
        ("", 400),
        ("/elsewhere", 400),
    ):
        assert (await final(tus, urls)).status == status
    assert (await final(tus, url, upload_length="1")).status == 400
    assert (await final(tus, url, upload_defer_length="1")).status == 400
    with_body = {"upload_concat": f"final;{url}", "content_type": TYPE}
    assert (await tus.post(b"x", **with_body)).status == 400
    assert "concatenate" not in site.store.calls


async def test_what_is_told_of_an_upload_fits_into_an_answer(tus: Tus) -> None:
    """The engine takes 11 KB."""
    url = await part(tus, b"x")
    metadata = f"{named('a')},k {encoded(bytes(3000))}"
    answer = await final(tus, " ".join([url] * PARTS_MAX), upload_metadata=metadata)
    assert answer.status == 201
    status = await tus.ask("HEAD", answer.fields["location"])
    assert len(metadata) > METADATA_BYTES_MAX - 99
    assert sum(len(name + value) + 4 for name, value in status.fields.items()) < 10_000


async def test_parts_that_are_too_much_together_are_413(tus: Tus) -> None:
    half = await part(tus, bytes(MOST_BYTES // 2 + 1))
    assert (await final(tus, f"{half} {half}")).status == 413


async def test_a_deleted_part_is_gone(tus: Tus) -> None:
    url = await part(tus, b"x")
    await tus.ask("DELETE", url)
    assert (await final(tus, url)).status == 410


async def test_a_final_upload_takes_no_bytes(tus: Tus) -> None:
    answer = await final(tus, await part(tus, b"x"))
    url = answer.fields["location"]
    for offset in (0, 1):
        assert (await tus.patch(url, offset, b"y")).status == 403
