"""The admin API of policies: Alertmanager says what fires, people ask what holds."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from penstock.admin_changes import BODY_REFUSALS
from penstock.admin_guard import ALERTMANAGER_PATH
from penstock.admin_models import (
    FiringView,
    NotificationTaken,
    PoliciesView,
    PolicyView,
)
from penstock.alertmanager import Notification
from penstock.control import Control
from penstock.enforcement import Active, Enforcement

log = logging.getLogger(__name__)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: BODY_REFUSALS[code] for code in (400, 408, 413, 415, 422)
}


def add_policies(app: FastAPI, control: Control) -> None:
    router = APIRouter(route_class=_counted(control.timed.enforcement))

    @router.post(ALERTMANAGER_PATH, responses=_REFUSALS)
    async def notify(notification: Notification) -> NotificationTaken:
        """For Alertmanager's webhook. Saying something again only renews it."""
        if notification.truncated:
            log.warning(
                "Alertmanager left out %d alerts: raise max_alerts of the webhook",
                notification.truncated,
            )
        done = control.timed.notify([said.alert() for said in notification.alerts])
        return NotificationTaken(result=done.result, policies=done.policies)

    @app.get("/policies")
    async def policies() -> PoliciesView:
        active = control.timed.enforcement.active()
        return PoliciesView(policies=[_view(one, control) for one in active])

    app.include_router(router)


def _counted(enforcement: Enforcement) -> type[APIRoute]:
    """A route that counts what it can not understand."""

    class Counted(APIRoute):
        def get_route_handler(
            self,
        ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_counted(request: Request) -> Response:
                try:
                    return await handle(request)
                except RequestValidationError:
                    enforcement.notified["refused"] += 1
                    raise

            return handle_counted

    return Counted


def _view(active: Active, control: Control) -> PolicyView:
    policy = active.policy
    caps = policy.caps(control.tree.rate_of)
    return PolicyView(
        policy=active.name,
        alert=policy.alert,
        since=active.since,
        until=active.until,
        caps={
            str(target): caps[target].rate_bps if target in caps else None
            for target in policy.applies_to
        },
        firing=[FiringView(**firing._asdict()) for firing in active.alerts],
    )
