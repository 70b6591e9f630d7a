"""``penstock top``: what it shows of what it is told, and when it ends."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from penstock.adminclient import AdminClient
from penstock.cli import run
from penstock.errors import PenstockError
from penstock.rates import MAX_RATE_BPS, round_rate
from penstock.top import EVENTS_SHOWN, SORTS, Screen, top, top_once

MB = 10**6


def client(name: str, sent_bps: int | None = 0, **fields: Any) -> dict[str, Any]:
    return {
        "client_id": name,
        "rate_bps": None,
        "effective_bps": None,
        "mean_bps": 0,
        "sent_bps": sent_bps,
        "limited_by": "none",
        "transfers": 0,
        "parked": 0,
        "group": None,
        **fields,
    }


def look(*clients: dict[str, Any], sent_bps: int | None = 7 * MB) -> dict[str, Any]:
    server = {"state": "serving", "effective_bps": 10 * MB, "transfers": 3}
    return {
        "time": "2026-11-27T12:00:00.000Z",
        "server": {**server, "parked": 1, "connections": 4},
        "sent_bps": sent_bps,
        "engines": 2,
        "clients": list(clients),
        "total_rows": 60,
        "found_rows": 60,
    }


CHANGE = {"time": "2026-11-27T12:00:01.000Z", "subject": "client:b", "rate_bps": 2 * MB}
CHANGE |= {"group": None, "source": "api"}
BUSY = client(
    "b", 1_980_000, effective_bps=2 * MB, mean_bps=MB, limited_by="client", parked=1
)


def admin(*told: tuple[str, dict[str, Any]], status: int = 200) -> AdminClient:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/events"
        if status != 200:
            return httpx.Response(status, json={"detail": "no seat"})
        text = "".join(f"event: {k}\ndata: {json.dumps(d)}\n\n" for k, d in told)
        head = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=head, text=text)

    return AdminClient("localhost:8080", transport=httpx.MockTransport(answer))


def test_once_it_waits_for_rates_and_prints_them_as_text() -> None:
    first = ("clients", look(client("a", None), sent_bps=None))
    said = top_once(admin(first, ("clients", look(client("a"), BUSY))), Screen())
    lines = said.splitlines()
    assert lines[0] == (
        "serving: 7.00 MB/s of 10.0 MB/s, 3 downloads (1 waiting), 4 connections, "
        "60 clients, 2 engines"
    )
    assert lines[1].split()[:4] == ["CLIENT", "NOW", "MEAN", "LIMIT"]
    assert lines[2].split() == "b 1.98 MB/s 1.00 MB/s 2.00 MB/s 99% 0 1 client".split()
    assert lines[3].split() == "a 0 B/s 0 B/s none 0 0 none".split()
    assert len(lines) == 4
    assert "\x1b" not in said


def test_names_are_printed_as_they_are() -> None:
    name = "[bold]x[/bold] :smile:"
    assert name in top_once(admin(("clients", look(client(name)))), Screen())


def test_it_sorts_by_what_is_asked() -> None:
    clients = [
        client("a", 1, mean_bps=3, effective_bps=5),
        client("b", 2, mean_bps=1, effective_bps=9, parked=4),
        client("c", None, mean_bps=2, parked=5),
    ]
    found = {}
    for sort in SORTS:
        said = top_once(admin(("clients", look(*clients))), Screen(sort))
        found[sort] = "".join(line[0] for line in said.splitlines()[2:])
    assert found == {
        "now": "bac",
        "mean": "acb",
        "limit": "cba",
        "waiting": "cba",
        "client": "abc",
    }


def picture(interval_s: float, *told: tuple[str, dict[str, Any]]) -> str:
    console = Console(width=120, height=30, force_terminal=True, color_system=None)
    with console.capture() as captured, pytest.raises(PenstockError, match="ended"):
        top(admin(*told), Screen(), interval_s, console)
    return captured.get()


def test_live_it_shows_every_look_and_the_last_events() -> None:
    changes = [("limit", {**CHANGE, "source": f"api-{i}"}) for i in range(9)]
    told = [("clients", look(BUSY)), *changes, ("clients", look(client("last")))]
    shown = picture(0.0, *told)
    assert "limit client:b: rate_bps 2.00 MB/s, group none, source api-0" in shown
    last = shown[shown.rindex("serving") :]
    assert "last" in last
    assert [f"api-{i}" in last for i in range(9)] == [
        i >= 9 - EVENTS_SHOWN for i in range(9)
    ]


def test_live_it_draws_no_more_often_than_asked() -> None:
    looks = [("clients", look(client(f"c{i}"))) for i in range(9)]
    shown = picture(3600.0, *looks)
    assert "c0" in shown
    assert "c1" not in shown


def test_a_server_that_refuses_or_ends_is_an_error() -> None:
    with pytest.raises(PenstockError, match="no seat"):
        top_once(admin(status=503), Screen())
    with pytest.raises(PenstockError, match="needs its token"):
        top_once(admin(status=401), Screen())
    with pytest.raises(PenstockError, match="has ended"):
        top_once(admin(("limit", CHANGE)), Screen())


def test_its_options_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--interval", "soon"]) == 2
    assert "--interval: 'soon' is not understood" in capsys.readouterr().err
    assert run(["top", "--sort", "size"]) == 2
    assert run(["top", "--admin", "127.0.0.1:1"]) == 2
    assert "does not answer" in capsys.readouterr().err


@given(st.integers(0, MAX_RATE_BPS))
def test_a_rounded_rate_has_three_digits_and_is_near(rate_bps: int) -> None:
    number, unit = round_rate(rate_bps).split()
    factor = {"B/s": 1, "kB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9, "TB/s": 10**12}
    assert abs(float(number) * factor[unit] - rate_bps) <= 0.0051 * rate_bps
    assert len(number.replace(".", "")) <= 3
