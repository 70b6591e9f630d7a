"""The admin API of the shaping tree: plans of clients and groups."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.control.api import api
from tests.control.fakerows import FakeGroupRow, FakeRow, FakeServerRow, FakeTransfer
from tests.control.fakes import FakeClients, FakeEngine, MakeControl

MB = 10**6
TREE = """
[shaping]
total_rate = "100MB/s"
client_rate = "10MB/s"
client_weight = 50
[groups.build]
min = "60MB/s"
[clients.a]
rate = "20MB/s"
min = "5MB/s"
group = "build"
"""


async def test_a_limit_can_say_what_else_changes(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    change = {"client_id": "a", "target_bps": 30 * MB, "weight": 7.0}
    async with api(control) as client:
        answer = await client.post("/config", json=change)
        assert answer.json() == {
            "client_id": "a",
            "target_bps": 30 * MB,
            "config_version": control.version,
        }
        row = clients.rows["a"]
        assert (row.rate_bps, row.weight, row.min_bps) == (30 * MB, 7, 5 * MB)
        assert row.group == "build"
        change |= {"ceil_bps": 40 * MB, "min_bps": 0, "group": None}
        await client.post("/config", json=change)
        row = clients.rows["a"]
        assert (row.ceil_bps, row.min_bps, row.group) == (40 * MB, 0, None)
        await client.post("/config", json=change | {"ceil_bps": None})
        assert clients.rows["a"].ceil_bps == 0


async def test_a_mode_is_set_and_taken_back_without_a_word_about_the_rate(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(
        '[shaping]\nclient_rate = "10MB/s"\nclient_mode = "adaptive"'
    )
    async with api(control) as client:
        change = {"client_id": "x", "mode": "off"}
        answer = await client.post("/config", json=change)
        assert answer.json()["target_bps"] == 10 * MB
        assert clients.rows["x"].mode == "off"
        assert control.tree.spec("x").rate_bps is None
        await client.post("/config", json=change | {"mode": None})
        assert clients.rows["x"].mode == "adaptive"
        await client.post("/config", json=change | {"target_bps": 5 * MB})
        answer = await client.post("/config", json=change | {"mode": "full"})
        assert answer.json()["target_bps"] == 5 * MB
    unlimited = make_control()
    async with api(unlimited) as client:
        answer = await client.post("/config", json=change)
        assert answer.json()["target_bps"] is None


@pytest.mark.parametrize(
    ("plan", "holds"),
    [
        ({}, {"rate_bps": 10 * MB, "weight": 50}),
        ({"rate_bps": None}, {"rate_bps": None, "weight": 50}),
        ({"weight": 3}, {"rate_bps": 10 * MB, "weight": 3}),
        (
            {
                "rate_bps": 30 * MB,
                "ceil_bps": 4e7,
                "min_bps": MB,
                "weight": 10000,
                "burst_bytes": 1,
                "peak_bps": 30 * MB,
                "group": "build",
            },
            {
                "rate_bps": 30 * MB,
                "ceil_bps": 40 * MB,
                "min_bps": MB,
                "weight": 10000,
                "burst_bytes": 1,
                "peak_bps": 30 * MB,
                "group": "build",
            },
        ),
    ],
)
async def test_a_plan_replaces_all_that_was_said_of_the_client(
    make_control: MakeControl,
    clients: FakeClients,
    plan: dict[str, Any],
    holds: dict[str, Any],
) -> None:
    control = make_control(TREE)
    nothing = {"ceil_bps": None, "min_bps": 0, "burst_bytes": None, "peak_bps": None}
    nothing |= {"mode": "off", "upload_rate_bps": None}
    async with api(control) as client:
        answer = await client.put("/clients/a", json=plan)
        assert answer.status_code == 200
        assert answer.json() == {
            "client_id": "a",
            **nothing,
            "group": None,
            **holds,
            "source": "api",
            "config_version": control.version,
        }
        assert clients.rows["a"].rate_bps == (holds["rate_bps"] or 0)
        assert clients.rows["a"].group == holds.get("group")
        shown = (await client.get("/clients/a")).json()
        assert {key: shown[key] for key in holds} == holds


async def test_what_the_api_said_of_a_client_can_be_taken_back(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    async with api(control) as client:
        await client.put("/clients/a", json={"rate_bps": 7})
        back = await client.delete("/clients/a")
        assert back.status_code == 200
        assert back.json() == {
            "client_id": "a",
            "rate_bps": 20 * MB,
            "ceil_bps": None,
            "min_bps": 5 * MB,
            "weight": 50,
            "burst_bytes": None,
            "peak_bps": None,
            "mode": "off",
            "group": "build",
            "upload_rate_bps": None,
            "source": "file",
            "config_version": control.version,
        }
        again = await client.delete("/clients/a")
    assert clients.rows["a"].source == "file"
    assert again.status_code == 404
    assert "this API has said nothing of 'a'" in again.json()["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "2001:db8::/64",
        "team/ci runner",
        "a b",
        "ü/%2F",
        "100%",
        "a?b#c",
        "a//b",
        "x/",
        "clients/x",
    ],
)
async def test_a_name_may_hold_what_paths_may_not(
    make_control: MakeControl, clients: FakeClients, name: str
) -> None:
    control = make_control()
    async with api(control) as client:
        for kind, rows in (("clients", clients.rows), ("groups", clients.group_rows)):
            path = f"/{kind}/{quote(name, safe='')}"
            assert (await client.get(path)).status_code == 404
            assert (await client.put(path, json={"rate_bps": 7})).status_code == 200
            assert list(rows) == [name]
            shown = (await client.get(path)).json()
            assert shown["client_id" if kind == "clients" else "name"] == name
            assert shown["rate_bps"] == 7
            assert (await client.delete(path)).status_code == 200


async def test_slashes_need_no_encoding(
    make_control: MakeControl, clients: FakeClients
) -> None:
    async with api(make_control()) as client:
        await client.put("/clients/2001:db8::1/64", json={"rate_bps": 7})
        answer = await client.get("/clients/2001:db8::9")
    assert answer.status_code == 200
    assert list(clients.rows) == ["2001:db8::/64"]


async def test_a_client_is_shown_with_all_that_holds_for_it(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    clients.rows["a"] = clients.rows["a"]._replace(
        effective_bps=15 * MB, limited_by="group", cap_bps=16 * MB, bytes_total=9
    )
    clients.rows["10.0.0.1"] = FakeRow("10.0.0.1")
    async with api(control) as client:
        shown = (await client.get("/clients/a")).json()
        free = (await client.get("/clients/10.0.0.1")).json()
        listed = (await client.get("/clients")).json()["clients"]
        unknown = await client.get("/clients/nobody")
    assert {key: shown[key] for key in ("rate_bps", "effective_bps", "cap_bps")} == {
        "rate_bps": 20 * MB,
        "effective_bps": 15 * MB,
        "cap_bps": 16 * MB,
    }
    assert (shown["group"], shown["limited_by"]) == ("build", "group")
    assert (shown["bytes_total"], shown["config_version"]) == (9, control.version)
    for key in ("rate_bps", "target_bps", "effective_bps", "ceil_bps", "cap_bps"):
        assert free[key] is None
    assert listed[0].items() <= shown.items()
    assert unknown.status_code == 404


async def test_a_client_is_shown_with_what_it_is_being_sent(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.rows["a"] = FakeRow("a")
    engines = [FakeEngine(0), FakeEngine(1)]
    sent = [FakeTransfer(0, 206, 9, 5, "peer"), FakeTransfer(1, 200, 8, 7, "client")]
    for engine, transfer in zip(engines, sent, strict=True):
        engine.sending["a"] = [transfer]
        engine.close()
    async with api(make_control(), *engines) as client:
        shown = (await client.get("/clients/a")).json()
    assert shown["sending"] == [transfer._asdict() for transfer in sent]


async def test_a_group_is_made_shown_and_dropped(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    async with api(control) as client:
        made = await client.put("/groups/ci", json={"min_bps": 40 * MB, "weight": 3})
        assert made.json() == {
            "name": "ci",
            "rate_bps": None,
            "ceil_bps": None,
            "min_bps": 40 * MB,
            "weight": 3,
            "burst_bytes": None,
            "peak_bps": None,
            "config_version": control.version,
        }
        clients.group_rows["ci"] = FakeGroupRow(
            "ci",
            effective_bps=9,
            bytes_total=8,
            active=2,
            limited_by="server",
        )
        shown = (await client.get("/groups/ci")).json()
        listed = (await client.get("/groups")).json()
        dropped = await client.delete("/groups/ci")
        gone = await client.get("/groups/ci")
        again = await client.delete("/groups/ci")
    assert (shown["effective_bps"], shown["bytes_total"], shown["active"]) == (9, 8, 2)
    assert (shown["limited_by"], shown["source"]) == ("server", "api")
    assert [(g["name"], g["source"]) for g in listed["groups"]] == [
        ("build", "file"),
        ("ci", "api"),
    ]
    assert dropped.json() == {"name": "ci", "config_version": control.version}
    assert (gone.status_code, again.status_code) == (404, 404)


async def test_the_server_is_shown_with_what_it_has_and_why(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control()
    row = FakeServerRow(9, 7, 7, "quota", bytes_total=6, active=3, backlogged=2)
    async with api(control) as client:
        free = (await client.get("/server")).json()
        clients.server_row = row
        limited = (await client.get("/server")).json()
    assert {key: limited[key] for key in row._asdict()} == row._asdict()
    none = {"rate_bps": None, "effective_bps": None, "cap_bps": None}
    assert {key: free[key] for key in none} == none
    assert (free["state"], free["clients"]) == ("starting", 0)


async def test_what_the_api_said_is_shown_beside_the_settings(
    make_control: MakeControl,
) -> None:
    control = make_control(TREE)
    async with api(control) as client:
        await client.put("/groups/g", json={"weight": 3})
        await client.put("/clients/a", json={"rate_bps": None, "group": "g"})
        shown = (await client.get("/config")).json()
    assert shown["settings"]["groups"]["build"]["min"] == "60MB/s"
    assert shown["overrides"] == {
        "groups": {"g": {"weight": 3}},
        "clients": {"a": {"rate_bps": 0, "group": "g"}},
    }


async def test_the_description_of_the_api_is_json(make_control: MakeControl) -> None:
    async with api(make_control()) as client:
        shown = json.loads((await client.get("/openapi.json")).text)
    paths, models = shown["paths"], shown["components"]["schemas"]
    for model in ("LimitChange", "GroupSpec", "ClientSpec"):
        fields = models[model]["properties"]
        assert "weight" in fields
        assert all("default" not in field for field in fields.values())
    assert {"put", "get", "delete"} == set(paths["/clients/{client_id}"])
    assert {"put", "get", "delete"} == set(paths["/groups/{name}"])
    assert "412" in paths["/config"]["post"]["responses"]
