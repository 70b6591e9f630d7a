"""Uploads are held to the rate of their client, over all its connections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from penstock.durations import SECOND_NS
from penstock.uploads.model import NO_FD, End, Head, Hold, Received
from penstock.uploads.pacing import (
    DEPTH_NS,
    PIECE_BYTES_MIN,
    Pacer,
    UploadBucket,
    piece_bytes,
)

MB = 10**6


class Body:
    """An intake whose bytes come as fast as they are ordered."""

    def __init__(self, n_bytes: int, client_id: str = "ci") -> None:
        self.head = Head("PUT", "/upload", [], client_id, n_bytes)
        self.left = n_bytes
        self.orders: list[int] = []
        self.stopped = False

    async def receive(
        self,
        fd: int,
        offset: int,
        most_bytes: int,
        direct_fd: int = NO_FD,
        hold: Hold = nullcontext,
    ) -> Received:
        del fd, offset, direct_fd, hold
        await trio.lowlevel.checkpoint()
        n_bytes = min(most_bytes, self.left)
        self.left -= n_bytes
        self.orders.append(n_bytes)
        return Received(n_bytes, End.MORE if self.left else End.COMPLETE)

    async def ended(self) -> bool:
        return self.left == 0

    async def respond(
        self, status: int, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None: ...

    def stop(self) -> None:
        self.stopped = True


def now_ns() -> int:
    return int(trio.current_time() * SECOND_NS)


async def test_a_body_takes_as_long_as_its_rate_says(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pacer = Pacer(lambda _: MB, now_ns)
    began = trio.current_time()
    found = await pacer.paced(Body(10 * MB)).receive(1, 0, 10 * MB)
    assert found == Received(10 * MB, End.COMPLETE)
    assert trio.current_time() - began == pytest.approx(10, abs=0.2)


async def test_connections_of_one_client_share_its_rate_and_others_have_their_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pacer = Pacer(lambda _: MB, now_ns)
    ends = {}

    async def upload(name: str, client_id: str) -> None:
        await pacer.paced(Body(2 * MB, client_id)).receive(1, 0, 2 * MB)
        ends[name] = trio.current_time() - began

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name, client_id in (("a", "ci"), ("b", "ci"), ("c", "other")):
            nursery.start_soon(upload, name, client_id)
    assert max(ends["a"], ends["b"]) == pytest.approx(4, abs=0.3)
    assert ends["c"] == pytest.approx(2, abs=0.2)


async def test_without_a_rate_a_body_is_one_order() -> None:
    body = Body(100 * MB)
    await Pacer(lambda _: None, now_ns).paced(body).receive(1, 0, 100 * MB)
    assert body.orders == [100 * MB]


async def test_another_rate_holds_within_a_tenth_of_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rates: list[int | None] = [1000]
    body = Body(MB)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        paced = Pacer(lambda _: rates[0], now_ns).paced(body)
        nursery.start_soon(paced.receive, 1, 0, MB)
        await trio.sleep(5)
        rates[0] = None
    assert trio.current_time() - began < 5.2


async def test_one_that_waits_for_tokens_can_be_stopped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    body = Body(MB)
    paced = Pacer(lambda _: 1000, now_ns).paced(body)
    found = []

    async def receive() -> None:
        found.append(await paced.receive(1, 0, MB))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.sleep(1)
        began = trio.current_time()
        paced.stop()
    assert trio.current_time() == began
    assert body.stopped
    assert found == [Received(PIECE_BYTES_MIN, End.PREEMPTED)]


async def test_what_was_paid_for_and_did_not_come_is_given_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pacer = Pacer(lambda _: 100_000, now_ns)
    for _ in range(50):  # each pays for a piece and brings one byte
        await pacer.paced(Body(1)).receive(1, 0, MB)
    assert trio.current_time() < 0.1 + 50 / 100_000


@given(
    st.integers(1000, 10**9),
    st.lists(st.tuples(st.integers(0, SECOND_NS), st.integers(1, MB)), max_size=200),
)
def test_no_more_is_granted_than_the_rate_a_burst_and_one_debt(
    rate_bps: int, asks: list[tuple[int, int]]
) -> None:
    bucket = UploadBucket(0)
    now = granted = 0
    for pause_ns, n_bytes in asks:
        now += pause_ns
        if bucket.take(n_bytes, rate_bps, now) == 0:
            granted += n_bytes
    most = rate_bps * (now + DEPTH_NS) / SECOND_NS + MB
    assert granted <= most


def test_pieces_are_a_twentieth_of_a_second_within_bounds() -> None:
    assert piece_bytes(1000) == PIECE_BYTES_MIN
    assert piece_bytes(10 * MB) == MB // 2
    assert piece_bytes(10**12) == 8 << 20
