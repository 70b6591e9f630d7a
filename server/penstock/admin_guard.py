"""What every request to the admin port passes first, whatever it asks for.

- HTTP/1 only: in HTTP/2 a reader that keeps its window closed would make answers wait,
  where the kernel does not see it.
- On a loopback address: the Host field must name it. Otherwise a web page could reach
  the port through the user's browser by DNS rebinding.
- A web page gets nothing, and changes nothing: an Origin field (RFC 6454) must be the
  admin address itself, and a body must say that it is JSON, which a page can not do
  without asking first.
- With a configured token: ``Authorization: Bearer`` (RFC 6750), except for /healthz and
  the files of the live page, which a browser asks for before it can be given one.
  Alertmanager may have one of its own, which opens its path only.
- A body is small and comes in time.
"""

import hmac
import json
from hashlib import sha256
from ipaddress import ip_address

import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.admin_page import PAGE_PATHS
from penstock.control import Control
from penstock.enforcement import Enforcement
from penstock.settings import Admin

BODY_BYTES_MAX = 16384  # a limit is about 60 bytes
ALERTMANAGER_PATH = "/alertmanager"
# A hundred alerts, each with two kilobytes of labels and annotations.
NOTIFICATION_BYTES_MAX = 1 << 18
BODY_TIMEOUT_S = 10.0
# Answers to a notification that could not be understood.
NOT_UNDERSTOOD = (400, 408, 413, 415, 422)
_WITH_BODY = {"POST", "PUT"}
_HTTP_VERSIONS = {"1.0", "1.1"}
_OPEN_PATHS = {"/healthz"}  # for probes that hold no token; says nothing but "ok"


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, control: Control) -> None:
        self._app = app
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        if scope.get("http_version") not in _HTTP_VERSIONS:
            await _refuse(send, 505, "use HTTP/1.1")
            return
        path = scope["path"]
        is_notification = path == ALERTMANAGER_PATH
        if is_notification:
            send = _counting_refusals(send, self._control.timed.enforcement)
        refusal = self._refusal(Headers(scope=scope), scope["method"], path)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        most = NOTIFICATION_BYTES_MAX if is_notification else BODY_BYTES_MAX
        body = await _bounded_body(receive, most)
        if isinstance(body, bytes):
            await self._app(scope, _Replay(body, receive), send)
        else:
            await _refuse(send, *body)

    def _refusal(
        self, headers: Headers, method: str, path: str
    ) -> tuple[int, str] | None:
        admin = self._control.settings.admin
        host = headers.get("host", "")
        if admin.listen.is_loopback and not _is_loopback_host(host):
            return 403, "this Host is not the admin address: use 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "requests of web pages from elsewhere are refused (Origin)"
        accepted = _tokens(admin, path)
        given = headers.get("authorization", "")
        if accepted and path not in PAGE_PATHS and not _has_token(given, accepted):
            whose = "the admin token" if admin.token_sha256 else "Alertmanager's token"
            return 401, f"{whose} is needed: Authorization: Bearer TOKEN"
        if method in _WITH_BODY and not _is_json(headers.get("content-type", "")):
            return 415, "a body is JSON: send Content-Type: application/json"
        return None


class _Replay:
    """A body that was read already, as the ASGI ``receive`` of the application."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _tokens(admin: Admin, path: str) -> list[bytes]:
    """Digests of those that open ``path``; without any it is open."""
    tokens = [admin.token_sha256]
    if path == ALERTMANAGER_PATH:
        tokens.append(admin.alertmanager_token_sha256)
    return [token for token in tokens if token is not None]


def _has_token(authorization: str, accepted: list[bytes]) -> bool:
    """Digests are compared: their time tells nothing about the token."""
    scheme, _, token = authorization.partition(" ")
    given = sha256(token.strip().encode("latin-1", "replace")).digest()
    known = [hmac.compare_digest(given, digest) for digest in accepted]
    return scheme.lower() == "bearer" and any(known)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _is_loopback_host(host: str) -> bool:
    """``host`` as in the Host field, with or without a port; absent in HTTP/1.0."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.partition(":")[0]
    if name.lower() in ("", "localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


async def _bounded_body(receive: Receive, most: int) -> bytes | tuple[int, str]:
    """The whole body, of ``most`` bytes, or the refusal of it."""
    body = b""
    with trio.move_on_after(BODY_TIMEOUT_S):
        while True:
            message = await receive()
            chunk: bytes = message.get("body", b"")
            body += chunk
            if len(body) > most:
                return 413, f"a body has at most {most} bytes here"
            if not message.get("more_body", False):
                return body
    return 408, f"the body did not come within {BODY_TIMEOUT_S:g} seconds"


def _counting_refusals(send: Send, enforcement: Enforcement) -> Send:
    """Whoever finds it out: the guard, or the application behind it."""

    async def send_counted(message: Message) -> None:
        if message.get("status") in NOT_UNDERSTOOD:
            enforcement.notified["refused"] += 1
        await send(message)

    return send_counted


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
