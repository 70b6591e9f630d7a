"""The rate of a client's uploads: said by the file or the admin API, held at once."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.uploads.running import Uploads
from tests.control.api import api
from tests.control.fakes import MakeControl

MB = 10**6
SAID = """
[shaping]
client_upload_rate = "8MB/s"
[clients.a]
upload_rate = "2MB/s"
"""


def test_whoever_has_no_rate_of_its_own_has_that_of_the_class(
    make_control: MakeControl,
) -> None:
    uploads = Uploads(make_control(SAID), ())
    assert (uploads.rate_of("a"), uploads.rate_of("b")) == (2 * MB, 8 * MB)
    assert Uploads(make_control(), ()).rate_of("a") is None


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({"upload_rate_bps": 5 * MB}, 5 * MB),
        ({"upload_rate_bps": None}, None),
        ({"weight": 3}, 2 * MB),
    ],
)
async def test_the_api_changes_it_and_nothing_else_does(
    make_control: MakeControl, said: dict[str, Any], holds: int | None
) -> None:
    control = make_control(SAID)
    uploads = Uploads(control, ())
    async with api(control) as client:
        answer = await client.post("/config", json={"client_id": "a", **said})
        assert answer.status_code == 200
        shown = (await client.get("/clients/a")).json()
        assert (uploads.rate_of("a"), shown["upload_rate_bps"]) == (holds, holds)
        await client.post("/config", json={"client_id": "a", "target_bps": 7})
        assert uploads.rate_of("a") == holds
        await client.delete("/clients/a")
        assert uploads.rate_of("a") == 2 * MB


async def test_a_plan_that_leaves_it_out_takes_that_of_the_class(
    make_control: MakeControl,
) -> None:
    control = make_control(SAID)
    async with api(control) as client:
        plan = {"upload_rate_bps": 3 * MB}
        answer = await client.put("/clients/a", json=plan)
        assert answer.json()["upload_rate_bps"] == 3 * MB
        answer = await client.put("/clients/a", json={"rate_bps": MB})
        assert answer.json()["upload_rate_bps"] == 8 * MB
        answer = await client.put("/groups/g", json=plan)
        assert answer.status_code == 422, "groups have none"


async def test_it_is_seen_what_unfinished_uploads_hold(
    make_control: MakeControl,
) -> None:
    control = make_control(SAID)
    control.uploads_held = {"a": (2, 300)}.__getitem__
    async with api(control) as client:
        [shown] = (await client.get("/clients")).json()["clients"]
    assert (shown["uploads_unfinished"], shown["uploads_held_bytes"]) == (2, 300)
