"""Answers from sidecars: files compressed beforehand, for who accepts them."""

from __future__ import annotations

import gzip
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.precompressed import OPTIONS, SIZES, SUFFIXES, content, fill_place, is_itself
from tests.serving import Server, of_others, request


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return fill_place(tmp_path / "web")


@pytest.fixture
def web(start: Callable[..., Server], place: Path) -> Server:
    return start(*OPTIONS, root=place)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("encoding", SUFFIXES)
def test_who_accepts_an_encoding_gets_the_sidecar(
    web: Server, place: Path, name: str, encoding: str
) -> None:
    with web.client() as client:
        own = client.get(f"/{name}")
        for _ in range(3):  # the prepared answer, too
            encoded = client.get(f"/{name}", accept_encoding=encoding)
            assert encoded.status == 200
            assert encoded.body == content(name, encoding)
            assert encoded["content-encoding"] == encoding
            assert encoded["content-type"] == "text/javascript; charset=utf-8"
            assert encoded["vary"] == "Accept-Encoding"
            assert encoded["accept-ranges"] == "bytes"
            assert re.fullmatch(r'"[^"]+"', encoded["etag"])
            assert encoded["etag"] != own["etag"]
            head = client.get(f"/{name}", "HEAD", accept_encoding=encoding)
            assert head.headers | {"date": ""} == encoded.headers | {"date": ""}


PREFERENCES = [
    ("gzip, deflate, br, zstd", "br"),
    ("gzip;q=1.0, br;q=0.5", "gzip"),
    ("*", "br"),
    ("br;q=0, *;q=0.1", "zstd"),
    ("X-GZip", "gzip"),
    ("deflate", None),
    ("identity, br;q=0.5", None),
    ("gzip;q=0", None),
    ("br;q=2", None),
    ("", None),
    # Refusing everything is no reason to get nothing.
    ("identity;q=0", None),
    ("*;q=0", None),
]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("field", "encoding"), PREFERENCES)
def test_the_field_decides(
    web: Server, name: str, field: str, encoding: str | None
) -> None:
    response = web.get(f"/{name}", accept_encoding=field)
    assert response.status == 200
    assert response.headers.get("content-encoding") == encoding
    assert response.body == content(name, encoding or "")
    assert response["vary"] == "Accept-Encoding"


def test_several_fields_are_one_list(web: Server) -> None:
    with web.client() as client:
        lines = "Accept-Encoding: gzip;q=0.5\r\nAccept: */*\r\nAccept-Encoding: zstd"
        client.send(f"GET /small.js HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n".encode())
        assert client.read()["content-encoding"] == "zstd"


def test_the_order_of_the_setting_decides_among_equals(
    start: Callable[..., Server], place: Path, config: Callable[[str], str]
) -> None:
    text = '[server]\nprecompressed = ["gzip", "br"]\n'
    server = start("--config", config(text), root=place)
    every = "br, gzip, zstd"
    assert server.get("/small.js", accept_encoding=every)["content-encoding"] == "gzip"
    is_itself(server.get("/small.js", accept_encoding="zstd"), "small.js")


@pytest.mark.parametrize("name", SIZES)
def test_an_encoding_never_goes_to_who_does_not_accept_it(
    web: Server, name: str
) -> None:
    """Clients in turn, so that every prepared answer is there when the others ask."""
    with web.client() as client:
        for _ in range(3):
            for encoding in (*SUFFIXES, None):
                fields = {"accept_encoding": encoding} if encoding else {}
                response = client.get(f"/{name}", **fields)
                assert response.headers.get("content-encoding") == encoding
                assert response.body == content(name, encoding or "")


def test_a_file_without_sidecars_does_not_vary(web: Server) -> None:
    for fields in ({}, {"accept_encoding": "br, gzip"}):
        response = web.get("/alone.js", **fields)
        assert response.body == b"alone\n"
        assert not {"vary", "content-encoding"} & set(response.headers)


def test_nothing_is_negotiated_unless_asked_for(
    start: Callable[..., Server], place: Path
) -> None:
    response = start(root=place).get("/small.js", accept_encoding="br")
    is_itself(response, "small.js")
    assert "vary" not in response.headers


@pytest.mark.parametrize("name", SIZES)
def test_a_sidecar_asked_for_by_name_is_sent_as_what_it_is(
    web: Server, place: Path, name: str
) -> None:
    (place / f"{name}.br.gz").write_bytes(b"never\n")
    with web.client() as client:
        encoded = client.get(f"/{name}", accept_encoding="br")
        for _ in range(2):
            plain = client.get(f"/{name}.br", accept_encoding="br, gzip")
            assert plain.body == encoded.body
            assert plain["content-type"] == "application/x-brotli"
            assert not {"vary", "content-encoding"} & set(plain.headers)
            again = client.get(f"/{name}", accept_encoding="br")
            assert again["content-encoding"] == "br"


def test_a_sidecar_does_not_stand_in_for_a_missing_file(
    web: Server, place: Path
) -> None:
    (place / "small.js").unlink()
    response = web.get("/small.js", accept_encoding="br")
    assert response.status == 404
    assert "vary" not in response.headers
    assert web.get("/small.js.br").status == 200


def test_the_index_of_a_folder_has_sidecars_too(web: Server, place: Path) -> None:
    (place / "sub").mkdir()
    (place / "sub" / "index.html").write_bytes(b"<p>itself</p>\n")
    (place / "sub" / "index.html.gz").write_bytes(b"<p>packed</p>")
    response = web.get("/sub/", accept_encoding="gzip")
    assert response.body == b"<p>packed</p>"
    assert response["content-type"] == "text/html; charset=utf-8"
    assert web.get("/sub", accept_encoding="gzip").status == 301
    assert web.get("/sub/index.html/", accept_encoding="gzip").status == 404


