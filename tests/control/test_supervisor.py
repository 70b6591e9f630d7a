"""The life of the server: ready, reload, drain, cut, crash."""

import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from penstock.addresses import parse_address
from penstock.admin import make_app
from penstock.control import Control, State
from penstock.engines import run_pinned
from penstock.errors import CrashError, PenstockError
from penstock.listeners import open_single
from penstock.supervisor import Supervisor
from tests.control.fakes import WAIT_S, FakeClients, FakeEngine, MakeControl

CPU = min(os.sched_getaffinity(0))


class Running:
    """A supervisor in a nursery; ``base_url`` is its admin API."""

    def __init__(
        self,
        control: Control,
        engines: Sequence[FakeEngine],
        on_hang: Callable[[], None],
    ) -> None:
        listener = open_single(parse_address("127.0.0.1:0"))
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.control = control
        self.announced = trio.Event()
        self.announcements = 0
        self.ended = trio.Event()
        self.error: BaseException | None = None
        self._supervisor = Supervisor(
            control,
            engines,
            [CPU] * len(engines),
            admin_app=make_app(control, engines),
            admin_listener=listener,
            announce=self._announce,
            on_hang=on_hang,
        )

    def _announce(self) -> None:
        self.announcements += 1
        self.announced.set()

    async def run(self) -> None:
        try:
            await self._supervisor.run()
        except BaseExceptionGroup as group:
            self.error = group
            while isinstance(self.error, BaseExceptionGroup):
                self.error = self.error.exceptions[0]
        finally:
            self.ended.set()

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.base_url) as client:
            return await client.get(path)


def not_expected() -> None:
    raise AssertionError("an engine hung")


@asynccontextmanager
async def running(
    control: Control,
    *engines: FakeEngine,
    on_hang: Callable[[], None] = not_expected,
) -> AsyncIterator[Running]:
    """Must have ended when the block ends."""
    server = Running(control, engines, on_hang)
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            await server.ended.wait()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


@pytest.fixture
def second() -> FakeEngine:
    return FakeEngine(index=1)


async def test_ready_is_announced_once_when_every_engine_serves(
    make_control: MakeControl, engine: FakeEngine, second: FakeEngine
) -> None:
    async with running(make_control(), engine, second) as server:
        await server.announced.wait()
        assert (await server.get("/readyz")).status_code == 200
        assert (await server.get("/status")).json()["state"] == "serving"
        send(signal.SIGTERM)
    assert server.announcements == 1
    assert server.error is None


