"""Types only: what the rows of the compiled engine are made of.

At run time these classes are in ``penstock._engine``; this module does not exist there.
"""

from typing import Literal, NamedTuple

from penstock.allowances import BreakerState, Limiter, Mode, Source

class SharePass(NamedTuple):
    active: int  # clients that were active since the last pass
    backlogged: int  # of them: wanted more than they got
    raised: int  # rows whose waiting transfers were timed anew

class ClientRow(NamedTuple):
    client_id: str
    target_bps: int  # as rate_bps
    source: Source
    bytes_total: int
    requests_total: int
    connections: int
    transfers: int  # transfers that exist now
    parked: int  # of them: waiting for tokens
    fill_bytes: int  # tokens in the bucket; negative = debt
    mean_bps: int  # bytes per second over the last ten complete seconds
    jitter_ratio: float | None  # of the eight between; None: silent in one of the ten
    last_active_ns: int  # CLOCK_MONOTONIC; 0 = never
    rate_bps: int  # as in Allowance, and those below
    effective_bps: int  # at which its bucket runs now; 0 = unlimited
    ceil_bps: int
    min_bps: int
    weight: int
    burst_bytes: int
    peak_bps: int
    group: str | None
    cap_bps: int  # one more limit, of a schedule, quota or policy; 0 = none
    limited_by: Limiter  # what keeps it from more now
    mode: Mode
    adaptive_bps: int  # its adaptive target; 0 (here and below) = no limit
    controller_bps: int
    breaker_bps: int
    breaker: BreakerState

class FeedbackRow(NamedTuple):
    """Of a client that controllers follow; counters since the row was first used."""

    srtt_ns: int  # 0 = unknown
    min_rtt_ns: int  # of the last 10 to 20 seconds; 0 = unknown
    estimate_bps: int  # bandwidth of all its paths; 0 = unknown
    segments: int  # with data, retransmitted ones included
    retrans: int  # of them
    marked: int  # delivered with a CE mark
    ecn: bool  # its latest connection has negotiated ECN
    loss: float  # of the breaker's last sample that counted
    window_bytes: int  # of the controller; 0 = no limit
    ssthresh_bytes: int
    raises: int  # of the adaptive target
    trips: int  # of the breaker

class FeedChange(NamedTuple):
    """What a controller changed, and the numbers that made it do so."""

    client_id: str
    kind: Literal["adaptive", "controller", "breaker"]
    change: Literal[
        "raised",
        "lowered",
        "reset",
        "loss",
        "ce",
        "degraded",
        "frozen",
        "thawed",
        "half_open",
        "step",
        "closed",
    ]
    before_bps: int  # of the term that changed; 0 (here and below) = no limit
    after_bps: int
    rate_bps: int  # configured
    mean_bps: int  # over the last ten complete seconds
    srtt_ns: int
    estimate_bps: int
    retrans: int  # segments since the controller last looked
    marked: int
    loss: float

class TransferRow(NamedTuple):
    engine: int  # index
    status: int  # of the response
    total_bytes: int  # head and body
    moved_bytes: int  # written to the socket so far
    limited_by: Limiter

class GroupRow(NamedTuple):
    name: str
    rate_bps: int
    ceil_bps: int
    min_bps: int
    weight: int
    burst_bytes: int
    peak_bps: int
    source: Source
    effective_bps: int
    bytes_total: int
    mean_bps: int
    active: int  # members that were active in the last control pass
    backlogged: int  # of them: wanted more than they got
    cap_bps: int
    limited_by: Limiter

class ServerRow(NamedTuple):
    rate_bps: int  # of all clients together; 0 = unlimited
    effective_bps: int  # with the cap, at which its bucket runs now; 0 = unlimited
    cap_bps: int  # one more limit, of a schedule, quota or policy; 0 = none
    limited_by: Limiter  # what keeps it from more now
    mean_bps: int  # bytes per second over the last ten complete seconds
    bytes_total: int  # never falls
    active: int  # clients that were active in the last control pass
    backlogged: int  # of them: wanted more than they got
