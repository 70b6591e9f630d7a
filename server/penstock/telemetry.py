"""The metrics: collectors that read the engine's own counters, and their exposition.

Nothing is counted twice: a scrape takes a snapshot, and what it reports is what the
engine counted.

What grows with the number of clients is written by the engine (``metrics_clients``), in
the Trio thread, in small pieces, between which others have their turn. All the rest is
left to prometheus-client.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import trio
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics

from penstock.control import Control
from penstock.facade import EngineHandle
from penstock.metrics_clients import render_clients
from penstock.metrics_control import ControlCollector
from penstock.metrics_engines import EngineCollector
from penstock.metrics_feedback import FeedbackCollector
from penstock.metrics_groups import GroupCollector
from penstock.metrics_limiter import LimiterCollector
from penstock.metrics_policies import PolicyCollector
from penstock.metrics_quotas import QuotaCollector
from penstock.metrics_server import ServerCollector
from penstock.metrics_uploads import UploadCollector
from penstock.scrapes import ScrapeCollector, Scrapes

SLICE_S = 0.001  # after which others have their turn


class Format(NamedTuple):
    content_type: str
    open_metrics: bool  # else: Prometheus' own


def choose_format(accept: str) -> Format:
    """What an Accept field asks for. Prometheus text by default, OpenMetrics when it is
    named; a version that is no number asks for nothing."""
    try:
        _, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        _, content_type = choose_encoder("")
    is_open = content_type.startswith("application/openmetrics-text")
    return Format(content_type, open_metrics=is_open)


def make_registry(
    control: Control, engines: Sequence[EngineHandle]
) -> CollectorRegistry:
    """All metrics of one process except those of clients; not prometheus-client's
    global registry."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(engines))
    registry.register(GroupCollector(control))
    registry.register(ServerCollector(control))
    registry.register(ControlCollector(control))
    registry.register(QuotaCollector(control.timed))
    registry.register(PolicyCollector(control.timed))
    registry.register(LimiterCollector(control.limiter))
    registry.register(FeedbackCollector(control))
    registry.register(
        UploadCollector(control.uploads_answered, control.upload_attempts)
    )
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def make_scrapes(control: Control, engines: Sequence[EngineHandle]) -> Scrapes:
    """What is handed out to who scrapes, by the rules that the settings say."""
    registry = make_registry(control, engines)
    scrapes = Scrapes(
        lambda is_open: collect(control, registry, open_metrics=is_open),
        lambda: control.settings.telemetry,
    )
    registry.register(ScrapeCollector(scrapes))
    return scrapes


async def collect(
    control: Control, registry: CollectorRegistry, *, open_metrics: bool
) -> bytes:
    """The whole exposition of this moment."""
    ranking = control.clients.ranking(control.settings.telemetry.top_clients)
    parts = await _in_slices(render_clients(ranking, open_metrics=open_metrics))
    encoder = openmetrics.generate_latest if open_metrics else generate_latest
    # A thread, since it asks the file system for the process' own numbers.
    parts.append(await trio.to_thread.run_sync(encoder, registry))
    return b"".join(parts)


async def _in_slices(pieces: Iterator[bytes]) -> list[bytes]:
    found = []
    until = trio.current_time() + SLICE_S
    for piece in pieces:
        found.append(piece)
        if trio.current_time() >= until:
            await trio.lowlevel.checkpoint()
            until = trio.current_time() + SLICE_S
    return found
