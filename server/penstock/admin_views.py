"""What holds and what is, as the admin API shows it: there null is no limit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.admin_models import (
    ClientView,
    FeedbackView,
    GroupView,
    QuotaView,
    ServerView,
)
from penstock.allowances import UNLIMITED, Allowance, Source
from penstock.control import Control
from penstock.durations import SECOND_NS
from penstock.facade import EngineHandle
from penstock.timed_limits import TimedLimits

if TYPE_CHECKING:
    from penstock._engine import ClientRow, FeedbackRow, GroupRow

# 0 means that there is none, or that it follows from the rate.
_NULLABLE = {"rate_bps", "ceil_bps", "burst_bytes", "peak_bps"}
_NULLABLE |= {"target_bps", "effective_bps", "cap_bps"}
_NULLABLE |= {"adaptive_bps", "controller_bps", "breaker_bps"}


def client_view(row: "ClientRow", control: Control, now_ns: int) -> ClientView:
    """``now_ns`` is CLOCK_MONOTONIC, as in the row."""
    fields = without_zero(row._asdict())
    last_ns = fields.pop("last_active_ns")
    idle_s = max(0, now_ns - last_ns) / SECOND_NS if last_ns else None
    unfinished, held_bytes = control.uploads_held(row.client_id)
    return ClientView(
        **fields,
        last_active_seconds_ago=idle_s,
        upload_rate_bps=control.tree.upload_rate_of(row.client_id) or None,
        uploads_unfinished=unfinished,
        uploads_held_bytes=held_bytes,
    )


def group_view(row: "GroupRow", source: Source) -> GroupView:
    return GroupView(**{**without_zero(row._asdict()), "source": source})


def feedback_view(row: "FeedbackRow | None") -> FeedbackView | None:
    if row is None:
        return None
    return FeedbackView(
        srtt_seconds=row.srtt_ns / SECOND_NS or None,
        min_rtt_seconds=row.min_rtt_ns / SECOND_NS or None,
        estimate_bps=row.estimate_bps or None,
        segments=row.segments,
        retransmitted=row.retrans,
        marked=row.marked,
        ecn_supported=row.ecn,
        loss_ratio=row.loss,
        window_bytes=row.window_bytes or None,
        ssthresh_bytes=row.ssthresh_bytes,
        adaptive_raises=row.raises,
        breaker_trips=row.trips,
    )


def quota_views(row: "ClientRow", timed: TimedLimits) -> list[QuotaView]:
    """As they were counted last, half a second ago at most."""
    is_default = row.source == "default"
    uses = timed.uses(row.client_id, row.group, is_default=is_default)
    return [
        QuotaView(**{**use._asdict(), "applies_to": str(use.applies_to)})
        for use in uses
    ]


def allowance_fields(allowed: Allowance) -> dict[str, Any]:
    """The fields of an AllowanceView."""
    return without_zero(allowed._asdict())


def server_view(control: Control, engines: Sequence[EngineHandle]) -> ServerView:
    counted = [engine.statistics() for engine in engines]
    return ServerView(
        **without_zero(control.clients.server()._asdict()),
        state=control.state.value,
        config_version=control.version,
        requests_total=sum(engine["requests_total"] for engine in counted),
        connections=sum(engine["connections"] for engine in counted),
        connections_limit=sum(engine["connections_limit"] for engine in counted),
        transfers=sum(engine["transfers"] for engine in counted),
        parked=sum(engine["transfers_parked"] for engine in counted),
        clients=control.clients.rows_used,
        row_limit=control.clients.row_limit,
    )


def without_zero(fields: dict[str, Any]) -> dict[str, Any]:
    """Where 0 stands for none there is None."""
    return {
        name: None if name in _NULLABLE and value == UNLIMITED else value
        for name, value in fields.items()
    }