async def test_nothing_is_announced_while_an_engine_is_not_ready(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    late = FakeEngine(index=1)
    late.mute = True
    async with running(make_control(), engine, late) as server:
        await until(lambda: bool(late.seen and engine.seen))
        assert (await server.get("/readyz")).status_code == 503
        assert (await server.get("/status")).json()["state"] == "starting"
        assert not server.announced.is_set()
        send(signal.SIGTERM)
    assert server.announcements == 0
    assert server.error is None


async def test_an_engine_that_gets_ready_while_draining_is_not_announced(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    engine.downloads = 1
    engine.mute = True
    control = make_control()
    async with running(control, engine) as server:
        await until(lambda: bool(engine.seen))
        send(signal.SIGTERM)
        await until(lambda: control.state is State.DRAINING)
        engine.mute = False
        engine.post("ready", 0)
        await until(lambda: not engine.unread)
        assert (await server.get("/status")).json()["state"] == "draining"
        send(signal.SIGTERM)
    assert server.announcements == 0
    assert server.error is None


async def test_an_engine_runs_in_a_named_thread_on_its_cpu(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    async with running(make_control(), engine) as server:
        await server.announced.wait()
        send(signal.SIGTERM)
    assert engine.seen == {"name": "penstock-eng0", "affinity": {CPU}}


async def test_a_thread_is_given_back_unpinned_even_after_a_failure() -> None:
    """Trio caches threads: the next user would inherit the mask."""

    def fail() -> None:
        assert os.sched_getaffinity(0) == {CPU}
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        raise OSError("no ring")

    def whole() -> tuple[set[int], set[signal.Signals | int]]:
        before = os.sched_getaffinity(0), signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with pytest.raises(OSError, match="no ring"):
            run_pinned(fail, CPU)
        assert before == (
            os.sched_getaffinity(0),
            signal.pthread_sigmask(signal.SIG_BLOCK, []),
        )
        return before

    affinity, blocked = await trio.to_thread.run_sync(whole)
    assert affinity == os.sched_getaffinity(0)
    assert signal.SIGTERM not in blocked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_the_admin_api_shows_it(
    make_control: MakeControl, number: signal.Signals
) -> None:
    engine = FakeEngine(downloads=1)
    control = make_control("[server]\ndrain_timeout = '7s'")
    async with running(control, engine) as server:
        await server.announced.wait()
        send(number)
        await until(lambda: control.state is State.DRAINING)
        assert (await server.get("/readyz")).status_code == 503
        assert (await server.get("/status")).json()["state"] == "draining"
        assert not server.ended.is_set()
        engine.finish()
        engine.stop(7)
    assert engine.stops[0] == 7 * 10**9
    assert server.error is None


async def test_a_second_signal_cuts_what_still_runs(make_control: MakeControl) -> None:
    engine = FakeEngine(downloads=1)
    control = make_control()
    async with running(control, engine) as server:
        await server.announced.wait()
        send(signal.SIGTERM)
        await until(lambda: control.state is State.DRAINING)
        send(signal.SIGINT)
    assert engine.stops[1] == 0
    assert server.error is None


async def test_a_crash_of_one_engine_ends_all(
    make_control: MakeControl, engine: FakeEngine, second: FakeEngine
) -> None:
    async with running(make_control(), engine, second) as server:
        await server.announced.wait()
        second.crash(ValueError("boom"))
    assert isinstance(server.error, CrashError)
    assert server.error.exit_code == 1
    assert str(server.error) == "engine 1 failed: ValueError('boom')"
    assert engine.ended.is_set()
    assert engine.stops == [0]


async def test_an_engine_that_ends_unasked_is_a_crash(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    async with running(make_control(), engine) as server:
        await server.announced.wait()
        engine.leave()
    assert isinstance(server.error, CrashError)
    assert str(server.error) == "engine 0 ended without being asked to"


@pytest.mark.parametrize(("serving", "code"), [(False, 2), (True, 1)])
async def test_a_ring_that_can_not_be_made_is_a_refusal_and_one_that_breaks_a_crash(
    make_control: MakeControl, engine: FakeEngine, serving: bool, code: int
) -> None:
    error = OSError(1, "io_uring is not permitted: set the sysctl")
    if not serving:
        engine.start_error = error
    async with running(make_control(), engine) as server:
        if serving:
            await server.announced.wait()
            engine.crash(error)
    assert isinstance(server.error, PenstockError)
    assert server.error.exit_code == code
    assert str(server.error) == "engine 0: io_uring is not permitted: set the sysctl"


async def test_a_hung_engine_does_not_keep_the_process_for_ever(
    make_control: MakeControl,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock.supervisor.HANG_GRACE_S", 0.01)
    engine.deaf = True
    hung = threading.Event()

    def on_hang() -> None:
        hung.set()
        engine.leave()

    control = make_control("[server]\ndrain_timeout = 0")
    async with running(control, engine, on_hang=on_hang) as server:
        await server.announced.wait()
        send(signal.SIGTERM)
    assert hung.is_set()


async def test_a_hung_engine_does_not_survive_the_crash_of_another(
    make_control: MakeControl,
    engine: FakeEngine,
    second: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock.supervisor.HANG_GRACE_S", 0.01)
    engine.deaf = True
    async with running(make_control(), engine, second, on_hang=engine.leave) as server:
        await server.announced.wait()
        second.crash(ValueError("boom"))
    assert str(server.error) == "engine 1 failed: ValueError('boom')"


async def test_sighup_reloads_the_configuration(
    make_control: MakeControl, engine: FakeEngine, clients: FakeClients
) -> None:
    control = make_control("[clients.a]\nrate = 3")
    async with running(control, engine) as server:
        await server.announced.wait()
        assert control.source.file is not None
        control.source.file.write_text("[clients.a]\nrate = 4")
        send(signal.SIGHUP)
        await until(lambda: control.reloads_ok == 1)
        assert clients.rows["a"].target_bps == 4
        assert control.state is State.SERVING
        send(signal.SIGTERM)


async def test_a_refused_reload_is_logged_and_the_server_goes_on(
    make_control: MakeControl, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    control = make_control("")
    async with running(control, engine) as server:
        await server.announced.wait()
        assert control.source.file is not None
        control.source.file.write_text("[limits]\npipes = 1\n")
        send(signal.SIGHUP)
        await until(lambda: control.reloads_refused == 1)
        assert (await server.get("/readyz")).status_code == 200
        send(signal.SIGTERM)
    logged = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert logged == [
        "configuration not reloaded: limits.pipes: can not change while the server "
        "runs: restart it"
    ]


async def test_paused_accepting_and_cut_downloads_are_logged(
    make_control: MakeControl, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make_control(), engine) as server:
        await server.announced.wait()
        engine.downloads = 3
        engine.post("accept_paused", 24)
        await until(lambda: "Too many open files" in caplog.text)
        send(signal.SIGTERM)
        await until(lambda: len(engine.stops) == 1)
        send(signal.SIGTERM)
    assert "engine 0: 3 connections cut" in caplog.text


async def test_a_limit_posted_to_the_port_reaches_the_table(
    make_control: MakeControl, engine: FakeEngine, clients: FakeClients
) -> None:
    async with running(make_control(), engine) as server:
        await server.announced.wait()
        async with httpx.AsyncClient(base_url=server.base_url) as client:
            change = {"client_id": "user_123", "target_bps": 5242880}
            answer = await client.post("/config", json=change)
            assert answer.status_code == 200
            assert "server" not in answer.headers
        send(signal.SIGTERM)
    assert clients.rows["user_123"].target_bps == 5242880
