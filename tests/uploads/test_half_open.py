"""A client that is gone without a word, and its next request: it need not wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conftest import noise
from tests.serving import Client
from tests.uploads.served import OFFSET_STREAM, Begun, UploadSite, head

DATA = noise(1_000_000, 11)
SENT = 300_000
SOON_S = 2.0


def send_some(client: Client, begun: Begun) -> None:
    """And no more, nor an end of the connection."""
    said = {"range": f"bytes=0-{len(DATA) - 1}/{len(DATA)}"}
    client.send(head("PUT", begun.target, len(DATA), idempotency_key=begun.key, **said))
    client.send(DATA[:SENT])


def wait_for_intake(uploads: UploadSite) -> None:
    uploads.server.wait(
        "it is being received", lambda: uploads.metric("penstock_intakes") == 1
    )
    time.sleep(0.1)  # what was sent is on its way through the engine


def test_a_newer_put_takes_over_at_once(uploads: UploadSite) -> None:
    begun = uploads.begin("half-open/put.bin", len(DATA))
    with uploads.server.client() as silent:
        send_some(silent, begun)
        wait_for_intake(uploads)
        began = time.monotonic()
        assert begun.put(0, DATA).status == 200
        assert time.monotonic() - began < SOON_S
        assert silent.read().status == 409
        assert silent.closed()
    assert uploads.server.get("/half-open/put.bin").body == DATA


def test_what_the_older_one_brought_need_not_come_again(uploads: UploadSite) -> None:
    begun = uploads.begin("half-open/rest.bin", len(DATA))
    with uploads.server.client() as silent:
        send_some(silent, begun)
        wait_for_intake(uploads)
        began = time.monotonic()
        found = uploads.tus("HEAD", f"/files/{begun.id}", idempotency_key=begun.key)
        assert time.monotonic() - began < SOON_S
        assert int(found["upload-offset"]) == SENT
        assert begun.put(SENT, DATA[SENT:]).status == 200
    assert uploads.server.get("/half-open/rest.bin").body == DATA


def test_tus_goes_on_while_the_older_request_hangs(uploads: UploadSite) -> None:
    location = uploads.tus("POST", "/files", upload_length=str(len(DATA)))["location"]
    said = {"tus_resumable": "1.0.0", "content_type": OFFSET_STREAM}
    with uploads.server.client() as silent:
        silent.send(head("PATCH", location, len(DATA), upload_offset="0", **said))
        silent.send(DATA[:SENT])
        wait_for_intake(uploads)
        began = time.monotonic()
        offset = int(uploads.tus("HEAD", location)["upload-offset"])
        assert offset == SENT
        answer = uploads.tus(
            "PATCH", location, DATA[offset:], upload_offset=str(offset)
        )
        assert (answer.status, answer["upload-offset"]) == (204, str(len(DATA)))
        assert time.monotonic() - began < SOON_S


def test_one_that_hangs_can_be_deleted(uploads: UploadSite) -> None:
    begun = uploads.begin("half-open/deleted.bin", len(DATA))
    with uploads.server.client() as silent:
        send_some(silent, begun)
        wait_for_intake(uploads)
        began = time.monotonic()
        answer = uploads.ask("DELETE", begun.target, idempotency_key=begun.key)
        assert answer.status == 204
        assert time.monotonic() - began < SOON_S
        assert uploads.ask("HEAD", begun.target).status == 410
    assert not begun.part.exists()


def test_a_reset_in_the_middle_keeps_what_came(uploads: UploadSite) -> None:
    begun = uploads.begin("half-open/reset.bin", len(DATA))
    client = uploads.server.client()
    send_some(client, begun)
    wait_for_intake(uploads)
    client.reset()
    uploads.server.wait("what came is durable", lambda: begun.offset() > 0)
    offset = begun.offset()
    assert offset <= SENT
    assert begun.put(offset, DATA[offset:]).status == 200
    assert uploads.server.get("/half-open/reset.bin").body == DATA


def test_who_brings_nothing_is_told_so_and_what_came_is_kept(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads(more='body_timeout = "300ms"\n')
    begun = site.begin("idle.bin", len(DATA))
    with site.server.client() as silent:
        send_some(silent, begun)
        assert silent.read().status in (400, 408)
        assert silent.closed()
    assert begun.offset() == SENT
    assert site.metric("penstock_timeouts_body_total") == 1


@pytest.mark.parametrize("end", [1, SENT, 777_777])
def test_a_body_that_ends_early_is_durable_as_far_as_it_came(
    uploads: UploadSite, end: int
) -> None:
    begun = uploads.begin(f"half-open/cut-{end}.bin", len(DATA))
    said = {"range": f"bytes=0-{len(DATA) - 1}/{len(DATA)}"}
    with uploads.server.client() as client:
        client.send(
            head("PUT", begun.target, len(DATA), idempotency_key=begun.key, **said)
        )
        client.send(DATA[:end])
    uploads.server.wait("it is durable", lambda: begun.offset() == end)
    assert begun.put(end, DATA[end:]).status == 200
    assert uploads.server.get(f"/half-open/cut-{end}.bin").body == DATA
