"""``/upload``: who may go on, what is told, and how an upload ends."""

import pytest

from penstock.uploads.model import SessionState
from tests.uploads.asking import Site, digest, encoded
from tests.uploads.begun import SIZE, TEXT, begin
from tests.uploads.fakestore import LIFETIME_S, tree


async def test_a_wrong_digest_of_the_whole_is_422_and_publishes_nothing(
    site: Site,
) -> None:
    begun = await begin(site, repr_digest=digest(b"other"))
    assert (await begun.put(0, SIZE)).status == 422
    assert site.store.published == {}
    after = await begun.put(0, SIZE)
    assert (after.status, "failed" in after.detail) == (410, True)


async def test_digests_of_the_whole_are_checked_and_told(site: Site) -> None:
    root = f"sha256-tree-1m=:{encoded(tree(TEXT))}:"
    begun = await begin(site, repr_digest=digest(TEXT), penstock_digest=root)
    answer = await begun.put(0, SIZE)
    assert answer["repr-digest"] == digest(TEXT)
    assert answer["penstock-digest"] == root


async def test_a_wrong_root_of_the_tree_is_422(site: Site) -> None:
    root = f"sha256-tree-1m=:{encoded(bytes(32))}:"
    begun = await begin(site, penstock_digest=root)
    assert (await begun.put(0, SIZE)).status == 422


async def test_head_says_what_is_durable(site: Site) -> None:
    begun = await begin(site)
    empty = await site.ask("HEAD", begun.url)
    assert (empty.status, empty["upload-offset"], empty.body) == (200, "0", b"")
    assert empty["upload-ranges"] is None
    await begun.put(0, 100)
    await begun.put(200, 300)
    some = await site.ask("HEAD", begun.url)
    assert (some["upload-offset"], some["upload-length"]) == ("100", str(SIZE))
    assert some["upload-ranges"] == "bytes=0-99,200-299"
    assert some["cache-control"] == "no-store"


async def test_head_after_a_lost_answer_says_that_the_file_is_there(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, SIZE)
    done = await site.ask("HEAD", begun.url)
    assert (done["upload-offset"], done["content-location"]) == (str(SIZE), "/a/b.bin")
    assert done["upload-expires"] is None


async def test_head_says_a_bounded_number_of_ranges(site: Site) -> None:
    begun = await begin(site)
    for start in range(0, 200, 2):
        await begun.put(start, start + 1)
    said = (await site.ask("HEAD", begun.url)).fields["upload-ranges"]
    assert said.startswith("bytes=0-0,2-2,4-4,")
    assert len(said.split(",")) == 64


async def test_head_with_another_key_is_403(site: Site) -> None:
    begun = await begin(site)
    answer = await site.ask("HEAD", begun.url, idempotency_key="other")
    assert (answer.status, answer.body, answer["content-type"]) == (403, b"", None)


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
async def test_a_whole_upload_that_was_not_finished_is_finished_by_who_asks(
    site: Site, method: str
) -> None:
    """The process ended between the last range and the end, or publishing failed."""
    begun = await begin(site)
    site.fail("finish", 507, "no space for the name")
    assert (await begun.put(0, SIZE)).status == 507
    assert site.store.published == {}
    said = {"range": f"bytes=0-{SIZE - 1}", "idempotency_key": begun.key}
    answer = await site.ask(method, begun.url, TEXT * (method == "PUT"), **said)
    assert (answer.status, answer["content-location"]) == (200, "/a/b.bin")
    assert site.store.published == {"a/b.bin": TEXT}


async def test_a_deleted_upload_is_gone(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512)
    said = {"idempotency_key": begun.key}
    assert (await site.ask("DELETE", begun.url, **said)).status == 204
    for method in ("HEAD", "PUT", "DELETE"):
        assert (await site.ask(method, begun.url, **said)).status == 410


async def test_a_published_file_outlives_its_upload(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, SIZE)
    assert (await site.ask("DELETE", begun.url, idempotency_key=begun.key)).status == (
        204
    )
    assert site.store.published == {"a/b.bin": TEXT}


async def test_an_upload_expires_whoever_notices_first(site: Site) -> None:
    begun = await begin(site)
    site.now += LIFETIME_S
    answer = await begun.put(0, 512)
    assert (answer.status, answer.intake.was_asked) == (410, False)
    assert "expired" in answer.detail


async def test_a_finished_upload_does_not_expire(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, SIZE)
    site.now += LIFETIME_S
    assert (await begun.put(0, SIZE)).status == 200


@pytest.mark.parametrize(
    ("key", "status"), [(None, 400), ("wrong", 403), ('"wrong', 400), ("", 400)]
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_without_its_key_an_upload_is_not_touched(
    site: Site, method: str, key: str | None, status: int
) -> None:
    begun = await begin(site)
    said = {} if key is None else {"idempotency_key": key}
    answer = await site.ask(method, begun.url, TEXT, **said)
    assert (answer.status, answer.intake.was_asked) == (status, False)
    assert (begun.spans, site.upload(begun.id).state) == ((), SessionState.OPEN)
    assert begun.id not in answer.detail


@pytest.mark.parametrize(
    "upload_id", ["0" * 32, "../x", "%00", "", "x" * 10000, "a%2Fb", "%C3%BC"]
)
@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])
async def test_an_unknown_upload_is_404(
    site: Site, method: str, upload_id: str
) -> None:
    url = f"/upload?upload_id={upload_id}"
    answer = await site.ask(method, url, idempotency_key="k")
    assert answer.status == 404
