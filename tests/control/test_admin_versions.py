"""Versions of the configuration: a change can ask that nobody made another one."""

import pytest

from tests.control.api import api
from tests.control.fakes import FakeClients, MakeControl

TREE = "[groups.build]\n[clients.a]\nrate = 20"


async def test_a_change_can_ask_that_nobody_made_another_meanwhile(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    async with api(control) as client:
        seen = (await client.get("/clients/a")).headers["etag"]
        assert seen == (await client.get("/config")).headers["etag"]
        assert seen == (await client.get("/groups/build")).headers["etag"]
        mine = await client.put("/clients/a", json={}, headers={"if-match": seen})
        assert mine.status_code == 200
        assert mine.headers["etag"] == f'"{control.version}"' != seen
        before = (control.version, dict(clients.rows))
        late = {"if-match": seen}
        limit = {"client_id": "a", "target_bps": 5}
        for answer in (
            await client.post("/config", json=limit, headers=late),
            await client.put("/clients/a", json={}, headers=late),
            await client.delete("/clients/a", headers=late),
            await client.put("/groups/build", json={}, headers=late),
            await client.delete("/groups/build", headers=late),
        ):
            assert answer.status_code == 412
            assert f"version {control.version} by now" in answer.json()["detail"]
        assert (control.version, clients.rows) == before


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ('"{now}"', 200),
        ('"1", "{now}"', 200),
        ("*", 200),
        ('W/"{now}"', 412),
        ('"9999"', 412),
        ('""', 412),
        ("{now}", 400),
        ("", 400),
        ('"1" "{now}"', 400),
    ],
)
async def test_if_match_is_a_list_of_entity_tags(
    make_control: MakeControl, field: str, status: int
) -> None:
    control = make_control()
    headers = {"if-match": field.format(now=control.version)}
    async with api(control) as client:
        answer = await client.put("/groups/g", json={}, headers=headers)
    assert answer.status_code == status
