"""Range requests: bytes as asked for, or the whole, or 416 (RFC 9110 section 14)."""

from __future__ import annotations

import email
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Response, Server, request


def parts_of(response: Response) -> list[tuple[str, bytes]]:
    """(Content-Range, body) of each part of multipart/byteranges."""
    head = f"Content-Type: {response['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + response.body)
    assert message.is_multipart()
    return [
        (part["Content-Range"], part.get_payload(decode=True))  # type: ignore[misc]
        for part in message.get_payload()
    ]


@pytest.mark.parametrize("name", ["hello.txt", "edge+0", "edge+1", "big"])
@pytest.mark.parametrize(
    ("spec", "cut"),
    [
        ("0-0", slice(0, 1)),
        ("1-4", slice(1, 5)),
        ("5-", slice(5, None)),
        ("-3", slice(-3, None)),
        ("0-99999999999", slice(0, None)),
        ("4095-4097", slice(4095, 4098)),
    ],
)
def test_one_range(
    server: Server, root: Path, name: str, spec: str, cut: slice
) -> None:
    content = (root / name).read_bytes()
    if not content[cut]:
        pytest.skip("the file is shorter than the range")
    response = server.get(f"/{name}", range=f"bytes={spec}")
    first = cut.indices(len(content))[0]
    assert response.status == 206
    assert response.body == content[cut]
    last = first + len(response.body) - 1
    assert response["content-range"] == f"bytes {first}-{last}/{len(content)}"


@pytest.mark.parametrize("name", ["hello.txt", "edge+1", "big"])
def test_many_ranges_are_parts(server: Server, root: Path, name: str) -> None:
    content = (root / name).read_bytes()
    size = len(content)
    response = server.get(f"/{name}", range="bytes=0-1, 4-6 ,-2")
    assert response.status == 206
    assert response["content-type"].startswith("multipart/byteranges; boundary=")
    assert parts_of(response) == [
        (f"bytes 0-1/{size}", content[:2]),
        (f"bytes 4-6/{size}", content[4:7]),
        (f"bytes {size - 2}-{size - 1}/{size}", content[-2:]),
    ]


def test_large_parts_of_a_large_file(server: Server, root: Path) -> None:
    content = (root / "big").read_bytes()
    response = server.get("/big", range="bytes=0-3000000,4000001-9000000")
    parts = parts_of(response)
    assert parts[0][1] == content[:3000001]
    assert parts[1][1] == content[4000001:9000001]


def test_the_most_ranges_allowed_and_one_more(server: Server) -> None:
    sixteen = ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(16))
    assert len(parts_of(server.get("/big", range=f"bytes={sixteen}"))) == 16
    more = server.get("/1m", range=f"bytes={sixteen},900-901")
    assert (more.status, len(more.body)) == (200, 1 << 20)


@pytest.mark.parametrize("spec", ["13-", "13-20", "99999999999999999999-", "-0"])
def test_nothing_to_send_is_416(server: Server, spec: str) -> None:
    response = server.get("/hello.txt", range=f"bytes={spec}")
    assert response.status == 416
    assert response["content-range"] == "bytes */13"


@pytest.mark.parametrize(
    "value", ["bytes=", "bytes=a-b", "bytes=5-4", "lines=0-1", "bytes 0-1", "bytes=--1"]
)
def test_what_is_not_a_range_is_ignored(server: Server, value: str) -> None:
    response = server.get("/hello.txt", range=value)
    assert (response.status, response.body) == (200, b"hello, world\n")


def test_head_ignores_ranges(server: Server) -> None:
    response = server.get("/hello.txt", method="HEAD", range="bytes=0-1")
    assert response.status == 200
    assert response["content-length"] == "13"


def test_if_range_guards_a_resume(server: Server) -> None:
    seen = server.get("/hello.txt")
    ask = {"range": "bytes=0-4"}
    for same in (seen["etag"], seen["last-modified"]):
        assert server.get("/hello.txt", **ask, if_range=same).status == 206
    for other in ('"x"', f"W/{seen['etag']}", "Sun, 06 Nov 1994 08:49:37 GMT", "junk"):
        response = server.get("/hello.txt", **ask, if_range=other)
        assert (response.status, response.body) == (200, b"hello, world\n")


def test_a_repeated_if_range_or_range_counts_for_nothing(server: Server) -> None:
    tag = server.get("/hello.txt")["etag"]
    for lines in (
        f'Range: bytes=0-4\r\nIf-Range: "x"\r\nIf-Range: {tag}\r\n',
        f"Range: bytes=0-4\r\nIf-Range: {tag}\r\nIf-Range: {tag}\r\n",
        "Range: bytes=0-4\r\nRange: bytes=0-4\r\n",
    ):
        with server.client() as client:
            client.send(request("/hello.txt")[:-2] + lines.encode() + b"\r\n")
            response = client.read()
            assert (response.status, response.body) == (200, b"hello, world\n")


def test_partly_unsatisfiable_sets_give_what_there_is(server: Server) -> None:
    response = server.get("/hello.txt", range="bytes=99-100,1-2")
    assert (response.status, response.body) == (206, b"el")
    assert response["content-range"] == "bytes 1-2/13"
    response = server.get("/hello.txt", range="bytes=0-0,50-,-1")
    assert parts_of(response) == [
        ("bytes 0-0/13", b"h"),
        ("bytes 12-12/13", b"\n"),
    ]


@pytest.mark.parametrize(("spec", "status"), [("0-0", 416), ("0-", 416), ("-1", 200)])
def test_ranges_of_an_empty_file(server: Server, spec: str, status: int) -> None:
    response = server.get("/empty", range=f"bytes={spec}")
    assert response.status == status
    if status == 416:
        assert response["content-range"] == "bytes */0"
    else:
        assert response.body == b""


def test_offsets_above_four_gibibytes(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    place = tmp_path / "sparse"
    place.mkdir()
    size, mark = 5 << 30, (1 << 32) - 5
    (place / "huge").touch()
    try:
        os.truncate(place / "huge", size)
    except OSError as error:
        pytest.skip(f"no sparse files here: {error}")
    with (place / "huge").open("r+b") as file:
        file.seek(mark)
        file.write(b"0123456789")
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    server = start(root=place)
    assert server.get("/huge", "HEAD")["content-length"] == str(size)
    response = server.get("/huge", range=f"bytes={mark}-{mark + 9}")
    assert response.body == b"0123456789"
    assert response["content-range"] == f"bytes {mark}-{mark + 9}/{size}"
    assert server.get("/huge", range="bytes=-3").body == b"end"
    assert server.get("/huge", range=f"bytes={size - 1}-").body == b"d"
    assert server.get("/huge", range=f"bytes={size}-").status == 416
    response = server.get("/huge", range=f"bytes={mark}-{mark + 200_000}")
    assert response.body == b"0123456789" + bytes(200_001 - 10)
    assert parts_of(server.get("/huge", range=f"bytes=0-0,{mark + 4}-{mark + 6}")) == [
        (f"bytes 0-0/{size}", b"\0"),
        (f"bytes {mark + 4}-{mark + 6}/{size}", b"456"),
    ]
