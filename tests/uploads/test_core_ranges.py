"""``PUT /upload`` with ranges: the answers, and what becomes durable."""

import pytest

from penstock.uploads.model import End
from tests.uploads.asking import Site, digest
from tests.uploads.begun import SIZE, TEXT, begin


async def test_one_range_of_all_publishes_the_file(site: Site) -> None:
    begun = await begin(site)
    answer = await begun.put(0, SIZE)
    assert answer.status == 200
    assert answer["content-range"] == f"bytes 0-{SIZE - 1}/{SIZE}"
    assert answer["content-location"] == "/a/b.bin"
    assert answer["idempotency-replayed"] is None
    assert site.store.published == {"a/b.bin": TEXT}


async def test_curl_resumes_with_content_range(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 100)
    twin = f"bytes 100-{SIZE - 1}/{SIZE}"
    said = {"content_range": twin, "idempotency_key": begun.key}
    answer = await site.ask("PUT", begun.url, TEXT[100:], **said)
    assert (answer.status, answer["content-range"]) == (200, twin)
    assert site.store.published["a/b.bin"] == TEXT


async def test_without_a_range_the_body_is_the_whole(site: Site) -> None:
    begun = await begin(site)
    answer = await site.ask("PUT", begun.url, TEXT, idempotency_key=f'"{begun.key}"')
    assert (answer.status, site.store.published["a/b.bin"]) == (200, TEXT)


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 512), (512, SIZE)],
        [(512, SIZE), (0, 512)],
        [(700, SIZE), (1, 300), (300, 700), (0, 1)],
    ],
)
async def test_ranges_in_any_order_make_the_file(
    site: Site, ranges: list[tuple[int, int]]
) -> None:
    begun = await begin(site)
    for start, end in ranges[:-1]:
        answer = await begun.put(start, end)
        assert answer.status == 200
        assert answer["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
        assert answer["content-location"] is None
        assert site.store.published == {}
    assert (await begun.put(*ranges[-1]))["content-location"] == "/a/b.bin"
    assert site.store.published["a/b.bin"] == TEXT


async def test_a_range_that_is_durable_is_answered_without_its_body(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512)
    site.store.calls.clear()
    answer = await begun.put(0, 512)
    assert (answer.status, answer["idempotency-replayed"]) == (200, "true")
    assert answer["content-range"] == f"bytes 0-511/{SIZE}"
    assert (answer.intake.was_asked, site.store.calls) == (False, [])


async def test_a_range_within_what_is_durable_is_not_written_again(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512)
    await begun.put(512, 600)
    answer = await begun.put(500, 520, b"x" * 20)
    assert (answer.status, answer["idempotency-replayed"]) == (200, "true")
    assert (answer.intake.was_asked, begun.durable) == (False, TEXT[:600])


async def test_a_range_is_replayed_after_the_file_is_published(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512)
    await begun.put(512, SIZE)
    site.store.calls.clear()
    answer = await begun.put(512, SIZE)
    assert (answer.status, answer["idempotency-replayed"]) == (200, "true")
    assert answer["content-location"] == "/a/b.bin"
    assert (answer.intake.was_asked, site.store.calls) == (False, [])


async def test_a_range_that_overlaps_fills_only_the_gap(site: Site) -> None:
    begun = await begin(site)
    await begun.put(100, 200)
    answer = await begun.put(0, 300, b"x" * 100 + b"y" * 100 + b"z" * 100)
    assert (answer.status, answer["idempotency-replayed"]) == (200, None)
    assert begun.durable == b"x" * 100 + TEXT[100:200] + b"z" * 100


@pytest.mark.parametrize("first", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_other_bytes_for_a_durable_range_are_422_by_their_digest(
    site: Site, algorithm: str, first: bool
) -> None:
    """Whether the first request had a digest or not."""
    begun = await begin(site)
    said = {"content_digest": digest(TEXT[:512])} if first else {}
    await begun.put(0, 512, **said)
    other = {"content_digest": digest(b"x" * 512, algorithm)}
    answer = await begun.put(0, 512, b"x" * 512, **other)
    assert (answer.status, answer.intake.was_asked) == (422, False)
    assert begun.durable == TEXT[:512]
    same = {"content_digest": digest(TEXT[:512], algorithm)}
    assert (await begun.put(0, 512, **same))["idempotency-replayed"] == "true"


async def test_other_bytes_without_a_digest_change_nothing(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512)
    answer = await begun.put(0, 512, b"x" * 512)
    assert (answer.status, answer["idempotency-replayed"]) == (200, "true")
    assert begun.durable == TEXT[:512]


async def test_a_digest_in_a_part_of_what_is_durable_is_compared(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512, content_digest=digest(TEXT[:512]))
    right = await begun.put(10, 20, content_digest=digest(TEXT[10:20]))
    wrong = await begun.put(10, 20, content_digest=digest(b"x" * 10))
    assert (right.status, wrong.status) == (200, 422)


async def test_a_digest_of_more_than_one_range_is_compared(site: Site) -> None:
    begun = await begin(site)
    await begun.put(0, 512, content_digest=digest(TEXT[:512]))
    await begun.put(512, 600, content_digest=digest(TEXT[512:600]))
    right = await begun.put(0, 600, content_digest=digest(TEXT[:600]))
    wrong = await begun.put(0, 600, content_digest=digest(b"x" * 600))
    assert (right.status, wrong.status) == (200, 422)


async def test_a_body_that_is_not_what_its_digest_says_is_forgotten(site: Site) -> None:
    begun = await begin(site)
    answer = await begun.put(0, 512, content_digest=digest(b"other"))
    assert (answer.status, begun.spans) == (422, ())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"range": f"bytes=0-511/{SIZE + 1}"}, 416),
        ({"content_range": f"bytes 0-511/{SIZE + 1}"}, 416),
        ({"range": f"bytes={SIZE}-{SIZE + 511}"}, 416),
        ({"range": "bytes=1000-1511"}, 416),
        ({"range": "bytes=511-0"}, 400),
        ({"range": "bytes=-512"}, 400),
        ({"range": "bytes=0-"}, 400),
        ({"range": "bytes=0-255,256-511"}, 400),
        ({"range": "bytes=0 - 511"}, 400),
        ({"range": "bytes=*"}, 400),
        ({"range": "bytes=0-9223372036854775807"}, 400),
        ({"content_range": f"bytes */{SIZE}"}, 400),
        ({"range": "bytes=0-511", "content_range": f"bytes 0-510/{SIZE}"}, 400),
        ({"range": "bytes=0-510"}, 400),
        ({"range": "bytes=0-512"}, 400),
        ({}, 400),
        ({"range": "bytes=0-511", "content_digest": "sha-256=x"}, 400),
        ({"range": "bytes=0-511", "content_digest": "md5=:AAAA:"}, 400),
        ({"range": "bytes=0-511", "content_encoding": "gzip"}, 415),
    ],
)
async def test_a_range_that_cannot_be_is_refused_before_its_body_is_sent(
    site: Site, fields: dict[str, str], status: int
) -> None:
    begun = await begin(site)
    said = {"idempotency_key": begun.key, **fields}
    answer = await site.ask("PUT", begun.url, TEXT[:512], **said)
    assert (answer.status, answer.intake.was_asked) == (status, False)
    assert (begun.spans, bool(answer.detail)) == ((), True)
    if status == 416:
        assert answer["content-range"] == f"bytes */{SIZE}"


