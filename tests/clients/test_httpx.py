"""httpx: the client that Python programs use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import Server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
        yield client


def test_download_resume_and_revalidation(client: httpx.Client, root: Path) -> None:
    content = (root / "big").read_bytes()
    with client.stream("GET", "/big") as response:
        assert response.status_code == 200
        assert b"".join(response.iter_bytes()) == content
    tag = response.headers["etag"]
    rest = client.get("/big", headers={"Range": "bytes=3000001-", "If-Range": tag})
    assert (rest.status_code, rest.content) == (206, content[3000001:])
    again = client.get("/big", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_names_redirects_and_errors(client: httpx.Client) -> None:
    assert client.get("/a b&ü.txt").content == b"named\n"
    response = client.get("/dir", follow_redirects=True)
    assert (response.url.path, response.content) == ("/dir/", b"<p>dir</p>\n")
    assert client.get("/nothing").status_code == 404
    assert client.post("/hello.txt", content=b"abcd").status_code == 405
    chunks = iter([b"ab", b"cd"])
    assert client.post("/hello.txt", content=chunks).status_code == 405
    assert client.head("/hello.txt").headers["content-length"] == "13"


def test_one_connection_serves_many_requests(
    client: httpx.Client, server: Server
) -> None:
    before = server.total("connections_accepted_total")
    for _ in range(20):
        assert client.get("/hello.txt").content == b"hello, world\n"
    assert server.total("connections_accepted_total") == before + 1
