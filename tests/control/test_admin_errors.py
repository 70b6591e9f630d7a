"""A bug behind the admin port is answered, logged with its path, and counted."""

import httpx
import pytest
from prometheus_client import generate_latest

from penstock.admin import make_app
from penstock.control import Control
from penstock.telemetry import make_registry
from tests.control.fakes import FakeClients, MakeControl
from tests.control.streams import watching


def counted(control: Control) -> bool:
    text = generate_latest(make_registry(control, [])).decode()
    return "penstock_admin_errors_total 1.0" in text.splitlines()


@pytest.fixture
def control(
    make_control: MakeControl, clients: FakeClients, monkeypatch: pytest.MonkeyPatch
) -> Control:
    """Of a table that fails when all its clients are asked for."""

    def fail() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(clients, "snapshot", fail)
    return make_control()


async def test_a_request_that_meets_a_bug_is_logged_with_its_path_and_counted(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(control, [])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8080"
    ) as client:
        answer = await client.get("/clients?limit=7")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "a bug; the log of the server has it"}
    [record] = [r for r in caplog.records if r.name == "penstock.admin"]
    assert record.levelname == "ERROR"
    assert record.getMessage() == "GET '/clients' failed"
    assert "KeyError: 'a bug'" in caplog.text
    assert counted(control)


async def test_a_stream_that_meets_a_bug_is_logged_and_counted_too(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with watching(control, "/events?clients=true") as stream:
            await stream.gone.wait()
    assert "GET '/events' failed" in caplog.text
    assert counted(control)
