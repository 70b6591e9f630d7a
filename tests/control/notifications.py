"""Notifications as Alertmanager 0.25 sends them."""

from datetime import datetime
from typing import Any

FIRED_AT = "2026-11-24T11:59:50.123456789Z"
NO_TIME = "0001-01-01T00:00:00Z"


def said(
    status: str = "firing",
    *,
    fingerprint: str = "6c5f3a0b9b1d2e4f",
    starts_at: str | datetime = FIRED_AT,
    ends_at: str | datetime = NO_TIME,
    **labels: str,
) -> dict[str, Any]:
    """One alert."""
    return {
        "status": status,
        "labels": {"alertname": "UplinkSaturated", "severity": "warning", **labels},
        "annotations": {"summary": "The uplink is full"},
        "startsAt": str(starts_at).replace(" ", "T"),
        "endsAt": str(ends_at).replace(" ", "T"),
        "generatorURL": "http://prometheus:9090/graph?g0.expr=1",
        "fingerprint": fingerprint,
    }


def notification(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    fires = any(alert["status"] == "firing" for alert in alerts)
    return {
        "version": "4",
        "groupKey": '{}:{alertname="UplinkSaturated"}',
        "truncatedAlerts": 0,
        "status": "firing" if fires else "resolved",
        "receiver": "penstock",
        "groupLabels": {"alertname": "UplinkSaturated"},
        "commonLabels": {"alertname": "UplinkSaturated"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **fields,
    }
