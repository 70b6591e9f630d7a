"""Changes of the shaping tree that the admin API refuses; they change nothing."""

import pytest

from tests.control.api import api
from tests.control.fakes import FakeClients, MakeControl

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
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "place", "reason"),
    [
        (
            "POST",
            "/config",
            {"client_id": "a", "target_bps": MB},
            ["body", "min_bps"],
            "clients.a.min: 5MB/s is above clients.a.rate 1MB/s",
        ),
        (
            "POST",
            "/config",
            {"client_id": "b", "target_bps": 50 * MB, "min_bps": 50 * MB},
            ["body"],
            "groups.build.min: 60MB/s + clients.b.min: 50MB/s = 110MB/s exceed "
            "shaping.total_rate 100MB/s",
        ),
        (
            "PUT",
            "/clients/b",
            {"rate_bps": 50 * MB, "ceil_bps": 40 * MB},
            ["body", "ceil_bps"],
            "clients.b.ceil: 40MB/s is below clients.b.rate 50MB/s",
        ),
        (
            "PUT",
            "/clients/b",
            {"group": "bild"},
            ["body", "group"],
            "clients.b.group: there is no group 'bild'; did you mean 'build'?",
        ),
        (
            "PUT",
            "/groups/test",
            {"min_bps": 50 * MB},
            ["body"],
            "groups.build.min: 60MB/s + groups.test.min: 50MB/s = 110MB/s exceed "
            "shaping.total_rate 100MB/s",
        ),
        (
            "PUT",
            "/groups/build",
            {"min_bps": 4 * MB},
            ["body"],
            "clients.a.min: 5MB/s exceeds groups.build.min 4MB/s",
        ),
        (
            "PUT",
            "/groups/build",
            {"rate_bps": 50 * MB, "peak_bps": 40 * MB},
            ["body", "peak_bps"],
            "groups.build.peak: 40MB/s is below groups.build.rate 50MB/s",
        ),
    ],
)
async def test_a_contradiction_is_refused_with_the_arithmetic_and_changes_nothing(
    make_control: MakeControl,
    clients: FakeClients,
    method: str,
    path: str,
    body: object,
    place: list[str],
    reason: str,
) -> None:
    control = make_control(TREE)
    before = (control.tree, control.version, dict(clients.rows))
    async with api(control) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [{"loc": place, "msg": reason, "type": "value_error"}]
    }
    assert (control.tree, control.version, clients.rows) == before


@pytest.mark.parametrize("path", ["/clients/a", "/groups/build"])
@pytest.mark.parametrize(
    "body",
    [
        '{"rate_bps":0}',
        '{"rate_bps":1.5}',
        '{"rate_bps":NaN}',
        '{"rate_bps":true}',
        '{"rate_bps":"5MB/s"}',
        '{"rate_bps":1000000000001}',
        '{"ceil_bps":0}',
        '{"min_bps":-1}',
        '{"min_bps":null}',
        '{"weight":0}',
        '{"weight":10001}',
        '{"weight":1.5}',
        '{"weight":Infinity}',
        '{"weight":null}',
        '{"burst_bytes":0}',
        '{"burst_bytes":-Infinity}',
        '{"peak_bps":-5}',
        '{"group":""}',
        '{"group":7}',
        '{"group":"\\u0007"}',
        '{"groups":"build"}',
        '{"target_bps":5}',
        "[]",
        "null",
        "",
    ],
)
async def test_a_wrong_plan_is_refused_with_a_reason_and_changes_nothing(
    make_control: MakeControl, clients: FakeClients, path: str, body: str
) -> None:
    control = make_control(TREE)
    before = (control.tree, control.version, dict(clients.rows))
    async with api(control) as client:
        answer = await client.put(path, content=body, headers=JSON)
    assert answer.status_code == 422
    assert all(problem["msg"] for problem in answer.json()["detail"])
    assert (control.tree, control.version, clients.rows) == before


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/clients/other", "reserved for the metrics"),
        ("/clients/10.0.0.0%2F8", "is no client"),
        ("/clients/%07", "printable characters only"),
        (f"/clients/{'x' * 65}", "at most 64"),
        (f"/groups/{'x' * 65}", "at most 64"),
        ("/groups/%00", "printable characters only"),
        ("/groups/", "at least 1 character"),
        ("/clients/", "at least 1 character"),
    ],
)
async def test_a_name_that_can_not_be_is_refused_by_every_method(
    make_control: MakeControl, clients: FakeClients, path: str, reason: str
) -> None:
    async with api(make_control()) as client:
        for answer in (
            await client.put(path, json={}),
            await client.get(path),
            await client.delete(path),
        ):
            assert answer.status_code == 422
            assert reason in answer.json()["detail"][0]["msg"]
    assert (clients.rows, clients.group_rows) == ({}, {})


async def test_a_plan_of_a_foreign_page_is_refused(
    make_control: MakeControl, clients: FakeClients
) -> None:
    async with api(make_control()) as client:
        for path in ("/clients/a", "/groups/g"):
            text = await client.put(path, content="{}")
            foreign = await client.put(path, json={}, headers={"origin": "http://x"})
            away = await client.delete(path, headers={"origin": "http://x"})
            assert (text.status_code, foreign.status_code) == (415, 403)
            assert away.status_code == 403
    assert (clients.rows, clients.group_rows) == ({}, {})


async def test_a_full_table_is_503_for_a_plan_too(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.row_limit = 0
    async with api(make_control()) as client:
        answer = await client.put("/clients/a", json={})
    assert answer.status_code == 503


async def test_what_others_depend_on_is_409(make_control: MakeControl) -> None:
    control = make_control(TREE)
    async with api(control) as client:
        await client.put("/groups/g", json={})
        await client.put("/clients/c", json={"group": "g"})
        before = control.version
        answer = await client.delete("/groups/g")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("clients.c.group: there is no group 'g'")
    assert control.version == before
