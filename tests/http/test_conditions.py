"""Preconditions in the order of RFC 9110 section 13.2.2."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Server

OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"

CASES = [
    ({"if_none_match": "TAG"}, 304),
    ({"if_none_match": "W/TAG"}, 304),
    ({"if_none_match": '"x", TAG'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"x"'}, 200),
    ({"if_modified_since": "DATE"}, 304),
    ({"if_modified_since": LATER}, 304),
    ({"if_modified_since": OLD}, 200),
    ({"if_modified_since": "not a date"}, 200),
    ({"if_match": "TAG"}, 200),
    ({"if_match": "*"}, 200),
    ({"if_match": "W/TAG"}, 412),
    ({"if_match": '"x"'}, 412),
    ({"if_unmodified_since": "DATE"}, 200),
    ({"if_unmodified_since": OLD}, 412),
    # If-None-Match hides If-Modified-Since, If-Match hides If-Unmodified-Since.
    ({"if_none_match": '"x"', "if_modified_since": LATER}, 200),
    ({"if_none_match": "TAG", "if_modified_since": OLD}, 304),
    ({"if_match": "TAG", "if_unmodified_since": OLD}, 200),
    # The failed precondition comes before the fulfilled 304, and both before Range.
    ({"if_match": '"x"', "if_none_match": "TAG"}, 412),
    ({"if_match": "TAG", "if_none_match": "TAG"}, 304),
    ({"if_none_match": "TAG", "range": "bytes=0-1"}, 304),
    ({"if_match": '"x"', "range": "bytes=0-1"}, 412),
    ({"if_match": "TAG", "range": "bytes=0-1"}, 206),
]


@pytest.mark.parametrize("name", ["hello.txt", "big"])
@pytest.mark.parametrize(("fields", "status"), CASES)
def test_preconditions(
    server: Server, name: str, fields: dict[str, str], status: int
) -> None:
    with server.client() as client:
        seen = client.get(f"/{name}", method="HEAD")
        given = {
            field: value.replace("TAG", seen["etag"]).replace(
                "DATE", seen["last-modified"]
            )
            for field, value in fields.items()
        }
        response = client.get(f"/{name}", **given)
        assert response.status == status
        if status == 304:
            assert response.body == b""
            assert response["etag"] == seen["etag"]
            assert response["last-modified"] == seen["last-modified"]
            assert response["date"].endswith(" GMT")
            assert "content-length" not in response.headers
        assert client.get("/hello.txt").status == 200, "the connection lives on"


NS_PER_S = 10**9


@pytest.mark.parametrize("size", [4, 100_000])
def test_a_time_that_has_not_come_is_told_as_now(
    start: Callable[..., Server], tmp_path: Path, size: int
) -> None:
    place = tmp_path / "times"
    place.mkdir()
    (place / "future").write_bytes(b"x" * size)
    os.utime(place / "future", (0, time.time() + 86400))
    server = start("--cpus", "0", root=place)
    seen = server.get("/future")
    date, modified = (
        email.utils.parsedate_to_datetime(seen[name])
        for name in ("date", "last-modified")
    )
    assert (date - modified).total_seconds() in (0, 1, 2)
    again = {"if_modified_since": seen["last-modified"]}
    assert server.get("/future", **again).status == 304


@pytest.mark.parametrize("size", [4, 100_000])
def test_times_before_1970_are_rounded_down(
    start: Callable[..., Server], tmp_path: Path, size: int
) -> None:
    place = tmp_path / "times"
    place.mkdir()
    (place / "old").write_bytes(b"x" * size)
    os.utime(place / "old", ns=(0, -NS_PER_S // 2))
    if (place / "old").stat().st_mtime_ns != -NS_PER_S // 2:
        pytest.skip("the file system has no times before 1970")
    server = start(root=place)
    last = "Wed, 31 Dec 1969 23:59:59 GMT"
    assert server.get("/old")["last-modified"] == last
    assert server.get("/old", if_modified_since=last).status == 304
