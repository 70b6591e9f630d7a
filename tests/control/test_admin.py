"""The admin API: what it answers and refuses; a refusal changes nothing."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.admin_guard import BODY_BYTES_MAX
from penstock.admin_views import client_view
from penstock.control import Control, State
from tests.control.api import api
from tests.control.fakerows import FakeRow
from tests.control.fakes import FakeClients, FakeEngine, MakeControl

TOKEN = "correct horse"
WITH_TOKEN = f'[admin]\ntoken_sha256 = "{sha256(TOKEN.encode()).hexdigest()}"'
GUARDED = ["/metrics", "/config", "/clients", "/status", "/readyz", "/openapi.json"]


async def post(control: Control, body: str | bytes, **headers: str) -> httpx.Response:
    async with api(control) as client:
        return await client.post(
            "/config",
            content=body,
            headers={"content-type": "application/json", **headers},
        )


async def test_the_documented_request_sets_a_limit(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control()
    before = control.version
    answer = await post(control, '{"client_id":"user_123","target_bps":5242880}')
    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "user_123",
        "target_bps": 5242880,
        "config_version": before + 1,
    }
    assert clients.rows["user_123"].target_bps == 5242880
    assert clients.rows["user_123"].source == "api"


@pytest.mark.parametrize("number", ["1", "15.0", "1e6", "1000000000000", "1e12"])
async def test_a_whole_number_is_accepted_however_json_spells_it(
    make_control: MakeControl, clients: FakeClients, number: str
) -> None:
    control = make_control()
    answer = await post(control, f'{{"client_id":"a","target_bps":{number}}}')
    assert answer.status_code == 200
    assert clients.rows["a"].target_bps == int(float(number))
    assert type(clients.rows["a"].target_bps) is int


@pytest.mark.parametrize(
    "body",
    [
        '{"client_id":"a","target_bps":0}',
        '{"client_id":"a","target_bps":-1}',
        '{"client_id":"a","target_bps":-0.0}',
        '{"client_id":"a","target_bps":1.5}',
        '{"client_id":"a","target_bps":NaN}',
        '{"client_id":"a","target_bps":Infinity}',
        '{"client_id":"a","target_bps":1e400}',
        '{"client_id":"a","target_bps":1000000000001}',
        '{"client_id":"a","target_bps":18446744073709551617}',
        '{"client_id":"a","target_bps":true}',
        '{"client_id":"a","target_bps":"5"}',
        '{"client_id":"a","target_bps":null}',
        '{"client_id":"a","target_bps":[5]}',
        '{"client_id":"a"}',
        '{"target_bps":5}',
        '{"client_id":"a","target_bps":5,"burst":1}',
        '{"client_id":"","target_bps":5}',
        '{"client_id":"other","target_bps":5}',
        '{"client_id":"a\\u0000b","target_bps":5}',
        '{"client_id":"\\ud800","target_bps":5}',
        '{"client_id":7,"target_bps":5}',
        json.dumps({"client_id": "x" * 65, "target_bps": 5}),
        json.dumps({"client_id": "ü" * 33, "target_bps": 5}),
        "[]",
        "null",
        '"text"',
        "5",
        "",
    ],
)
async def test_a_wrong_limit_is_refused_with_a_reason_and_changes_nothing(
    make_control: MakeControl, clients: FakeClients, body: str
) -> None:
    control = make_control()
    before = control.version
    answer = await post(control, body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert all(problem["msg"] for problem in answer.json()["detail"])
    assert (clients.rows, control.version) == ({}, before)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_the_reason_names_what_is_no_number(
    make_control: MakeControl, number: str
) -> None:
    answer = await post(make_control(), f'{{"client_id":"a","target_bps":{number}}}')
    assert answer.json()["detail"] == [
        {
            "loc": ["body", "target_bps"],
            "msg": "NaN and infinity are not a number of bytes per second",
            "type": "value_error",
        }
    ]


@pytest.mark.parametrize(
    "body", ["{", "{'a':1}", "nope", b"\xff\xfe", "[" * 9999, "9" * 9999]
)
async def test_a_body_that_is_not_json_is_400(
    make_control: MakeControl, clients: FakeClients, body: str | bytes
) -> None:
    control = make_control()
    answer = await post(control, body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert clients.rows == {}


async def test_a_form_of_a_foreign_page_can_not_set_a_limit(
    make_control: MakeControl, clients: FakeClients
) -> None:
    body = '{"client_id":"a","target_bps":5}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await post(make_control(), body, **{"content-type": content_type})
        assert answer.status_code == 415
        assert "send Content-Type: application/json" in answer.json()["detail"]
    assert clients.rows == {}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8080", 200),
        ("http://127.0.0.1:9999", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_page_from_elsewhere_can_not_set_a_limit(
    make_control: MakeControl, clients: FakeClients, origin: str, status: int
) -> None:
    fields = {"host": "127.0.0.1:8080", "origin": origin}
    answer = await post(make_control(), '{"client_id":"a","target_bps":5}', **fields)
    assert answer.status_code == status
    assert bool(clients.rows) is (status == 200)


async def test_a_full_table_is_503_and_changes_nothing(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.row_limit = 0
    answer = await post(make_control(), '{"client_id":"a","target_bps":5}')
    assert answer.status_code == 503
    assert "full (0 rows)" in answer.json()["detail"]


# httpx leaves the rest of a body that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
async def test_a_body_is_bounded_whether_or_not_its_size_is_announced(
    make_control: MakeControl,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1024 + 1):
            yield b" " * 1024

    async with api(make_control()) as client:
        client.headers["content-type"] = "application/json"
        fits = await client.post("/config", content=b"5" + b" " * (BODY_BYTES_MAX - 1))
        announced = await client.post("/config", content=b" " * (BODY_BYTES_MAX + 1))
        chunked = await client.post("/config", content=chunks())
    assert fits.status_code == 422
    assert announced.status_code == chunked.status_code == 413


async def test_effective_settings_are_shown_without_secrets(
    make_control: MakeControl,
) -> None:
    digest = sha256(b"user token").hexdigest()
    control = make_control(
        f"[shaping]\nclient_rate = '5MB/s'\n{WITH_TOKEN}\n"
        f"[clients.a]\ntoken_sha256 = ['{digest}']"
    )
    async with api(control) as client:
        answer = await client.get(
            "/config", headers={"authorization": f"Bearer {TOKEN}"}
        )
    assert answer.json()["config_version"] == control.version
    assert answer.json()["settings"]["shaping"]["client_rate"] == "5MB/s"
    assert answer.json()["settings"]["clients"]["a"]["tokens"] == 1
    assert digest not in answer.text
    assert sha256(TOKEN.encode()).hexdigest() not in answer.text


async def test_clients_are_listed_in_pages(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.rows = {f"c{i}": FakeRow(f"c{i}", target_bps=i) for i in range(250)}
    async with api(make_control()) as client:
        first = (await client.get("/clients")).json()
        last = (await client.get("/clients?limit=1000&offset=249")).json()
        beyond = (await client.get("/clients?offset=250")).json()
    assert [c["client_id"] for c in first["clients"]] == [f"c{i}" for i in range(100)]
    assert [c["client_id"] for c in last["clients"]] == ["c249"]
    assert beyond["clients"] == []
    assert (first["total_rows"], first["row_limit"]) == (250, 1000)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=99999999999"]
)
async def test_a_page_out_of_bounds_is_refused(
    make_control: MakeControl, query: str
) -> None:
    async with api(make_control()) as client:
        assert (await client.get(f"/clients?{query}")).status_code == 422


def test_an_unlimited_idle_client_is_shown_with_nulls(
    make_control: MakeControl,
) -> None:
    control = make_control()
    never = client_view(FakeRow("a"), control, now_ns=5)  # type: ignore[arg-type]
    assert (never.target_bps, never.last_active_seconds_ago) == (None, None)
    seen = FakeRow("a", target_bps=9, last_active_ns=2_000_000_000)
    shown = client_view(seen, control, now_ns=3_500_000_000)  # type: ignore[arg-type]
    assert (shown.target_bps, shown.last_active_seconds_ago) == (9, 1.5)


async def test_status_shows_process_and_engines(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    engine.numbers["responses_total"] = {200: 3}
    control = make_control()
    control.state = State.SERVING
    async with api(control, engine) as client:
        status = (await client.get("/status")).json()
    assert status["state"] == "serving"
    assert status["config_version"] == control.version
    assert status["process"]["open_fds"] > 2
    assert status["process"]["rss_bytes"] > 1 << 20
    assert status["engines"] == [{**engine.numbers, "responses_total": {"200": 3}}]


async def test_metrics_are_an_exposition(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    async with api(make_control(), engine) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"download_latency_seconds", "download_conn_reuse_ratio"} <= names


@pytest.mark.parametrize(
    ("state", "code"),
    [(State.STARTING, 503), (State.SERVING, 200), (State.DRAINING, 503)],
)
async def test_ready_only_while_serving_but_healthy_always(
    make_control: MakeControl, state: State, code: int
) -> None:
    control = make_control()
    control.state = state
    async with api(control) as client:
        assert (await client.get("/readyz")).status_code == code
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer é",
    ],
)
async def test_a_configured_token_is_asked_for_everywhere_but_in_healthz(
    make_control: MakeControl, clients: FakeClients, authorization: str
) -> None:
    headers = {b"authorization": authorization.encode()} if authorization else {}
    async with api(make_control(WITH_TOKEN)) as client:
        for path in GUARDED:
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        change = {"client_id": "a", "target_bps": 5}
        answer = await client.post("/config", json=change, headers=headers)
        assert answer.status_code == 401
        assert (await client.get("/healthz")).status_code == 200
    assert clients.rows == {}


async def test_the_configured_token_opens_everything(make_control: MakeControl) -> None:
    control = make_control(WITH_TOKEN)
    control.state = State.SERVING
    async with api(control) as client:
        client.headers["authorization"] = f"bearer {TOKEN}"
        for path in GUARDED:
            assert (await client.get(path)).status_code == 200, path


async def test_a_token_can_be_replaced_by_a_reload(make_control: MakeControl) -> None:
    control = make_control(WITH_TOKEN)
    assert control.source.file is not None
    digest = sha256(b"new").hexdigest()
    control.source.file.write_text(f'[admin]\ntoken_sha256 = "{digest}"')
    control.reload()
    async with api(control) as client:
        for token, code in ((TOKEN, 401), ("new", 200)):
            headers = {"authorization": f"Bearer {token}"}
            assert (await client.get("/status", headers=headers)).status_code == code


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("127.8.9.1:1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("192.0.2.1:8080", 403),
        ("[2001:db8::1]:8080", 403),
    ],
)
async def test_a_foreign_host_name_is_refused_on_loopback(
    make_control: MakeControl, host: str, code: int
) -> None:
    async with api(make_control()) as client:
        answer = await client.get("/status", headers={"host": host})
    assert answer.status_code == code


async def test_a_public_admin_port_has_any_name_but_asks_for_the_token(
    make_control: MakeControl,
) -> None:
    control = make_control(f"{WITH_TOKEN}\nlisten = '0.0.0.0:8080'")
    async with api(control) as client:
        client.headers["host"] = "admin.example"
        assert (await client.get("/status")).status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        assert (await client.get("/status")).status_code == 200


async def test_no_page_loads_foreign_scripts(make_control: MakeControl) -> None:
    async with api(make_control()) as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/redoc")).status_code == 404
