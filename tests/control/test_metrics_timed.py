"""Metrics of quotas and rate contexts: true, and a bounded number of them."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from penstock.limiter import Limiter
from penstock.metrics_limiter import LimiterCollector
from penstock.metrics_quotas import QuotaCollector
from tests.control.test_limiter import Rows
from tests.control.test_quotas import quota
from tests.control.test_timed_limits import Timed, World, closing


def lines(collector: QuotaCollector | LimiterCollector) -> set[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {line for line in text.splitlines() if not line.startswith("#")}


def test_a_quota_shows_use_limit_and_stage_of_what_is_named(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    both = quota(applies_to=["server", "client:a"])
    with closing(world.open(Timed(quotas={"q": both}))) as limits:
        world.send("a", 900)
        world.send("b", 300)
        limits.tick()
        assert lines(QuotaCollector(limits)) == {
            'penstock_quota_used_bytes{applies_to="server",quota="q"} 1200.0',
            'penstock_quota_used_bytes{applies_to="client:a",quota="q"} 900.0',
            'penstock_quota_limit_bytes{applies_to="server",quota="q"} 1000.0',
            'penstock_quota_limit_bytes{applies_to="client:a",quota="q"} 1000.0',
            'penstock_quota_stage{applies_to="server",quota="q"} 2.0',
            'penstock_quota_stage{applies_to="client:a",quota="q"} 1.0',
            'penstock_quota_slowed{quota="q"} 2.0',
            "penstock_quota_accounts_dropped_total 0.0",
            "penstock_quota_saves_failed_total 0.0",
        }


def test_clients_of_the_default_class_have_no_series_of_their_own(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "state")
    with closing(world.open(Timed(quotas={"q": quota()}))) as limits:
        for i in range(50):
            world.send(f"c{i}", 1000)
        limits.tick()
        found = lines(QuotaCollector(limits))
    assert len(found) == 3
    assert 'penstock_quota_slowed{quota="q"} 50.0' in found


def test_open_and_leaked_contexts_are_counted() -> None:
    limiter = Limiter(Rows())
    with limiter.context("a"):
        assert lines(LimiterCollector(limiter)) == {
            "penstock_rate_contexts_open 1.0",
            "penstock_rate_contexts_leaked_total 0.0",
        }
    limiter.leaked_total += 1
    assert "penstock_rate_contexts_leaked_total 1.0" in lines(LimiterCollector(limiter))
    assert "penstock_rate_contexts_open 0.0" in lines(LimiterCollector(limiter))
