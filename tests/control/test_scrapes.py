"""Metrics are collected as often as the rules say, whoever asks how often for them."""

from dataclasses import dataclass

import pytest
import trio
from hypothesis import given, strategies as st

from penstock.durations import SECOND_NS
from penstock.errors import PenstockError
from penstock.scrapes import ScrapeRefusedError, Scrapes, Tokens
from tests.control.api import api
from tests.control.fakerows import FakeRow
from tests.control.fakes import FakeClients, MakeControl

START_NS = 10**12
LIMITED = "app_metric_collection_rate_limited_total"


@dataclass(frozen=True)
class Rules:
    scrape_burst: int = 2
    scrape_qps: float = 0.5
    scrape_window_ns: int = 3 * SECOND_NS


class World:
    """Scrapes whose expositions are numbered, on a clock by hand."""

    def __init__(self, rules: Rules = Rules()) -> None:
        self.rules = rules
        self.now_ns = START_NS
        self.collected = 0
        self.takes_ns = 0
        self.fails = False
        self.scrapes = Scrapes(self._collect, lambda: self.rules, lambda: self.now_ns)

    async def _collect(self, open_metrics: bool) -> bytes:
        await trio.lowlevel.checkpoint()
        self.now_ns += self.takes_ns
        if self.fails:
            raise RuntimeError("no numbers today")
        self.collected += 1
        return f"{self.collected}{'o' if open_metrics else ''}".encode()

    async def scrape(self, *, open_metrics: bool = False) -> bytes:
        return await self.scrapes.scrape(open_metrics=open_metrics)

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


async def test_beyond_the_burst_the_last_exposition_is_handed_out_and_counted() -> None:
    world = World()
    assert [await world.scrape() for _ in range(4)] == [b"1", b"2", b"2", b"2"]
    assert world.scrapes.limited_total == 2
    world.wait(2)
    assert await world.scrape() == b"3"
    assert await world.scrape() == b"3"


async def test_who_asks_less_often_than_that_always_gets_a_new_one() -> None:
    world = World()
    for number in range(1, 50):
        assert await world.scrape() == str(number).encode()
        world.wait(2)
    assert world.scrapes.limited_total == 0


async def test_an_exposition_that_is_too_old_is_refused_with_the_time_to_wait() -> None:
    world = World(Rules(scrape_qps=0.1))
    await world.scrape()
    await world.scrape()
    world.wait(3)
    assert await world.scrape() == b"2"
    world.wait(0.5)
    with pytest.raises(ScrapeRefusedError) as refused:
        await world.scrape()
    assert refused.value.wait_ns == 6.5 * SECOND_NS
    assert world.scrapes.limited_total == 2
    world.wait(6.5)
    assert await world.scrape() == b"3"


async def test_one_format_is_not_handed_out_for_the_other() -> None:
    world = World(Rules(scrape_burst=1))
    assert await world.scrape(open_metrics=True) == b"1o"
    assert await world.scrape(open_metrics=True) == b"1o"
    with pytest.raises(ScrapeRefusedError):
        await world.scrape()


async def test_rules_that_are_replaced_hold_for_the_next_scrape() -> None:
    world = World(Rules(scrape_burst=1, scrape_qps=0.01))
    await world.scrape()
    assert await world.scrape() == b"1"
    world.rules = Rules(scrape_burst=1, scrape_qps=10)
    assert await world.scrape() == b"1"
    world.wait(0.1)
    assert await world.scrape() == b"2"
    world.rules = Rules(scrape_burst=3, scrape_qps=10)
    assert [await world.scrape() for _ in range(3)] == [b"3", b"4", b"4"]


async def test_scrapes_at_once_are_collected_one_after_the_other() -> None:
    world = World(Rules(scrape_burst=3))
    found: list[bytes] = []

    async def one() -> None:
        found.append(await world.scrape())

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert sorted(found) == [b"1", b"2"] + [b"3"] * 18
    assert world.scrapes.limited_total == 17


async def test_a_collection_that_fails_leaves_the_one_before_it() -> None:
    world = World()
    await world.scrape()
    world.fails = True
    with pytest.raises(RuntimeError):
        await world.scrape()
    assert await world.scrape() == b"1"


