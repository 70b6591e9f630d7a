"""Whole files over HTTP/1.1: what comes back, and what is said about it."""

from __future__ import annotations

import email.utils
import re
import time
from pathlib import Path

import pytest

from tests.serving import Server

NAMES = ["hello.txt", "empty", "edge-1", "edge+0", "edge+1", "1m", "big"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_arrives_byte_for_byte(server: Server, root: Path, name: str) -> None:
    content = (root / name).read_bytes()
    response = server.get(f"/{name}")
    assert response.status == 200
    assert response.body == content


@pytest.mark.parametrize("name", NAMES)
def test_head_says_what_get_says_without_a_body(server: Server, name: str) -> None:
    with server.client() as client:
        got = client.get(f"/{name}")
        head = client.get(f"/{name}", method="HEAD")
        assert head.status == 200
        for field in got.headers:
            if field != "date":
                assert head[field] == got[field]
        assert client.get("/hello.txt").body == b"hello, world\n", "framing is intact"


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/dir", {}, 301),
        ("/nothing", {}, 404),
        ("/%zz", {}, 400),
        ("/hello.txt", {"if_match": '"x"'}, 412),
    ],
)
def test_head_says_what_get_says_of_errors(
    server: Server, path: str, fields: dict[str, str], status: int
) -> None:
    with server.client() as client:
        got = client.get(path, **fields)
        head = client.get(path, method="HEAD", **fields)
        assert (got.status, head.status) == (status, status)
        for headers in (got.headers, head.headers):
            del headers["date"]
        assert head.headers == got.headers
        assert client.get("/hello.txt").body == b"hello, world\n", "framing is intact"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.tar.gz", "application/gzip"),
        ("a-1.0-py3-none-any.whl", "application/zip"),
        ("model.safetensors", "application/octet-stream"),
        ("a.html.zst", "application/zstd"),
        ("a.json", "application/json"),
        ("a.xml", "text/xml"),
    ],
)
def test_artifacts_are_sent_as_they_are(
    server: Server, root: Path, name: str, media_type: str
) -> None:
    (root / name).write_bytes(b"bytes")
    response = server.get(f"/{name}")
    assert response["content-type"] == media_type
    assert "content-encoding" not in response.headers


def test_the_fields_of_a_representation(server: Server, root: Path) -> None:
    response = server.get("/hello.txt")
    stat = (root / "hello.txt").stat()
    assert response["content-type"] == "text/plain; charset=utf-8"
    assert response["accept-ranges"] == "bytes"
    assert re.fullmatch(r'"[0-9a-f]+(-[0-9a-f]+)*"', response["etag"]), "strong"
    modified = email.utils.parsedate_to_datetime(response["last-modified"])
    assert int(modified.timestamp()) == int(stat.st_mtime)
    date = email.utils.parsedate_to_datetime(response["date"])
    assert abs(date.timestamp() - time.time()) < 2.5
    assert response["date"].endswith(" GMT")


def test_date_moves_on_for_a_file_that_is_cached(server: Server) -> None:
    first = server.get("/hello.txt")["date"]
    server.wait("a later Date", lambda: server.get("/hello.txt")["date"] != first)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/", b"<p>root</p>\n"), ("/dir/", b"<p>dir</p>\n"), ("/?q=1", b"<p>root</p>\n")],
)
def test_a_directory_answers_with_its_index(
    server: Server, path: str, body: bytes
) -> None:
    response = server.get(path)
    assert (response.status, response.body) == (200, body)
    assert response["content-type"].startswith("text/html")


def test_a_directory_without_its_slash_is_redirected(server: Server) -> None:
    response = server.get("/dir?version=2&x=%20")
    assert response.status == 301
    assert response["location"] == "/dir/?version=2&x=%20"


def test_a_directory_without_an_index_is_not_listed(server: Server) -> None:
    assert server.get("/bare/").status == 404


def test_a_file_is_not_a_directory(server: Server) -> None:
    assert server.get("/hello.txt/").status == 404


@pytest.mark.parametrize("path", ["/a%20b%26%C3%BC.txt", "/./dir/../a%20b&%c3%bc.txt"])
def test_names_are_percent_decoded_once(server: Server, path: str) -> None:
    assert server.get(path).body == b"named\n"


def test_options_says_what_is_allowed(server: Server) -> None:
    with server.client() as client:
        for target in ("/hello.txt", "/nothing", "/.secret", "*"):
            response = client.get(target, method="OPTIONS")
            assert response.status == 204
            assert response["allow"] == "GET, HEAD, OPTIONS"


def test_absolute_form_is_understood(server: Server) -> None:
    assert server.get("http://test/hello.txt").body == b"hello, world\n"


def first_bytes(server: Server) -> int:
    return sum(sum(e["first_byte_counts"]) for e in server.status()["engines"])


def test_counters_and_first_byte_metrics_move(server: Server) -> None:
    requests, sent = server.total("requests_total"), server.total("bytes_sent_total")
    waits = first_bytes(server)
    server.get("/hello.txt")
    assert server.total("requests_total") == requests + 1
    # Counted when the kernel says what was sent, which the client may see earlier.
    server.wait("a first byte counted", lambda: first_bytes(server) == waits + 1)
    assert server.total("bytes_sent_total") > sent + 13
