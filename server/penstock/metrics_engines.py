"""Metrics of the engines: every counter and limit of ``EngineStatistics``."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from penstock.durations import SECOND_NS
from penstock.facade import EngineHandle

if TYPE_CHECKING:
    from penstock._engine import EngineStatistics

# The promised buckets, and one at the threshold of the alert on the P99, which is so
# exact; a test holds them and the engine's bounds together.
FIRST_BYTE_BUCKETS_S = (0.05, 0.1, 0.2, 0.35, 0.38, 0.5, 1.0)
_STATES = ("starting", "serving", "draining", "stopped")

# Key of EngineStatistics -> what it says. ``_total`` makes it a counter.
ENGINE_METRICS = {
    "connections": "Connections that are open now",
    "connections_limit": "Connections that can be open at once",
    "connections_accepted_total": "Connections accepted",
    "connections_refused_total": "Connections answered 503: no slot was free",
    "accept_errors_total": "Failures of accept, such as too many open files",
    "requests_total": "Requests received",
    "requests_reused_total": "Requests on a connection that had one before",
    "requests_in_progress": "Requests whose response has not ended",
    "parse_errors_total": "Requests that were not HTTP/1",
    "forwarded_ignored_total": "Requests of trusted proxies with no usable source",
    "transfers": "Transfers that exist now",
    "transfers_parked": "Transfers that wait for tokens now",
    "bytes_sent_total": "Bytes handed to client sockets",
    "bytes_spliced_total": "Of them: bytes that never entered user space",
    "zerocopy_sends_total": "Sends of memory without a copy (SEND_ZC)",
    "reads_cold_total": "Pieces of files that a kernel worker read from a disk",
    "reads_ahead_total": "Requests to a disk to read ahead of a download",
    "grants_total": "Quanta granted by token buckets",
    "grants_early_total": "Quanta granted on debt to transfers that begin",
    "parks_total": "Times a transfer had to wait for tokens",
    "sensed_total": "Times a connection was asked for what its network does",
    "sensing_seconds_total": "Time that sweeps along the connections took for that",
    "timeouts_idle_total": "Connections closed: no request came",
    "timeouts_header_total": "Connections closed: a request head took too long",
    "timeouts_write_total": "Connections closed: the client took no bytes",
    "timeouts_body_total": "Uploads ended: the client brought no bytes",
    "intakes": "Requests of uploads that are not answered yet",
    "bytes_received_total": "Bytes of uploads received",
    "bytes_past_cache_total": "Of them: bytes written past the page cache",
    "blocks": "Buffers of such writes in use",
    "blocks_limit": "Buffers of such writes that exist",
    "pipes": "Pipes in use",
    "pipes_limit": "Pipes that can be in use",
    "receive_buffers": "Receive buffers held by connections",
    "receive_buffers_limit": "Receive buffers that exist",
    "pending_bytes": "Memory for requests that came before earlier ones were answered",
    "pending_cut_total": "Connections closed: too much of that",
    "sqes_in_flight": "Submissions without a completion yet",
    "cache_entries": "Files in the open-file cache",
    "cache_bytes": "Memory of small files in the cache",
    "cache_hits_total": "Look-ups answered by the cache",
    "cache_misses_total": "Look-ups that had to ask the file system",
    "cache_evictions_total": "Entries that made room for others",
    "sidecars_stale_total": "Sidecars found older than their files, and not used",
    "loops_total": "Turns of the event loop",
    "cqes_total": "Completions handled",
    "cq_overflows_total": "Times the completion queue was full",
    "letters_dropped_total": "Messages between engine and control that were lost",
}


class EngineCollector(Collector):
    def __init__(self, engines: Sequence[EngineHandle]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        statistics = [engine.statistics() for engine in self._engines]
        for key, documentation in ENGINE_METRICS.items():
            yield _family(key, documentation, statistics)
        yield _responses(statistics)
        yield _encoded(statistics)
        yield _state(statistics)
        yield _first_byte(statistics)
        yield _reuse(statistics)


def _label(engine: "EngineStatistics") -> str:
    return str(engine["index"])


def _family(
    key: str, documentation: str, statistics: "Sequence[EngineStatistics]"
) -> Metric:
    kind = CounterMetricFamily if key.endswith("_total") else GaugeMetricFamily
    family = kind(f"penstock_{key}", documentation, labels=["engine"])
    for engine in statistics:
        value = engine.get(key)
        if isinstance(value, int | float):
            family.add_metric([_label(engine)], value)
    return family


def _responses(statistics: "Sequence[EngineStatistics]") -> Metric:
    family = CounterMetricFamily(
        "penstock_responses_total", "Responses by status", labels=["engine", "code"]
    )
    for engine in statistics:
        for code, count in sorted(engine["responses_total"].items()):
            family.add_metric([_label(engine), str(code)], count)
    return family


def _encoded(statistics: "Sequence[EngineStatistics]") -> Metric:
    family = CounterMetricFamily(
        "penstock_encoded_responses_total",
        "Responses made from a precompressed file, by its encoding",
        labels=["engine", "encoding"],
    )
    for engine in statistics:
        for encoding, count in sorted(engine["encoded_total"].items()):
            family.add_metric([_label(engine), encoding], count)
    return family


def _state(statistics: "Sequence[EngineStatistics]") -> Metric:
    family = GaugeMetricFamily(
        "penstock_engine_state",
        "1 for the state that the engine is in",
        labels=["engine", "cpu", "state"],
    )
    for engine in statistics:
        for state in _STATES:
            labels = [_label(engine), str(engine["cpu"]), state]
            family.add_metric(labels, int(engine["state"] == state))
    return family


def _first_byte(statistics: "Sequence[EngineStatistics]") -> Metric:
    """Engines count each bucket for itself; an exposition counts all up to a bound."""
    sums = [
        sum(c) for c in zip(*(e["first_byte_counts"] for e in statistics), strict=True)
    ]
    names = [*map(str, FIRST_BYTE_BUCKETS_S), "+Inf"]
    cumulative = accumulate(sums or [0] * len(names))
    family = HistogramMetricFamily(
        "download_latency_seconds", "Time from the request to its first byte"
    )
    family.add_metric(
        [],
        buckets=list(zip(names, cumulative, strict=True)),
        sum_value=sum(e["first_byte_sum_ns"] for e in statistics) / SECOND_NS,
    )
    return family


def _reuse(statistics: "Sequence[EngineStatistics]") -> Metric:
    requests = sum(e["requests_total"] for e in statistics)
    reused = sum(e["requests_reused_total"] for e in statistics)
    return GaugeMetricFamily(
        "download_conn_reuse_ratio",
        "Share of all requests that came on a connection used before",
        value=reused / requests if requests else 0.0,
    )
