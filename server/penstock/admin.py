"""The admin API: metrics, limits, and what the server is doing."""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from penstock import __version__
from penstock.admin_clients import add_clients
from penstock.admin_events import add_events
from penstock.admin_groups import add_groups
from penstock.admin_guard import Guard
from penstock.admin_models import (
    ConfigView,
    ProcessView,
    Reason,
    ServerView,
    StatusView,
)
from penstock.admin_page import add_page
from penstock.admin_policies import add_policies
from penstock.admin_versions import etag
from penstock.admin_views import server_view
from penstock.control import Control, State
from penstock.durations import SECOND_NS
from penstock.facade import EngineHandle
from penstock.process import open_descriptors, resident_bytes
from penstock.scrapes import ScrapeRefusedError
from penstock.telemetry import choose_format, make_scrapes

log = logging.getLogger(__name__)

_GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"model": Reason, "description": "The admin token is needed"},
    403: {"model": Reason, "description": "Host or Origin is not the admin address"},
}


def make_app(control: Control, engines: Sequence[EngineHandle]) -> FastAPI:
    """The ASGI application; its Guard is part of it."""
    app = FastAPI(
        title="penstock admin API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses=_GUARDED,
    )
    app.add_middleware(Guard, control=control)
    app.add_exception_handler(RequestValidationError, _explain)
    _add_errors(app, control)
    add_clients(app, control, engines)
    add_groups(app, control)
    add_page(app)
    add_events(app, control, engines)
    add_policies(app, control)
    _add_config(app, control)
    _add_views(app, control, engines)
    _add_probes(app, control)
    return app


def _add_errors(app: FastAPI, control: Control) -> None:
    @app.exception_handler(Exception)
    async def tell(request: Request, error: Exception) -> JSONResponse:
        """Hypercorn is mute. Also of an answer that has begun, like a stream."""
        control.admin_errors += 1
        path = request.url.path
        log.error("%s %r failed", request.method, path, exc_info=error)
        return JSONResponse({"detail": "a bug; the log of the server has it"}, 500)


async def _explain(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong and where. The value itself may be a secret, or no JSON."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return JSONResponse({"detail": "the body is not JSON"}, 400)
    kept = [
        {
            "loc": problem["loc"],
            "msg": problem["msg"].removeprefix("Value error, "),
            "type": problem["type"],
        }
        for problem in problems
    ]
    return JSONResponse({"detail": kept}, 422)


def _add_config(app: FastAPI, control: Control) -> None:
    @app.get("/config")
    async def effective_settings(response: Response) -> ConfigView:
        response.headers.update(etag(control.version))
        return ConfigView(
            config_version=control.version,
            settings=control.settings.public(),
            overrides=control.overrides.public(),
        )


def _add_views(app: FastAPI, control: Control, engines: Sequence[EngineHandle]) -> None:
    scrapes = make_scrapes(control, engines)
    started = time.monotonic()

    @app.get("/metrics", response_class=Response, responses={429: {"model": Reason}})
    async def metrics(request: Request) -> Response:
        """Of now or a moment ago; 429 when ``telemetry`` allows neither."""
        content_type, is_open = choose_format(request.headers.get("accept", ""))
        try:
            body = await scrapes.scrape(open_metrics=is_open)
        except ScrapeRefusedError as refused:
            raise _too_often(refused.wait_ns) from None
        return Response(body, headers={"content-type": content_type})

    @app.get("/server")
    async def server() -> ServerView:
        """All engines and clients together."""
        return server_view(control, engines)

    @app.get("/status")
    async def status() -> StatusView:
        return StatusView(
            state=control.state.value,
            version=__version__,
            uptime_seconds=round(time.monotonic() - started, 3),
            config_version=control.version,
            process=ProcessView(
                pid=os.getpid(),
                open_fds=open_descriptors(),
                rss_bytes=resident_bytes(),
            ),
            engines=[dict(engine.statistics()) for engine in engines],
        )


def _too_often(wait_ns: int) -> HTTPException:
    return HTTPException(
        429,
        "metrics were collected as often as telemetry.scrape_qps and scrape_burst "
        "allow, and the last ones are older than scrape_window",
        {"Retry-After": str(-(-wait_ns // SECOND_NS))},
    )


def _add_probes(app: FastAPI, control: Control) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"model": Reason}})
    async def readyz() -> dict[str, str]:
        """Downloads are served; 503 while starting or draining."""
        if control.state is not State.SERVING:
            raise HTTPException(503, control.state.value)
        return {"status": "ok"}
