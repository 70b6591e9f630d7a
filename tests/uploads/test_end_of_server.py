"""A server that is told to end while it is uploaded to, and the one after it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.conftest import noise
from tests.serving import Client
from tests.tracing import failing, traced
from tests.uploads.served import Begun, UploadSite, head

DATA = noise(2_000_000, 41)
SENT = 700_000
SLOW = "[shaping]\nclient_upload_rate = 1000\n"
PIECE = 16_384  # that is ordered at once at such a rate
PAUSED = r'penstock_upload_attempts\{state="paused"\}'


def begin_to_send(client: Client, begun: Begun) -> None:
    site = begun.site
    client.send(head("PUT", begun.target, len(DATA), idempotency_key=begun.key))
    client.send(DATA[:SENT])
    site.server.wait("it has come", lambda: site.server.total("intakes") == 1)
    site.server.wait(
        "most has come", lambda: site.server.total("bytes_received_total") > SENT // 8
    )


def begin_to_wait(client: Client, begun: Begun) -> None:
    """For tokens, when a piece has come."""
    site = begun.site
    client.send(head("PUT", begun.target, len(DATA), idempotency_key=begun.key))
    client.send(DATA[:SENT])
    site.server.wait("it is paused", lambda: site.metric(PAUSED) == 1)


def end(site: UploadSite) -> None:
    site.server.extra["may_exit"] = True
    site.server.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("times", [1, 2], ids=["drained", "cut"])
def test_what_came_is_kept_for_the_next_one(
    start_uploads: Callable[..., UploadSite], times: int
) -> None:
    site = start_uploads("--drain-timeout", "300ms")
    begun = site.begin("ended.bin", len(DATA))
    begin_to_send(site.server.client(), begun)
    for _ in range(times):
        end(site)
    assert site.server.process.wait(10) == 0
    begun.site = after = start_uploads()
    offset = begun.offset()
    assert 0 < offset <= SENT
    assert begun.put(offset, DATA[offset:]).status == 200
    assert after.server.get("/ended.bin").body == DATA


def test_an_upload_may_end_while_the_server_drains(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads()
    begun = site.begin("drained.bin", len(DATA))
    with site.server.client() as client:
        begin_to_send(client, begun)
        end(site)
        client.send(DATA[SENT:])
        assert client.read().status == 200
        assert client.closed()
    assert site.server.process.wait(10) == 0
    assert (site.root / "drained.bin").read_bytes() == DATA


def test_what_came_is_kept_when_the_kernel_ends_the_ring(
    start_uploads: Callable[..., UploadSite],
) -> None:
    """Nothing that was in flight is answered any more; Python must not wait for it."""
    site = start_uploads()
    begun = site.begin("lost.bin", len(DATA))
    with site.server.client() as client:
        begin_to_send(client, begun)
        site.server.extra["may_exit"] = True
        with traced(site.server, *failing("io_uring_enter", "EFAULT")):
            assert site.server.process.wait(10) == 1
    assert "Bad address" in site.server.log.read_text()
    begun.site = start_uploads()
    offset = begun.offset()
    assert 0 < offset <= SENT
    assert begun.put(offset, DATA[offset:]).status == 200


@pytest.mark.parametrize("more", ["", SLOW], ids=["waits", "paced"])
def test_what_a_drain_stops_is_told_to_come_again(
    start_uploads: Callable[..., UploadSite], more: str
) -> None:
    site = start_uploads("--drain-timeout", "1s", more=more)
    begun = site.begin("stopped.bin", len(DATA))
    with site.server.client() as client:
        (begin_to_wait if more else begin_to_send)(client, begun)
        end(site)
        answer = client.read()
    assert answer.status == 503
    assert int(answer["retry-after"]) > 0
    assert b"is kept" in answer.body
    assert site.server.process.wait(10) == 0
    begun.site = start_uploads()
    assert begun.offset() >= (PIECE if more else 1)


@pytest.mark.parametrize("times", [1, 2], ids=["drained", "cut"])
def test_what_came_of_a_paced_upload_is_kept(
    start_uploads: Callable[..., UploadSite], times: int
) -> None:
    """No engine knows of it while it waits for tokens."""
    site = start_uploads("--drain-timeout", "300ms", more=SLOW)
    begun = site.begin("paced.bin", len(DATA))
    begin_to_wait(site.server.client(), begun)
    for _ in range(times):
        end(site)
    assert site.server.process.wait(10) == 0
    begun.site = start_uploads()
    assert begun.offset() == PIECE
