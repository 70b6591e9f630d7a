"""How often metrics are collected, whoever asks how often for them.

A scrape costs what the clients cost, and engines use the same cores. So a token bucket
says how often metrics are collected: ``scrape_burst`` times at once, ``scrape_qps``
times a second in the long run. Whoever asks more often gets the last exposition again:
with several scrapers of one server, all have true numbers, a moment old. An exposition
older than ``scrape_window`` is no answer any more, since Prometheus would store its
numbers as those of now, and rates over them would be wrong: then the scrape is refused,
with the time after which there will be a new one.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, Protocol

import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.durations import SECOND_NS


class ScrapeRules(Protocol):
    """Never changed: a reload puts another one in its place."""

    @property
    def scrape_burst(self) -> int: ...
    @property
    def scrape_qps(self) -> float: ...
    @property
    def scrape_window_ns(self) -> int: ...


class ScrapeRefusedError(Exception):
    """Metrics were collected too often, and too long ago to be handed out again.

    Args:
        wait_ns: after it, they may be collected again.
    """

    def __init__(self, wait_ns: int) -> None:
        super().__init__(f"in {wait_ns} ns")
        self.wait_ns = wait_ns


class Tokens:
    """A bucket of collections, full at first, as the time at which it will be full
    again (GCRA, as the engine's). Its rules may change with each call."""

    def __init__(self) -> None:
        self._full_at_ns = 0

    def take(self, rules: ScrapeRules, now_ns: int) -> int:
        """0: one is taken. Else there will be one in so many nanoseconds."""
        token_ns = round(SECOND_NS / rules.scrape_qps)
        # When rules change, what is missing stays the same time, as far as it fits.
        missing_ns = min(
            max(self._full_at_ns - now_ns, 0), rules.scrape_burst * token_ns
        )
        wait_ns = max(missing_ns - (rules.scrape_burst - 1) * token_ns, 0)
        if wait_ns == 0:
            missing_ns += token_ns
        self._full_at_ns = now_ns + missing_ns
        return wait_ns


class Kept(NamedTuple):
    body: bytes
    at_ns: int


class Scrapes:
    """The expositions that are handed out, one collected after the other.

    Args:
        collect: the exposition of now, as OpenMetrics or as Prometheus text.
        rules: those that hold now; looked at once for each scrape.

    Attributes:
        limited_total: scrapes for which nothing was collected.
        last_seconds: how long the last collection took.
    """

    def __init__(
        self,
        collect: Callable[[bool], Awaitable[bytes]],
        rules: Callable[[], ScrapeRules],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._collect = collect
        self._rules = rules
        self._now_ns = now_ns
        self._tokens = Tokens()
        self._lock = trio.Lock()
        self._kept: dict[bool, Kept] = {}  # by whether it is OpenMetrics
        self.limited_total = 0
        self.last_seconds = 0.0

    async def scrape(self, *, open_metrics: bool) -> bytes:
        """An exposition of now, or one that is a moment old.

        Raises:
            ScrapeRefusedError: there is neither.
        """
        async with self._lock:
            rules = self._rules()
            began_ns = self._now_ns()
            wait_ns = self._tokens.take(rules, began_ns)
            if wait_ns:
                self.limited_total += 1
                return self._again(rules, open_metrics, began_ns, wait_ns)
            body = await self._collect(open_metrics)
            self._kept[open_metrics] = Kept(body, began_ns)
            self.last_seconds = (self._now_ns() - began_ns) / SECOND_NS
            return body

    def _again(
        self, rules: ScrapeRules, open_metrics: bool, now_ns: int, wait_ns: int
    ) -> bytes:
        kept = self._kept.get(open_metrics)
        if kept is None or now_ns - kept.at_ns > rules.scrape_window_ns:
            raise ScrapeRefusedError(wait_ns)
        return kept.body


class ScrapeCollector(Collector):
    def __init__(self, scrapes: Scrapes) -> None:
        self._scrapes = scrapes

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "app_metric_collection_rate_limited",
            "Scrapes for which nothing was collected, because there were too many",
            value=self._scrapes.limited_total,
        )
        yield GaugeMetricFamily(
            "penstock_scrape_seconds",
            "How long the collection before this one took",
            value=self._scrapes.last_seconds,
        )
