"""``penstock top``: the clients of a running server, busiest first, in a terminal."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, get_args

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.adminclient import AdminClient, Told
from penstock.errors import PenstockError
from penstock.rates import round_rate

Sort = Literal["now", "mean", "limit", "waiting", "client"]
EVENTS_SHOWN = 5
# Beside the table: what the server does, the head, and the events with a blank line.
_LINES_BESIDE = 4 + EVENTS_SHOWN
_PIPED_COLUMNS = 200  # whoever reads a pipe has no width to keep to
_ENDLESS_BPS = 10**15  # no limit is more than every limit

_PATH = "/events?clients=true"
_EARLY_S = 0.2  # looks come once a second, not always quite

Row = dict[str, Any]
_KEYS: dict[Sort, Callable[[Row], Any]] = {
    "now": lambda row: (-_now(row), row["client_id"]),
    "mean": lambda row: (-row["mean_bps"], row["client_id"]),
    "limit": lambda row: (-(row["effective_bps"] or _ENDLESS_BPS), row["client_id"]),
    "waiting": lambda row: (-row["parked"], row["client_id"]),
    "client": lambda row: row["client_id"],
}
SORTS: tuple[Sort, ...] = get_args(Sort)


@dataclass
class Screen:
    """What was told last, as something to print.

    Args:
        rows: most that fit.
    """

    sort: Sort = "now"
    rows: int = 50
    told: dict[str, Any] = field(default_factory=dict)
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))

    def take(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "clients":
            self.told = data
        else:
            self.events.append(_line(kind, data))

    def render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(_server_line(self.told)), self._table()]
        if self.events:
            parts += [Text(), *(Text(line, "dim") for line in self.events)]
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("CLIENT", no_wrap=True, ratio=1)
        for name in ("NOW", "MEAN", "LIMIT", "USED", "SENDING", "WAITING"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("LIMITED BY", no_wrap=True)
        table.add_column("GROUP", no_wrap=True)
        clients = sorted(self.told["clients"], key=_KEYS[self.sort])
        for row in clients[: self.rows]:
            table.add_row(*(Text(cell) for cell in _cells(row)))
        return table


def top_once(admin: AdminClient, screen: Screen) -> str:
    """The picture of now, as text without colours.

    Raises:
        PenstockError: the server can not be reached, or refuses.
    """
    with admin.events(_PATH) as events:
        _first(events, screen)
    console = Console(width=_PIPED_COLUMNS, color_system=None)
    with console.capture() as captured:
        console.print(screen.render())
    lines = captured.get().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def top(
    admin: AdminClient, screen: Screen, interval_s: float, console: Console
) -> None:
    """A picture that moves, until Ctrl-C.

    Args:
        interval_s: least time between two pictures; the server tells once a second.

    Raises:
        PenstockError: the server can not be reached, refuses, or ends.
    """
    with admin.events(_PATH) as events, suppress(KeyboardInterrupt):
        _first(events, screen)
        with Live(console=console, auto_refresh=False, screen=True) as live:
            due_s = 0.0
            for kind, data in chain([("clients", screen.told)], events):
                screen.take(kind, data)
                screen.rows = max(1, console.height - _LINES_BESIDE)
                if time.monotonic() >= due_s:
                    due_s = time.monotonic() + interval_s - _EARLY_S
                    live.update(screen.render(), refresh=True)
        raise PenstockError("the server has ended")


def _first(events: Iterator[Told], screen: Screen) -> None:
    """The first look that knows what was sent since the one before."""
    for kind, data in events:
        screen.take(kind, data)
        if kind == "clients" and data["sent_bps"] is not None:
            return
    raise PenstockError("the server has ended")


def _now(row: Row) -> int:
    """Who has just come has no rate yet."""
    sent_bps: int | None = row["sent_bps"]
    return sent_bps or 0


def _cells(row: Row) -> list[str]:
    limit_bps = row["effective_bps"]
    return [
        row["client_id"],
        round_rate(_now(row)),
        round_rate(row["mean_bps"]),
        round_rate(limit_bps) if limit_bps else "none",
        f"{_now(row) / limit_bps:.0%}" if limit_bps else "",
        str(row["transfers"]),
        str(row["parked"]),
        row["limited_by"],
        row["group"] or "",
    ]


def _server_line(told: dict[str, Any]) -> str:
    server = told["server"]
    limit_bps = server["effective_bps"]
    return (
        f"{server['state']}: {round_rate(told['sent_bps'] or 0)} of "
        f"{round_rate(limit_bps) if limit_bps else 'no limit'}, "
        f"{server['transfers']} downloads ({server['parked']} waiting), "
        f"{server['connections']} connections, {told['total_rows']} clients, "
        f"{told['engines']} engines"
    )


def _line(kind: str, data: dict[str, Any]) -> str:
    """Of an event that is no look at the clients."""
    said = {k: v for k, v in data.items() if k not in ("time", "subject")}
    words = ", ".join(f"{k} {_word(k, v)}" for k, v in said.items())
    return f"{data['time']} {kind} {data['subject']}: {words}"


def _word(name: str, value: str | float | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, str) or not name.endswith("_bps"):
        return str(value)
    return round_rate(value)
