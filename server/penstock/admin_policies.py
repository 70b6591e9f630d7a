"""The admin API of policies: Alertmanager says what fires, people ask what holds."""

import logging
from typing import Any

from fastapi import FastAPI

from penstock.admin_changes import BODY_REFUSALS
from penstock.admin_guard import ALERTMANAGER_PATH, NOT_UNDERSTOOD
from penstock.admin_models import (
    FiringView,
    NotificationTaken,
    PoliciesView,
    PolicyView,
)
from penstock.alertmanager import Notification
from penstock.control import Control
from penstock.enforcement import Active

log = logging.getLogger(__name__)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: BODY_REFUSALS[code] for code in NOT_UNDERSTOOD
}


def add_policies(app: FastAPI, control: Control) -> None:
    @app.post(ALERTMANAGER_PATH, responses=_REFUSALS)
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
