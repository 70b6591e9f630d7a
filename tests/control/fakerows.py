"""Rows of the facade with the values of one to whom nothing has happened."""

from typing import NamedTuple


class FakeRow(NamedTuple):
    client_id: str
    target_bps: int = 0
    source: str = "default"
    bytes_total: int = 0
    requests_total: int = 0
    connections: int = 0
    transfers: int = 0
    parked: int = 0
    fill_bytes: int = 0
    mean_bps: int = 0
    jitter_ratio: float | None = None
    last_active_ns: int = 0
    rate_bps: int = 0
    effective_bps: int = 0
    ceil_bps: int = 0
    min_bps: int = 0
    weight: int = 100
    burst_bytes: int = 0
    peak_bps: int = 0
    group: str | None = None
    cap_bps: int = 0
    limited_by: str = "none"
    mode: str = "off"
    adaptive_bps: int = 0
    controller_bps: int = 0
    breaker_bps: int = 0
    breaker: str = "closed"


class FakeTransfer(NamedTuple):
    engine: int = 0
    status: int = 200
    total_bytes: int = 0
    moved_bytes: int = 0
    limited_by: str = "none"


class FakePass(NamedTuple):
    active: int
    backlogged: int
    raised: int


class FakeGroupRow(NamedTuple):
    name: str
    rate_bps: int = 0
    ceil_bps: int = 0
    min_bps: int = 0
    weight: int = 100
    burst_bytes: int = 0
    peak_bps: int = 0
    source: str = "file"
    effective_bps: int = 0
    bytes_total: int = 0
    mean_bps: int = 0
    active: int = 0
    backlogged: int = 0
    cap_bps: int = 0
    limited_by: str = "none"


class FakeServerRow(NamedTuple):
    rate_bps: int = 0
    effective_bps: int = 0
    cap_bps: int = 0
    limited_by: str = "none"
    mean_bps: int = 0
    bytes_total: int = 0
    active: int = 0
    backlogged: int = 0


class FakeFeedback(NamedTuple):
    srtt_ns: int = 0
    min_rtt_ns: int = 0
    estimate_bps: int = 0
    segments: int = 0
    retrans: int = 0
    marked: int = 0
    ecn: bool = False
    loss: float = 0.0
    window_bytes: int = 0
    ssthresh_bytes: int = 0
    raises: int = 0
    trips: int = 0


class FakeChange(NamedTuple):
    client_id: str
    kind: str
    change: str
    before_bps: int = 0
    after_bps: int = 0
    rate_bps: int = 0
    mean_bps: int = 0
    srtt_ns: int = 0
    estimate_bps: int = 0
    retrans: int = 0
    marked: int = 0
    loss: float = 0.0
