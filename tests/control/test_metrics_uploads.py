"""What came of the requests of uploads, in the metrics."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry

from penstock.metrics_uploads import UploadCollector


def test_answers_are_counted_by_protocol_method_and_status() -> None:
    answered: Counter[tuple[str, str, int]] = Counter()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(UploadCollector(answered, Counter()))
    answered["tus", "PATCH", 204] += 2
    labels = {"protocol": "tus", "method": "PATCH", "code": "204"}
    assert registry.get_sample_value("penstock_upload_requests_total", labels) == 2


def test_attempts_are_shown_by_the_states_that_they_are_in_now() -> None:
    registry = CollectorRegistry(auto_describe=False)
    attempts = Counter({"paused": 2, "completed": 7})
    registry.register(UploadCollector(Counter(), attempts))
    shown = {
        state: registry.get_sample_value("penstock_upload_attempts", {"state": state})
        for state in ("idle", "active", "paused", "completed")
    }
    assert shown == {"idle": 0, "active": 0, "paused": 2, "completed": None}
