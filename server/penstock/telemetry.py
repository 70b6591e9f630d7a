"""The metrics: a registry of collectors that read the engine's own counters.

Nothing is counted twice: a scrape takes a snapshot, and what it reports is what the
engine counted.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from penstock.control import Control
from penstock.facade import EngineHandle
from penstock.metrics_clients import ClientCollector
from penstock.metrics_control import ControlCollector
from penstock.metrics_engines import EngineCollector
from penstock.metrics_feedback import FeedbackCollector
from penstock.metrics_groups import GroupCollector
from penstock.metrics_limiter import LimiterCollector
from penstock.metrics_quotas import QuotaCollector
from penstock.metrics_server import ServerCollector


def make_registry(
    control: Control, engines: Sequence[EngineHandle]
) -> CollectorRegistry:
    """All metrics of one process; not prometheus-client's global registry."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(engines))
    registry.register(ClientCollector(control))
    registry.register(GroupCollector(control))
    registry.register(ServerCollector(control))
    registry.register(ControlCollector(control))
    registry.register(QuotaCollector(control.timed))
    registry.register(LimiterCollector(control.limiter))
    registry.register(FeedbackCollector(control))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The exposition that ``accept`` asks for, and its content type.

    Prometheus text by default, OpenMetrics when the Accept field names it.
    """
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
