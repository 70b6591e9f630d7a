"""The admin API: metrics, limits, and what the server is doing."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import trio
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from penstock import __version__
from penstock.admin_guard import Guard
from penstock.admin_models import (
    ClientsView,
    ClientView,
    ConfigView,
    LimitChange,
    LimitChanged,
    ProcessView,
    Reason,
    Refused,
    StatusView,
)
from penstock.allowances import UNLIMITED
from penstock.control import Control, State
from penstock.durations import SECOND_NS
from penstock.facade import EngineHandle
from penstock.limits import CLIENT_ROWS_MAX
from penstock.process import open_descriptors, resident_bytes
from penstock.telemetry import make_registry, render

if TYPE_CHECKING:
    from penstock._engine import ClientRow

CLIENTS_PAGE_DEFAULT = 100
CLIENTS_PAGE_MAX = 1000
_SCRAPES_AT_ONCE = 2  # each holds a whole exposition in memory
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Reason, "description": "The body is not JSON"},
    408: {"model": Reason, "description": "The body did not come in time"},
    413: {"model": Reason, "description": "The body is too large"},
    415: {"model": Reason, "description": "Content-Type is not application/json"},
    422: {"model": Refused, "description": "Refused; nothing has changed"},
    503: {"model": Reason, "description": "The client table is full"},
}
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
    _add_config(app, control)
    _add_views(app, control, engines)
    _add_probes(app, control)
    return app


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
    @app.post("/config", responses=_REFUSALS)
    async def limit_client(change: LimitChange) -> LimitChanged:
        try:
            version = control.set_limit(change.client_id, change.target_bps)
        except OverflowError as error:
            raise HTTPException(503, str(error)) from None
        return LimitChanged(
            client_id=change.client_id,
            target_bps=change.target_bps,
            config_version=version,
        )

    @app.get("/config")
    async def effective_settings() -> ConfigView:
        return ConfigView(
            config_version=control.version, settings=control.settings.public()
        )


def _add_views(app: FastAPI, control: Control, engines: Sequence[EngineHandle]) -> None:
    registry = make_registry(control, engines)
    scrapes = trio.CapacityLimiter(_SCRAPES_AT_ONCE)
    started = time.monotonic()

    @app.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        body, content_type = await trio.to_thread.run_sync(
            render, registry, accept, limiter=scrapes
        )
        return Response(body, headers={"content-type": content_type})

    @app.get("/clients")
    async def clients(
        limit: Annotated[int, Query(ge=1, le=CLIENTS_PAGE_MAX)] = CLIENTS_PAGE_DEFAULT,
        offset: Annotated[int, Query(ge=0, le=CLIENT_ROWS_MAX)] = 0,
    ) -> ClientsView:
        rows = control.clients.snapshot()
        now_ns = time.monotonic_ns()
        return ClientsView(
            clients=[client_view(r, now_ns) for r in rows[offset : offset + limit]],
            total_rows=len(rows),
            row_limit=control.clients.row_limit,
        )

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


def client_view(row: "ClientRow", now_ns: int) -> ClientView:
    """``now_ns`` is CLOCK_MONOTONIC, as in the row."""
    idle_ns = max(0, now_ns - row.last_active_ns)
    return ClientView(
        client_id=row.client_id,
        target_bps=None if row.target_bps == UNLIMITED else row.target_bps,
        source=row.source,
        bytes_total=row.bytes_total,
        requests_total=row.requests_total,
        connections=row.connections,
        transfers=row.transfers,
        parked=row.parked,
        fill_bytes=row.fill_bytes,
        mean_bps=row.mean_bps,
        last_active_seconds_ago=idle_ns / SECOND_NS if row.last_active_ns else None,
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
