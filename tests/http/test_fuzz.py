"""Any bytes at all: an answer or a close, never a crash, and nothing left behind."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.serving import Server, request

METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"get", b"BREW", b"", b"G\x00T"]
TARGETS = [
    b"/hello.txt",
    b"/",
    b"*",
    b"/%",
    b"/\xff",
    b"http://h/hello.txt",
    b"",
    b"/ ",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/1.1 ", b"http/1.1", b""]
LINES = [
    b"Host: h",
    b"Host:",
    b"Range: bytes=0-,-1",
    b"If-None-Match: *",
    b"Content-Length: 3",
    b"Content-Length: -3",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"\tfold",
    b": x",
    b"X" * 70 + b": y",
    b"A: \xff\x80",
]
heads = st.builds(
    lambda method, target, version, lines, end, body: (
        b" ".join([method, target, version])
        + end
        + b"".join(line + end for line in lines)
        + end
        + body
    ),
    st.sampled_from(METHODS),
    st.sampled_from(TARGETS),
    st.sampled_from(VERSIONS),
    st.lists(st.sampled_from(LINES), max_size=6),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"]),
    st.binary(max_size=20),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.one_of(heads, st.binary(max_size=200)), st.integers(1, 64))
def test_any_head_gets_an_answer_or_a_close(
    server: Server, data: bytes, cut: int
) -> None:
    with server.client() as client:
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), cut):
                client.send(data[at : at + cut])
            client.sock.shutdown(1)
        with contextlib.suppress(ConnectionError):
            while client.fill():
                pass
        if client.buffer:
            assert client.buffer.startswith(b"HTTP/1.1 ")
    with server.client() as client:
        client.send(request("/hello.txt"))
        assert client.read().body == b"hello, world\n"
