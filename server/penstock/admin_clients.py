"""The admin API of clients: their limits, and what they do."""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Path as InPath, Query, Response

from penstock.admin_changes import (
    BODY_REFUSALS,
    DROP_REFUSALS,
    LIMIT_FIELDS,
    SPEC_FIELDS,
    changed,
    dropped,
)
from penstock.admin_models import (
    ClientChanged,
    ClientDetail,
    ClientId,
    ClientSpec,
    ClientsView,
    LimitChange,
    LimitChanged,
    Reason,
    TransferView,
)
from penstock.admin_versions import etag, require_version
from penstock.admin_views import (
    allowance_fields,
    client_view,
    feedback_view,
    quota_views,
)
from penstock.clientids import canonical_client_id
from penstock.control import Control
from penstock.errors import Key
from penstock.facade import EngineHandle
from penstock.limits import CLIENT_ROWS_MAX

CLIENTS_PAGE_DEFAULT = 100
CLIENTS_PAGE_MAX = 1000
IfMatch = Annotated[str | None, Header(description="the version that is changed")]
# Ids have slashes: 2001:db8::/64.
_PATH = "/clients/{client_id:path}"
IdInPath = Annotated[ClientId, InPath()]


def add_clients(
    app: FastAPI, control: Control, engines: Sequence[EngineHandle]
) -> None:
    _add_limit(app, control)
    _add_list(app, control, engines)
    _add_changes(app, control)


def _key(client_id: str) -> Key:
    return ("clients", canonical_client_id(client_id))


def _add_limit(app: FastAPI, control: Control) -> None:
    @app.post("/config", responses=BODY_REFUSALS)
    async def limit_client(
        change: LimitChange, response: Response, if_match: IfMatch = None
    ) -> LimitChanged:
        require_version(if_match, control.version)
        others = change.given()
        client_id = others.pop("client_id")
        # Who has no rate of its own keeps that of its class, whatever it becomes.
        rate = others.pop("target_bps", control.tree.spec(client_id).rate_bps)
        version = changed(
            lambda: control.set_limit(client_id, rate, **others),
            _key(client_id),
            LIMIT_FIELDS,
        )
        response.headers.update(etag(version))
        holds = control.tree.member(client_id).allowed
        return LimitChanged(
            client_id=client_id,
            target_bps=holds.rate_bps or None,
            config_version=version,
        )


def _add_list(app: FastAPI, control: Control, engines: Sequence[EngineHandle]) -> None:
    @app.get("/clients")
    async def clients(
        limit: Annotated[int, Query(ge=1, le=CLIENTS_PAGE_MAX)] = CLIENTS_PAGE_DEFAULT,
        offset: Annotated[int, Query(ge=0, le=CLIENT_ROWS_MAX)] = 0,
    ) -> ClientsView:
        rows = control.clients.snapshot()
        now_ns = time.monotonic_ns()
        return ClientsView(
            clients=[
                client_view(r, control, now_ns) for r in rows[offset : offset + limit]
            ],
            total_rows=len(rows),
            row_limit=control.clients.row_limit,
        )

    @app.get(_PATH, responses={404: {"model": Reason}})
    async def client(client_id: IdInPath, response: Response) -> ClientDetail:
        row = control.clients.find(client_id)
        if row is None:
            raise HTTPException(404, f"no client {client_id!r} was seen or configured")
        response.headers.update(etag(control.version))
        view = client_view(row, control, time.monotonic_ns())
        sending = [
            TransferView(**t._asdict())
            for engine in engines
            for t in engine.transfers(client_id)
        ]
        return ClientDetail(
            **dict(view),
            config_version=control.version,
            feedback=feedback_view(control.clients.feedback(client_id)),
            quotas=quota_views(row, control.timed),
            sending=sending,
        )


def _add_changes(app: FastAPI, control: Control) -> None:
    @app.put(_PATH, responses=BODY_REFUSALS)
    async def set_client(
        client_id: IdInPath,
        said: ClientSpec,
        response: Response,
        if_match: IfMatch = None,
    ) -> ClientChanged:
        """All that is said of it; what is left out is as in the default class."""
        require_version(if_match, control.version)
        changed(
            lambda: control.set_client(client_id, said.spec()),
            _key(client_id),
            SPEC_FIELDS,
        )
        return _holds(client_id, response)

    @app.delete(_PATH, responses=DROP_REFUSALS)
    async def drop_client(
        client_id: IdInPath, response: Response, if_match: IfMatch = None
    ) -> ClientChanged:
        """Take back what this API said: what the file says holds again."""
        require_version(if_match, control.version)
        dropped(lambda: control.drop_client(client_id), repr(client_id))
        return _holds(client_id, response)

    def _holds(client_id: str, response: Response) -> ClientChanged:
        response.headers.update(etag(control.version))
        allowed, group = control.tree.member(client_id)
        return ClientChanged(
            client_id=client_id,
            **allowance_fields(allowed),
            group=group,
            upload_rate_bps=control.tree.upload_rate_of(client_id) or None,
            source=control.source_of_client(client_id),
            config_version=control.version,
        )
