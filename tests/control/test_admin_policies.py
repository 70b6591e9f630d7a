"""POST /alertmanager and GET /policies: what is taken, from whom, and what is shown."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from prometheus_client import generate_latest

from penstock.admin_guard import NOTIFICATION_BYTES_MAX
from penstock.control import Control
from penstock.telemetry import make_registry
from tests.control.api import api
from tests.control.fakes import FakeClients, MakeControl
from tests.control.notifications import FIRED_AT, notification, said

TEXT = """
[groups.batch]
rate = "40MB/s"
[policies.calm]
alert = "UplinkSaturated"
applies_to = ["group:batch", "server"]
rate = "10MB/s"
expires = "30m"
"""
ADMIN, ALERTS = "admin's token", "Alertmanager's token"
CAP = {"group:batch": (10_000_000, "policy"), "server": (10_000_000, "policy")}


def digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def send(control: Control, body: Any, token: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with api(control) as client:
        return await client.post("/alertmanager", json=body, headers=headers)


def counted(control: Control) -> dict[str, int]:
    return {result: n for result, n in control.timed.enforcement.notified.items() if n}


async def test_an_alert_that_fires_caps_until_it_is_resolved(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TEXT)
    answer = await send(control, notification(said()))
    assert answer.status_code == 200
    assert answer.json() == {"result": "changed", "policies": ["calm"]}
    assert clients.caps == CAP
    again = await send(control, notification(said()))
    assert again.json()["result"] == "unchanged"
    over = said("resolved", ends_at=datetime.now(UTC).isoformat())
    answer = await send(control, notification(over))
    assert answer.json()["result"] == "changed"
    assert clients.caps == {}
    assert counted(control) == {"changed": 2, "unchanged": 1}


async def test_an_alert_that_no_policy_names_is_taken_and_ignored(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TEXT)
    answer = await send(control, notification(said(alertname="DiskFull")))
    assert answer.status_code == 200, "else Alertmanager would try again"
    assert answer.json() == {"result": "unmatched", "policies": []}
    assert clients.caps == {}


async def test_what_is_active_is_shown_with_since_until_and_alert(
    make_control: MakeControl,
) -> None:
    scaled = TEXT.replace('rate = "10MB/s"', "scale = 0.25")
    scaled = scaled.replace('"server"', '"default"')
    control = make_control(f"[shaping]\nclient_rate = 8\n{scaled}")
    async with api(control) as client:
        assert (await client.get("/policies")).json() == {"policies": []}
        before = datetime.now(UTC)
        await client.post("/alertmanager", json=notification(said()))
        [shown] = (await client.get("/policies")).json()["policies"]
    since = datetime.fromisoformat(shown.pop("since"))
    assert before <= since <= datetime.now(UTC)
    until = datetime.fromisoformat(shown.pop("until"))
    assert until == since + timedelta(minutes=30)
    [firing] = shown.pop("firing")
    assert firing["fingerprint"] == "6c5f3a0b9b1d2e4f"
    assert firing["starts_at"] == FIRED_AT.replace("789Z", "Z")
    assert datetime.fromisoformat(firing["until"]) == until
    assert shown == {
        "policy": "calm",
        "alert": "UplinkSaturated",
        "caps": {"group:batch": 10_000_000, "default": 2},
    }


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"version": "5"}, ["body", "version"]),
        ({"version": 4}, ["body", "version"]),
        ({"alerts": None}, ["body", "alerts"]),
        ({"alerts": [7]}, ["body", "alerts", 0]),
        ({"truncatedAlerts": -1}, ["body", "truncatedAlerts"]),
        ({"status": "odd"}, ["body", "alerts", 0, "status"]),
        ({"fingerprint": ""}, ["body", "alerts", 0, "fingerprint"]),
        ({"fingerprint": 7}, ["body", "alerts", 0, "fingerprint"]),
        ({"fingerprint": "x" * 65}, ["body", "alerts", 0, "fingerprint"]),
        ({"labels": {"alertname": 1}}, ["body", "alerts", 0, "labels", "alertname"]),
        ({"startsAt": "yesterday"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "2026-11-24T12:00:00"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": 1_700_000_000}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "1700000000"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "1700000000.5"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "-5"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "2026-11-24 12:00Z"}, ["body", "alerts", 0, "startsAt"]),
        ({"startsAt": "٢026-11-24T12:00:00Z"}, ["body", "alerts", 0, "startsAt"]),
        ({"endsAt": True}, ["body", "alerts", 0, "endsAt"]),
    ],
)
async def test_what_can_not_be_understood_is_refused_as_a_whole_and_counted(
    make_control: MakeControl,
    clients: FakeClients,
    change: dict[str, Any],
    place: list[object],
) -> None:
    control = make_control(TEXT)
    body = notification(said(), said(fingerprint="other"))
    (body["alerts"][0] if change.keys() <= body["alerts"][0].keys() else body).update(
        change
    )
    if place == ["body", "alerts", 0, "status"]:
        body["alerts"][0]["status"] = "odd"
    answer = await send(control, body)
    assert answer.status_code == 422
    assert place in [problem["loc"] for problem in answer.json()["detail"]]
    assert clients.caps == {}
    assert counted(control) == {"refused": 1}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"no JSON", "application/json", 400),
        (b'{"\xff": 1}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"", "application/json", 422),
        (b"{}", "text/plain", 415),
    ],
)
async def test_what_is_no_json_is_refused_and_counted(
    make_control: MakeControl, content: bytes, kind: str, status: int
) -> None:
    control = make_control(TEXT)
    headers = {"content-type": kind}
    async with api(control) as client:
        answer = await client.post("/alertmanager", content=content, headers=headers)
    assert answer.status_code == status
    assert counted(control) == {"refused": 1}


async def test_fields_of_a_later_alertmanager_are_ignored(
    make_control: MakeControl, clients: FakeClients
) -> None:
    alert = said() | {"status": "firing", "silenced": {"by": []}}
    del alert["endsAt"]
    body = notification(alert, notificationReason="new")
    del body["truncatedAlerts"], body["groupKey"]
    assert (await send(make_control(TEXT), body)).status_code == 200
    assert clients.caps == CAP


async def test_alerts_that_were_left_out_are_told_of(
    make_control: MakeControl, caplog: pytest.LogCaptureFixture
) -> None:
    await send(make_control(TEXT), notification(said(), truncatedAlerts=7))
    assert "left out 7 alerts: raise max_alerts" in caplog.text


# httpx leaves the rest of a body that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
async def test_a_notification_has_a_bound_of_its_own(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TEXT)
    long = said() | {"annotations": {"text": "x" * 100_000}}
    assert (await send(control, notification(long))).status_code == 200
    clients.caps.clear()
    longer = said() | {"annotations": {"text": "x" * NOTIFICATION_BYTES_MAX}}
    assert (await send(control, notification(longer))).status_code == 413
    assert clients.caps == {}
    assert counted(control)["refused"] == 1
    async with api(control) as client:
        other = await client.post("/config", json={"client_id": "a" * 20_000})
    assert other.status_code == 413


@pytest.mark.parametrize(
    ("configured", "opens"),
    [
        ({"token_sha256": ADMIN}, {ADMIN}),
        ({"alertmanager_token_sha256": ALERTS}, {ALERTS}),
        (
            {"token_sha256": ADMIN, "alertmanager_token_sha256": ALERTS},
            {ADMIN, ALERTS},
        ),
    ],
)
async def test_a_token_of_alertmanagers_own_opens_its_path_beside_the_admins(
    make_control: MakeControl, configured: dict[str, str], opens: set[str]
) -> None:
    keys = "".join(f'{key} = "{digest(t)}"\n' for key, t in configured.items())
    control = make_control(f"[admin]\n{keys}{TEXT}")
    for token in (ADMIN, ALERTS, "other", ""):
        answer = await send(control, notification(said()), token)
        assert answer.status_code == (200 if token in opens else 401)
        assert "refused" not in counted(control), "it may be understood, or not"
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_alertmanagers_token_opens_nothing_else(
    make_control: MakeControl, clients: FakeClients
) -> None:
    text = f'[admin]\ntoken_sha256 = "{digest(ADMIN)}"\n'
    text += f'alertmanager_token_sha256 = "{digest(ALERTS)}"\n'
    async with api(make_control(text + TEXT)) as client:
        client.headers["authorization"] = f"Bearer {ALERTS}"
        for path in ("/policies", "/config", "/clients", "/alertmanager/"):
            assert (await client.get(path)).status_code == 401, path
        change = {"client_id": "a", "target_bps": 5}
        assert (await client.post("/config", json=change)).status_code == 401
    assert clients.rows == {}


async def test_a_page_from_elsewhere_can_not_raise_an_alarm(
    make_control: MakeControl, clients: FakeClients
) -> None:
    async with api(make_control(TEXT)) as client:
        body = json.dumps(notification(said()))
        plain = await client.post("/alertmanager", content=body)
        origin = {"origin": "http://evil.example", "content-type": "application/json"}
        foreign = await client.post("/alertmanager", content=body, headers=origin)
    assert (plain.status_code, foreign.status_code) == (415, 403)
    assert clients.caps == {}


async def test_policies_and_notifications_are_counted_for_prometheus(
    make_control: MakeControl,
) -> None:
    quiet = '[policies.quiet]\nalert = "Q"\napplies_to = ["server"]\nrate = 1\n'
    control = make_control(TEXT + quiet)
    await send(control, notification(said()))
    await send(control, {})
    text = generate_latest(make_registry(control, [])).decode()
    for line in (
        'penstock_policy_active{policy="calm"} 1.0',
        'penstock_policy_active{policy="quiet"} 0.0',
        'penstock_alertmanager_notifications_total{result="changed"} 1.0',
        'penstock_alertmanager_notifications_total{result="refused"} 1.0',
        'penstock_alertmanager_notifications_total{result="unmatched"} 0.0',
    ):
        assert line in text.splitlines()


zones = st.timezones() | st.just(UTC)
moments = st.datetimes(timezones=zones).map(datetime.isoformat)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(["firing", "resolved"]), moments, moments)
async def test_any_moment_in_any_zone_is_taken_or_refused(
    make_control: MakeControl, status: str, starts_at: str, ends_at: str
) -> None:
    control = make_control(TEXT)
    body = notification(said(status, starts_at=starts_at, ends_at=ends_at))
    async with api(control) as client:
        answer = await client.post("/alertmanager", json=body)
        assert answer.status_code in (200, 422), answer.text
        assert (await client.get("/policies")).status_code == 200
    control.timed.tick()