async def test_curl_r_announces_a_range_and_sends_the_file_which_is_refused(
    site: Site,
) -> None:
    begun = await begin(site)
    said = {"content_range": f"bytes 5-9/{SIZE}", "idempotency_key": begun.key}
    answer = await site.ask("PUT", begun.url, TEXT, **said)
    assert (answer.status, answer.intake.was_asked, begun.spans) == (400, False, ())
    assert answer.detail == f"the body has {SIZE} bytes, and the range 5"


async def test_a_chunked_body_that_is_its_range_is_taken(site: Site) -> None:
    begun = await begin(site)
    assert (await begun.put(0, 512, chunked=True)).status == 200
    assert begun.durable == TEXT[:512]


@pytest.mark.parametrize("n_bytes", [0, 511, 513, 1000])
async def test_of_a_chunked_body_that_is_not_its_range_nothing_is_kept(
    site: Site, n_bytes: int
) -> None:
    begun = await begin(site)
    answer = await begun.put(0, 512, TEXT[:n_bytes], chunked=True)
    assert (answer.status, begun.spans) == (400, ())


@pytest.mark.parametrize("then", [End.CUT, End.TIMEOUT])
async def test_of_a_body_that_was_cut_no_more_is_claimed_than_came(
    site: Site, then: End
) -> None:
    begun = await begin(site)
    answer = await begun.put(0, 512, TEXT[:100], announced=512, then=then)
    assert (answer.status, answer["upload-offset"]) == (400, "100")
    assert (begun.spans, begun.durable) == (((0, 100),), TEXT[:100])
    assert (await begun.put(0, 512))["idempotency-replayed"] is None
    assert begun.durable == TEXT[:512]
