"""An engine and a client table without bytes: the facade's rules, kept in memory.

The real ones are tested elsewhere; here they would only hide what Python does.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from penstock.allowances import Allowance, BreakerState, ClientEntry, GroupEntry
from penstock.clientids import canonical_client_id
from penstock.control import Control
from penstock.feedback import FeedbackRules
from penstock.identity_rules import IdentityRules
from penstock.rates import MAX_RATE_BPS
from tests.control.fakecaps import FakeCaps
from tests.control.fakeranking import FakeRanking
from tests.control.fakerows import (
    FakeChange,
    FakeFeedback,
    FakeGroupRow,
    FakePass,
    FakeRow,
    FakeServerRow,
    FakeTransfer,
)

if TYPE_CHECKING:
    from penstock._engine import (
        ClientRow,
        EngineStatistics,
        FeedbackRow,
        FeedChange,
        GroupRow,
        ServerRow,
        SharePass,
        TransferRow,
    )

MakeControl = Callable[..., Control]
WAIT_S = 10.0  # far more than anything here takes


class FakeClients(FakeCaps):
    """``ClientTable``: rows by id, groups by name; refusals change nothing."""

    def __init__(self, row_limit: int = 1000) -> None:
        super().__init__()
        self.row_limit = row_limit
        self.version = 1
        self.overflow_total = 0
        self.recycled_total = 0
        self.told_apart: list[IdentityRules | None] = []
        self.rows: dict[str, FakeRow] = {}
        self.group_rows: dict[str, FakeGroupRow] = {}
        self.server_row = FakeServerRow()
        self.configured: list[dict[str, Any]] = []
        self.said: list[tuple[str, str]] = []  # what was changed one by one
        self.passes = 0
        self.explains = False
        self.paces = False
        self.feedback_rules: FeedbackRules | None = None
        self.feedback_changes_lost = 0
        self.fed: dict[str, FakeFeedback] = {}
        self.unread: list[FakeChange] = []
        self.released: list[str] = []

    @property
    def rows_used(self) -> int:
        return len(self.rows)

    def set_client(
        self, client_id: str, allowed: Allowance, group: str | None, source: str
    ) -> int:
        check_allowance(allowed)
        if group is not None and group not in self.group_rows:
            raise ValueError(f"group: there is no {group!r}")
        if client_id not in self.rows and len(self.rows) >= self.row_limit:
            raise OverflowError(f"the client table is full ({self.row_limit} rows)")
        self._put(client_id, allowed, group, source)
        self.said.append(("client", client_id))
        return self._changed()

    def set_group(self, name: str, allowed: Allowance, source: str) -> int:
        check_allowance(allowed)
        row = self.group_rows.get(name, FakeGroupRow(name))
        fields = {n: v for n, v in allowed._asdict().items() if n != "mode"}
        self.group_rows[name] = row._replace(**fields, source=source)
        self.said.append(("group", name))
        return self._changed()

    def drop_group(self, name: str) -> int:
        if self.group_rows.pop(name, None) is None:
            raise ValueError(f"group: there is no {name!r}")
        for client_id, row in self.rows.items():
            if row.group == name:
                self.rows[client_id] = row._replace(group=None)
        return self._changed()

    def configure(
        self,
        *,
        default: Allowance,
        total: Allowance,
        groups: Sequence[GroupEntry] = (),
        clients: Sequence[ClientEntry] = (),
        default_group: str | None = None,
        identity: IdentityRules | None = None,
    ) -> int:
        for allowed in (default, total, *(group.allowed for group in groups)):
            check_allowance(allowed)
        if len(self.rows.keys() | {c.client_id for c in clients}) > self.row_limit:
            raise OverflowError(f"more clients than {self.row_limit} rows")
        self.configured.append(
            {
                "default": default,
                "total": total,
                "groups": list(groups),
                "clients": list(clients),
                "default_group": default_group,
            }
        )
        self.server_row = self.server_row._replace(
            rate_bps=total.rate_bps, effective_bps=total.rate_bps
        )
        self._put_groups(groups)
        self.told_apart.append(identity)
        for client_id, row in list(self.rows.items()):
            if row.source != "api":
                self._put(client_id, default, default_group, "default")
        for entry in clients:
            known = self.rows.get(entry.client_id)
            if entry.allowed or entry.group:
                self._put(
                    entry.client_id, entry.allowed or default, entry.group, "file"
                )
            elif known is None:
                self._put(entry.client_id, default, default_group, "default")
        self.said.clear()
        return self._changed()

    def _put_groups(self, groups: Sequence[GroupEntry]) -> None:
        listed = {group.name for group in groups}
        for name, row in list(self.group_rows.items()):
            if name not in listed and row.source != "api":
                self.drop_group(name)
        for name, allowed in groups:
            self.set_group(name, allowed, "file")

    def set_pace(self, pace: bool) -> None:
        self.paces = pace

    def set_explain(self, explain: bool) -> None:
        self.explains = explain

    @property
    def followed(self) -> int:
        return len(self.fed)

    def set_feedback(self, rules: FeedbackRules) -> None:
        self.feedback_rules = rules

    def feedback(self, client_id: str) -> "FeedbackRow | None":
        return cast("FeedbackRow | None", self.fed.get(canonical_client_id(client_id)))

    def feedback_changes(self) -> "list[FeedChange]":
        taken, self.unread = self.unread, []
        return cast("list[FeedChange]", taken)

    def breaker_states(self) -> dict[BreakerState, int]:
        counts: dict[Any, int] = dict.fromkeys(get_args(BreakerState), 0)
        for row in self.rows.values():
            counts[row.breaker] += 1
        return counts

    def release_breaker(self, client_id: str) -> bool:
        self.released.append(client_id)
        row = self.rows[client_id]
        self.rows[client_id] = row._replace(breaker="closed", breaker_bps=0)
        return row.breaker != "closed"

    def share(self) -> "SharePass":
        self.passes += 1
        return cast("SharePass", FakePass(0, 0, 0))

    def _changed(self) -> int:
        self.version += 1
        return self.version

    def _put(
        self, client_id: str, allowed: Allowance, group: str | None, source: str
    ) -> None:
        row = self.rows.get(client_id, FakeRow(client_id))
        self.rows[client_id] = row._replace(
            **allowed._asdict(),
            target_bps=allowed.rate_bps,
            effective_bps=allowed.rate_bps,
            group=group,
            source=source,
        )

    def find(self, client_id: str) -> "ClientRow | None":
        row = self.rows.get(canonical_client_id(client_id))
        return cast("ClientRow | None", row)

    def snapshot(self) -> "list[ClientRow]":
        return cast("list[ClientRow]", list(self.rows.values()))

    def ranking(self, most: int) -> FakeRanking:
        return FakeRanking(list(self.rows.values()), most)

    def groups(self) -> "list[GroupRow]":
        return cast("list[GroupRow]", list(self.group_rows.values()))

    def server(self) -> "ServerRow":
        mean_bps = sum(row.mean_bps for row in self.rows.values())
        return cast("ServerRow", self.server_row._replace(mean_bps=mean_bps))


def check_allowance(allowed: Allowance) -> None:
    numbers = [n for name, n in allowed._asdict().items() if name != "mode"]
    if any(type(n) is not int or not 0 <= n <= MAX_RATE_BPS for n in numbers):
        raise ValueError(f"{allowed} is unusable")


class FakeEngine:
    """``Engine``: its thread waits for letters, and reports through an eventfd.

    Attributes:
        downloads: how many connections a drain waits for, until ``finish``.
        seen: what its thread was: name and affinity.
    """

    def __init__(self, index: int = 0, cpu: int = 0, downloads: int = 0) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.downloads = downloads
        self.deaf = False  # does not end when asked to
        self.mute = False  # reports nothing
        self.start_error: Exception | None = None
        self.stops: list[int] = []
        self.seen: dict[str, Any] = {}
        self.ended = threading.Event()
        self.numbers = engine_numbers(index, cpu)
        self.sending: dict[str, list[FakeTransfer]] = {}
        self._letters: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.unread: list[tuple[str, int]] = []

    def close(self) -> None:
        os.close(self.event_fd)

    def run(self) -> None:
        try:
            self.seen["name"] = Path("/proc/thread-self/comm").read_text().strip()
            self.seen["affinity"] = os.sched_getaffinity(0)
            if self.start_error is not None:
                raise self.start_error
            self.post("ready", 0)
            self._serve()
        finally:
            self.ended.set()

    def _serve(self) -> None:
        while True:
            letter = self._letters.get(timeout=WAIT_S)
            if isinstance(letter, Exception):
                raise letter
            if letter == "return":
                return
            if letter == "finish":
                self.downloads = 0
            if letter == 0:
                break
            self.post("draining", self.downloads)
            if not self.downloads:
                break
        self.post("stopped", self.downloads)

    def post(self, name: str, value: int) -> None:
        if not self.mute:
            self.unread.append((name, value))
            os.eventfd_write(self.event_fd, 1)

    def stop(self, drain_ns: int) -> None:
        self.stops.append(drain_ns)
        if not self.deaf:
            self._letters.put(drain_ns)

    def finish(self) -> None:
        """The last download ends."""
        self._letters.put("finish")

    def leave(self) -> None:
        """Return from ``run`` whatever was asked."""
        self._letters.put("return")

    def crash(self, error: Exception) -> None:
        self._letters.put(error)

    def events(self) -> list[tuple[str, int]]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            return []
        taken, self.unread = self.unread, []
        return taken

    def transfers(self, client_id: str) -> "list[TransferRow]":
        return [cast("TransferRow", row) for row in self.sending.get(client_id, [])]

    def statistics(self) -> "EngineStatistics":
        return cast("EngineStatistics", dict(self.numbers))


def engine_numbers(index: int = 0, cpu: int = 0, **changed: Any) -> dict[str, Any]:
    """``EngineStatistics`` of an engine that has done nothing yet."""
    zero = """connections connections_accepted_total connections_refused_total
        accept_errors_total requests_total requests_reused_total requests_in_progress
        parse_errors_total forwarded_ignored_total transfers transfers_parked
        bytes_sent_total bytes_spliced_total zerocopy_sends_total reads_cold_total
        reads_ahead_total grants_total grants_early_total parks_total sensed_total
        sensing_seconds_total
        first_byte_sum_ns
        timeouts_idle_total timeouts_header_total timeouts_write_total
        timeouts_body_total intakes bytes_received_total bytes_past_cache_total blocks
        pipes
        receive_buffers pending_bytes pending_cut_total sqes_in_flight cache_entries
        cache_bytes cache_hits_total cache_misses_total cache_evictions_total
        sidecars_stale_total loops_total cqes_total cq_overflows_total"""
    return {
        "index": index,
        "cpu": cpu,
        "state": "serving",
        **dict.fromkeys(zero.split(), 0),
        "connections_limit": 16384,
        "pipes_limit": 8,
        "blocks_limit": 4,
        "receive_buffers_limit": 1024,
        "responses_total": {},
        "encoded_total": {"br": 0, "gzip": 0, "zstd": 0},
        "first_byte_counts": [0] * 8,
        **changed,
    }
