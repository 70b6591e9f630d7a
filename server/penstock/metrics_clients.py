"""Metrics of the clients: the top ones by name, all others as one; and of all.

The label ``client_id`` has at most ``telemetry.top_clients`` + 1 values, whatever
clients do. A client that leaves the top moves into ``other``: sums over all values stay
true, the single series may step down, which Prometheus reads as a counter reset.

There may be tens of thousands of clients, and ten thousand by name. So the engine says
who is at the top, writes their lines, and adds up the rest; here they are put together,
in pieces that take a fraction of a millisecond each.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from penstock.allowances import UNLIMITED
from penstock.clientids import OTHER_CLIENTS
from penstock.exposition import Kind, head, series, series_name
from penstock.ranking import ClientSums, Ranking

ROWS_AT_ONCE = 1000


class ClientFamily(NamedTuple):
    """One metric of clients.

    Args:
        name: without the ``_total`` of a counter.
        metric: of the engine's ``CLIENT_METRICS``.
    """

    name: str
    kind: Kind
    documentation: str
    metric: str


CLIENT_FAMILIES = (
    ClientFamily(
        "download_bandwidth_bytes_per_second",
        "gauge",
        "Configured limit; +Inf is no limit; other: the sum of theirs",
        "target_bps",
    ),
    ClientFamily(
        "penstock_client_effective_bytes_per_second",
        "gauge",
        "Limit that holds now; +Inf is no limit",
        "effective_bps",
    ),
    ClientFamily(
        "penstock_client_target_bytes_per_second",
        "gauge",
        "Adaptive target, where it is not the configured limit; +Inf is none",
        "adaptive_bps",
    ),
    ClientFamily(
        "penstock_client_controller_bytes_per_second",
        "gauge",
        "What the controller allows; +Inf is no limit",
        "controller_bps",
    ),
    ClientFamily(
        "penstock_client_breaker_bytes_per_second",
        "gauge",
        "What the breaker allows; +Inf is no limit",
        "breaker_bps",
    ),
    ClientFamily(
        "penstock_client_weight",
        "gauge",
        "Share of what is left, beside its siblings",
        "weight",
    ),
    ClientFamily("penstock_client_sent_bytes", "counter", "Bytes sent", "bytes_total"),
    ClientFamily(
        "penstock_client_mean_bytes_per_second",
        "gauge",
        "Bytes sent, mean of ten complete seconds",
        "mean_bps",
    ),
    ClientFamily(
        "penstock_client_requests", "counter", "Requests received", "requests_total"
    ),
    ClientFamily(
        "penstock_client_transfers", "gauge", "Transfers that exist now", "transfers"
    ),
    ClientFamily(
        "penstock_client_parked",
        "gauge",
        "Transfers that wait for tokens now",
        "parked",
    ),
)
LIMITED_BY = "penstock_client_limited_by"
LIMITED_BY_HELP = "Clients that this keeps from more now"
JITTER = "penstock_client_jitter_ratio"
JITTER_HELP = "Standard deviation by mean of eight steady seconds"
WORST_JITTER = "penstock_jitter_ratio"
WORST_JITTER_HELP = "Worst jitter of the clients that are held back by penstock"


def render_clients(ranking: Ranking, *, open_metrics: bool) -> Iterator[bytes]:
    """The exposition of all that is said of clients, in pieces, of which some are
    empty.

    Args:
        ranking: of which nothing was looked at.
    """
    while ranking.look(ROWS_AT_ONCE):
        yield b""
    others = ranking.others()
    for family in CLIENT_FAMILIES:
        yield from _family(family, ranking, others, open_metrics=open_metrics)
    yield from _limited_by(ranking, others, open_metrics=open_metrics)
    yield from _jitter(ranking, others, open_metrics=open_metrics)


def _family(
    family: ClientFamily,
    ranking: Ranking,
    others: ClientSums,
    *,
    open_metrics: bool,
) -> Iterator[bytes]:
    name = series_name(family.name, family.kind)
    yield head(
        family.name, family.kind, family.documentation, open_metrics=open_metrics
    ).encode()
    for first in range(0, ranking.kept, ROWS_AT_ONCE):
        yield ranking.series(name, family.metric, first, ROWS_AT_ONCE)
    if others.clients:
        number = others.numbers[family.metric]
        yield series(name, number, client_id=OTHER_CLIENTS).encode()


def _limited_by(
    ranking: Ranking, others: ClientSums, *, open_metrics: bool
) -> Iterator[bytes]:
    """Only the causes that there are: each client but `other` has one series."""
    yield head(LIMITED_BY, "gauge", LIMITED_BY_HELP, open_metrics=open_metrics).encode()
    for first in range(0, ranking.kept, ROWS_AT_ONCE):
        yield ranking.series_limited_by(LIMITED_BY, first, ROWS_AT_ONCE)
    for cause, count in others.limited_by.items():
        line = series(LIMITED_BY, count, client_id=OTHER_CLIENTS, limited_by=cause)
        yield line.encode()


def _jitter(
    ranking: Ranking, others: ClientSums, *, open_metrics: bool
) -> Iterator[bytes]:
    """No series for who has none; that of `other` is the worst of theirs. The worst of
    all is over every row, named or not."""
    yield head(JITTER, "gauge", JITTER_HELP, open_metrics=open_metrics).encode()
    for first in range(0, ranking.kept, ROWS_AT_ONCE):
        yield ranking.series_jitter(JITTER, first, ROWS_AT_ONCE)
    if others.jitter is not None:
        yield series(JITTER, others.jitter, client_id=OTHER_CLIENTS).encode()
    yield head(
        WORST_JITTER, "gauge", WORST_JITTER_HELP, open_metrics=open_metrics
    ).encode()
    worst = ranking.worst_jitter
    if worst is not None:
        yield series(WORST_JITTER, worst).encode()


def bps(value: int) -> float:
    """Bytes per second, as Prometheus shows that there is no limit."""
    return math.inf if value == UNLIMITED else value
