"""Letters between threads: in order, bounded, and never a silent loss."""

from __future__ import annotations

import errno
import select
import threading

from penstock import _testing


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_letters_arrive_in_order_and_wake_the_reader() -> None:
    box = _testing.LetterBox(8)
    assert not readable(box.fd)
    assert box.take() is None
    for n in range(5):
        assert box.post(n, n + 1, -n) == 0
    assert readable(box.fd)
    box.drain_fd()
    assert not readable(box.fd)
    assert [box.take() for _ in range(5)] == [(n, n + 1, -n) for n in range(5)]
    assert box.take() is None


def test_a_full_box_refuses_and_counts() -> None:
    box = _testing.LetterBox(4)
    assert [box.post(1, n, 0) for n in range(6)] == [0] * 4 + [-errno.EAGAIN] * 2
    assert box.dropped == 2
    assert (box.lost(), box.lost()) == (True, False), "the reader learns of it, once"
    assert box.take() == (1, 0, 0)
    assert box.post(1, 9, 0) == 0


def test_many_senders_lose_nothing() -> None:
    box = _testing.LetterBox(16)
    each, senders = 2000, 4

    def send(sender: int) -> None:
        for n in range(each):
            while box.post(sender, n, 0):
                pass

    threads = [threading.Thread(target=send, args=(s,)) for s in range(senders)]
    for thread in threads:
        thread.start()
    last = [-1] * senders
    received = 0
    while received < each * senders:
        letter = box.take()
        if letter is None:
            continue
        sender, n, _ = letter
        assert n == last[sender] + 1, "one sender's letters keep their order"
        last[sender] = n
        received += 1
    for thread in threads:
        thread.join()
    assert box.take() is None
