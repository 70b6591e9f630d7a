"""Uploads of very many bytes, and of very many pieces."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3

import pytest

from tests.conftest import noise
from tests.serving import request
from tests.uploads.served import UploadSite
from tests.uploads.stores import NOW, Body, Places, new_upload

GIB = 1 << 30
LENGTH = 10 * GIB
PIECES = 1000


def test_bytes_behind_4_gib_are_where_they_belong(uploads: UploadSite) -> None:
    if shutil.disk_usage(uploads.folder).free < LENGTH + 2 * GIB:
        pytest.skip("the disk has less than 12 GiB, which are reserved meanwhile")
    begun = uploads.begin("large.bin", LENGTH)
    pieces = {at: noise(5000, at % 997) for at in (0, 5 * GIB + 1, LENGTH - 5000)}
    for at, data in pieces.items():
        assert begun.put(at, data).status == 200
    told = uploads.ask("HEAD", begun.target)
    assert told["upload-offset"] == "5000"
    said = ",".join(f"{at}-{at + 4999}" for at in pieces)
    assert told["upload-ranges"] == f"bytes={said}"
    with begun.part.open("rb") as part:
        for at, data in pieces.items():
            assert os.pread(part.fileno(), 5000, at) == data
    gone = uploads.ask("DELETE", begun.target, idempotency_key=begun.key)
    assert gone.status == 204
    assert not begun.part.exists()


def test_a_range_behind_4_gib_of_a_file_is_sent(uploads: UploadSite) -> None:
    path, data = uploads.root / "sparse.bin", noise(5000, 5)
    with path.open("wb") as file:
        file.truncate(LENGTH)
        file.seek(6 * GIB + 3)
        file.write(data)
    try:
        with uploads.server.client() as client:
            client.send(
                request("/sparse.bin", Range=f"bytes={6 * GIB + 3}-{6 * GIB + 5002}")
            )
            got = client.read()
    finally:
        path.unlink()
    assert (got.status, got.body) == (206, data)
    assert got["content-range"] == f"bytes {6 * GIB + 3}-{6 * GIB + 5002}/{LENGTH}"


async def test_a_thousand_pieces_in_any_order_are_one_range(places: Places) -> None:
    order = list(range(PIECES))
    random.Random(11).shuffle(order)
    data = noise(PIECES * 7, 7)
    async with places.store() as store:
        upload = await store.create(new_upload(length=len(data) + 1), now=NOW)
        for number in order:
            start, end = 7 * number, 7 * number + 7
            await store.write(upload, start, end, Body(data[start:end]))
        assert upload.spans == ((0, len(data)),)
    with contextlib.closing(sqlite3.connect(places.folder / "ledger.sqlite")) as ledger:
        rows = ledger.execute('SELECT start, "end" FROM range').fetchall()
    assert rows == [(0, len(data))]
    assert places.part().read_bytes() == data