@pytest.mark.parametrize("name", SIZES)
def test_a_range_is_one_of_the_encoded_bytes(web: Server, name: str) -> None:
    packed = content(name, "br")
    with web.client() as client:
        part = client.get(f"/{name}", accept_encoding="br", range="bytes=10-19")
        assert part.status == 206
        assert part.body == packed[10:20]
        assert part["content-range"] == f"bytes 10-19/{len(packed)}"
        assert part["content-encoding"] == "br"
        assert part["vary"] == "Accept-Encoding"
        own = client.get(f"/{name}", range="bytes=10-19")
        assert own.body == content(name)[10:20]
        assert own["vary"] == "Accept-Encoding"
        assert "content-encoding" not in own.headers


@pytest.mark.parametrize("name", SIZES)
def test_several_ranges_are_of_the_encoded_bytes(web: Server, name: str) -> None:
    packed = content(name, "br")
    response = web.get(f"/{name}", accept_encoding="br", range="bytes=0-4,-3")
    assert response.status == 206
    assert response["content-encoding"] == "br"
    assert response["vary"] == "Accept-Encoding"
    assert packed[:5] in response.body
    assert packed[-3:] in response.body
    assert f"bytes 0-4/{len(packed)}".encode() in response.body
    assert response.body.count(b"Content-Type: text/javascript") == 2


@pytest.mark.parametrize("name", SIZES)
def test_a_range_beyond_the_encoded_bytes_is_416(web: Server, name: str) -> None:
    packed = len(content(name, "br"))
    fields = {"range": f"bytes={packed}-"}
    response = web.get(f"/{name}", accept_encoding="br", **fields)
    assert response.status == 416
    assert response["content-range"] == f"bytes */{packed}"
    assert response["vary"] == "Accept-Encoding", "for others the range is there"
    assert "content-encoding" not in response.headers, "the text is not encoded"
    assert web.get(f"/{name}", **fields).status == 206


@pytest.mark.parametrize("name", SIZES)
def test_if_range_holds_for_the_same_encoding_only(web: Server, name: str) -> None:
    with web.client() as client:
        tag = client.get(f"/{name}", "HEAD", accept_encoding="br")["etag"]
        fields = {"range": "bytes=0-9", "if_range": tag}
        part = client.get(f"/{name}", accept_encoding="br", **fields)
        assert (part.status, part.body) == (206, content(name, "br")[:10])
        for other in ("gzip", "identity"):
            whole = client.get(f"/{name}", accept_encoding=other, **fields)
            assert whole.status == 200
            packed = "gzip" if other == "gzip" else ""
            assert whole.body == content(name, packed)


@pytest.mark.parametrize("name", SIZES)
def test_preconditions_compare_what_would_be_sent(web: Server, name: str) -> None:
    with web.client() as client:
        tags = {
            encoding: client.get(f"/{name}", "HEAD", accept_encoding=encoding)["etag"]
            for encoding in ("identity", "gzip", "br")
        }
        assert len(set(tags.values())) == 3
        for encoding, tag in tags.items():
            for other, other_tag in tags.items():
                same = encoding == other
                response = client.get(
                    f"/{name}", accept_encoding=encoding, if_none_match=other_tag
                )
                assert response.status == (304 if same else 200)
                assert response["vary"] == "Accept-Encoding"
                assert response["etag"] == tag
                response = client.get(
                    f"/{name}", accept_encoding=encoding, if_match=other_tag
                )
                assert response.status == (200 if same else 412)
                assert response["vary"] == "Accept-Encoding"
                assert response["etag"] == tag


def test_a_304_says_no_encoding_of_the_body_that_it_lacks(web: Server) -> None:
    response = web.get("/small.js", accept_encoding="br", if_none_match="*")
    assert response.status == 304
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("name", SIZES)
def test_pipelined_requests_each_get_their_encoding(web: Server, name: str) -> None:
    order = ["br", "identity", "gzip", "br", "zstd", "identity"]
    with web.client() as client:
        client.send(b"".join(request(f"/{name}", accept_encoding=e) for e in order))
        for encoding in order:
            packed = "" if encoding == "identity" else encoding
            assert client.read().body == content(name, packed)


def test_http_1_0_is_negotiated_too(web: Server) -> None:
    with web.client() as client:
        client.send(request("/small.js", version="1.0", accept_encoding="br"))
        response = client.read()
        assert response["content-encoding"] == "br"
        assert response["connection"] == "close"


def test_answers_are_counted_by_encoding(web: Server) -> None:
    with web.client() as client:
        for encoding in ("br", "br", "gzip", "identity"):
            client.get("/small.js", accept_encoding=encoding)
    (engine,) = web.status()["engines"]
    assert engine["encoded_total"] == {"br": 2, "gzip": 1, "zstd": 0}
    with urllib.request.urlopen(f"{web.admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    line = 'penstock_encoded_responses_total{encoding="br",engine="0"} 2.0'
    assert line in text


def test_curl_decodes_what_it_gets(web: Server, place: Path) -> None:
    text = b"to be read\n" * 3000
    (place / "text.js").write_bytes(text)
    (place / "text.js.gz").write_bytes(gzip.compress(text))
    url = f"http://127.0.0.1:{web.port}/text.js"
    done = subprocess.run(
        ["curl", "-s", "--compressed", "-H", "Accept-Encoding: gzip", url],
        env=of_others(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == text
    assert web.total("bytes_sent_total") < len(text)