async def test_how_long_a_collection_took_is_kept() -> None:
    world = World()
    world.takes_ns = SECOND_NS // 4
    await world.scrape()
    assert world.scrapes.last_seconds == 0.25


@given(
    st.integers(1, 10),
    st.floats(0.01, 1000),
    st.lists(st.integers(0, 5 * SECOND_NS), max_size=100),
)
def test_in_no_time_more_is_collected_than_burst_and_rate_allow(
    burst: int, qps: float, pauses_ns: list[int]
) -> None:
    rules, tokens, now_ns = Rules(burst, qps), Tokens(), START_NS
    taken: list[int] = []
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        wait_ns = tokens.take(rules, now_ns)
        if wait_ns == 0:
            taken.append(now_ns)
        elif wait_ns > 1:
            assert tokens.take(rules, now_ns + wait_ns - 1) == 1
            now_ns += wait_ns
            assert tokens.take(rules, now_ns) == 0
            taken.append(now_ns)
    for first, begin in enumerate(taken):
        for more, end in enumerate(taken[first:], start=1):
            assert more <= burst + (end - begin) / SECOND_NS * qps + 1e-3


@given(st.lists(st.tuples(st.integers(1, 10), st.floats(0.01, 1000)), max_size=20))
def test_whatever_rules_held_before_a_token_comes_in_time(
    before: list[tuple[int, float]],
) -> None:
    tokens = Tokens()
    for burst, qps in before:
        while tokens.take(Rules(burst, qps), START_NS) == 0:
            pass
    rules = Rules(3, 2.0)
    wait_ns = tokens.take(rules, START_NS)
    assert wait_ns <= SECOND_NS // 2
    assert wait_ns == 0 or tokens.take(rules, START_NS + wait_ns) == 0


async def test_over_http_the_guard_answers_from_memory_then_refuses(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(
        "[telemetry]\nscrape_burst = 2\nscrape_qps = 0.01\nscrape_window = '1h'"
    )
    async with api(control) as client:
        first = await client.get("/metrics")
        assert f"{LIMITED} 0.0" in first.text
        assert "penstock_scrape_seconds 0.0" in first.text
        second = await client.get("/metrics")
        clients.rows["new"] = FakeRow("new")
        third = await client.get("/metrics")
        assert third.content == second.content
        assert third.headers["content-type"] == second.headers["content-type"]
        accept = {"accept": "application/openmetrics-text"}
        refused = await client.get("/metrics", headers=accept)
    assert refused.status_code == 429
    assert 99 <= int(refused.headers["retry-after"]) <= 100
    assert "scrape_qps" in refused.json()["detail"]


async def test_a_reload_changes_how_often_metrics_are_collected(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\nscrape_burst = 1\nscrape_qps = 0.01")
    async with api(control) as client:
        before = await client.get("/metrics")
        assert (await client.get("/metrics")).content == before.content
        make_control("[telemetry]\nscrape_burst = 3\nscrape_qps = 0.01")
        control.reload()
        after = await client.get("/metrics")
    assert f"{LIMITED} 1.0" in after.text
    [took] = [
        line for line in after.text.splitlines() if line.startswith("penstock_scrape_s")
    ]
    assert float(took.split()[1]) > 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("scrape_burst = 0", "telemetry.scrape_burst: 0 is not from 1 to 1000"),
        ("scrape_qps = 0", "telemetry.scrape_qps: 0.0 is not from 0.01 to 1000.0"),
        ("scrape_qps = nan", "telemetry.scrape_qps: nan is not from 0.01 to 1000.0"),
        ("scrape_qps = 'x'", "telemetry.scrape_qps: 'x' is not a number"),
        ("scrape_qps = true", "telemetry.scrape_qps: true is not a number"),
        ("scrape_window = '2h'", "telemetry.scrape_window: 2h is not from 0s to 1h"),
    ],
)
def test_rules_that_make_no_sense_are_refused(
    make_control: MakeControl, line: str, problem: str
) -> None:
    with pytest.raises(PenstockError, match=f"{problem}$"):
        make_control(f"[telemetry]\n{line}")
