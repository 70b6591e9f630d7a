"""Who may upload, by the configuration that holds now."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving import Server
from tests.uploads.served import READER, WRITER, UploadSite, rules

CREATE = ("POST", "/upload?path=rights.bin")


@pytest.mark.parametrize("target", ["/upload?path=rights.bin", "/files"])
@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("unknown", 403), (READER, 403), (WRITER, 201)]
)
def test_a_token_with_the_right_is_needed(
    uploads: UploadSite, target: str, token: str | None, status: int
) -> None:
    answer = uploads.ask(
        "POST", target, token=token, upload_length="9", tus_resumable="1.0.0"
    )
    assert answer.status == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("token", [None, READER])
def test_the_id_alone_gives_no_right(uploads: UploadSite, token: str | None) -> None:
    begun = uploads.begin("rights/known.bin", 4)
    refused = 401 if token is None else 403
    said = {"idempotency_key": begun.key}
    for method, body in (("PUT", b"data"), ("HEAD", b""), ("DELETE", b"")):
        answer = uploads.ask(method, begun.target, body, token=token, **said)
        assert answer.status == refused
    tus = uploads.tus("HEAD", f"/files/{begun.id}", token=token, **said)
    assert tus.status == refused
    assert begun.offset() == 0


def test_a_refused_body_is_no_bytes_of_the_next_request(uploads: UploadSite) -> None:
    """What was not read ends the connection, so that nothing hides in it."""
    begun = uploads.begin("rights/smuggled.bin", 100)
    hidden = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    with uploads.server.client() as client:
        client.send(
            f"PUT {begun.target} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Length: {len(hidden)}\r\n\r\n".encode()
        )
        client.send(hidden)
        assert client.read().status == 401
        assert client.closed()


def test_everybody_may_where_the_settings_say_so(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads(more="open = true\n")
    answer = site.ask(*CREATE, token=None, upload_length="0")
    assert answer.status == 201
    assert site.server.get("/rights.bin").status == 200


def test_a_reload_takes_the_right_away_and_gives_it_back(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads()
    begun = site.begin("reloaded.bin", 8)
    assert begun.put(0, b"half").status == 200

    def reload(*, writer: bool, status: int) -> None:
        site.config.write_text(rules(writer=writer))
        site.server.process.send_signal(signal.SIGHUP)
        site.server.wait(
            "the reload holds",
            lambda: site.ask("HEAD", begun.target).status == status,
        )

    reload(writer=False, status=403)
    assert begun.put(4, b"rest").status == 403
    reload(writer=True, status=200)
    assert begun.put(4, b"rest").status == 200
    assert site.server.get("/reloaded.bin").body == b"halfrest"


def test_without_a_folder_there_are_no_uploads(server: Server) -> None:
    for method in ("POST", "PUT", "PATCH"):
        assert server.get("/upload?path=a", method).status in (405, 501)
    assert server.get("/upload").status == 404


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "by token, clients that may: 1"),
        (
            {"said": rules(writer=False)},
            "nobody may: give a client token_sha256 and upload = true",
        ),
        ({"more": "open = true\n"}, "everybody may (uploads.open)"),
    ],
)
def test_the_log_says_who_may(
    start_uploads: Callable[..., UploadSite], said: dict[str, Any], told: str
) -> None:
    assert told in start_uploads(**said).server.log.read_text()
