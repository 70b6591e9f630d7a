"""The live page at ``/`` of the admin port: files of the package, and nothing else.

It has no secret in it, so that it needs no token; what it shows it asks the API for.
The policy lets it load its own files only, run no script within the page, be in no
frame and send no form.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files

from fastapi import FastAPI, Request, Response

_HTML, _CSS = "text/html; charset=utf-8", "text/css; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_FILES = {
    "/": ("index.html", _HTML),
    "/live.css": ("live.css", _CSS),
    **{
        f"/{name}.js": (f"{name}.js", _SCRIPT)
        for name in ("live", "stream", "table", "chart", "format")
    },
}
PAGE_PATHS = frozenset(_FILES)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for again, and mostly answered 304
}


def add_page(app: FastAPI) -> None:
    """The files are read now: a package that lacks one is found out at the start."""
    for path, (name, media_type) in _FILES.items():
        body = files("penstock").joinpath("live", name).read_bytes()
        app.get(path, include_in_schema=False)(_file(body, media_type))


def _file(body: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    tag = f'"{sha256(body).hexdigest()[:16]}"'
    headers = {**_HEADERS, "content-type": media_type, "etag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    return answer
