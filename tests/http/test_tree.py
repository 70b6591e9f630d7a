"""The shaping tree of a real process, changed over the admin API and by SIGHUP."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.test_shaping import Download, digest, near
from tests.serving import Server

MB = 10**6


TREE = f"""
[shaping]
total_rate = "40MB/s"
client_rate = "1MB/s"
[groups.build]
rate = "30MB/s"
min = "20MB/s"
[clients.ann]
rate = "2MB/s"
min = "1MB/s"
weight = 300
group = "build"
token_sha256 = ["{digest("ann")}"]
[clients.bob]
token_sha256 = ["{digest("bob")}"]
"""
PLAN = ("rate_bps", "ceil_bps", "min_bps", "weight", "group", "source")


@pytest.fixture
def tree(start: Callable[..., Server], config: Callable[[str], str]) -> Server:
    server = start("--config", config(TREE))
    server.extra["config"] = config(TREE)
    return server


def ask(
    server: Server, method: str, path: str, body: object = None, **fields: str
) -> httpx.Response:
    """Fields are spelled with underscores: ``if_match``."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.request(method, server.admin + path, json=body, headers=headers)


def plan(server: Server, client_id: str) -> dict[str, Any]:
    row = ask(server, "GET", f"/clients/{client_id}").json()
    return {key: row[key] for key in PLAN}


OF_THE_FILE = {
    "rate_bps": 2 * MB,
    "ceil_bps": None,
    "min_bps": MB,
    "weight": 300,
    "group": "build",
    "source": "file",
}


def test_a_limit_over_the_api_changes_what_it_says_and_is_taken_back(
    tree: Server,
) -> None:
    assert plan(tree, "ann") == OF_THE_FILE
    limit = {"client_id": "ann", "target_bps": 3 * MB, "weight": 7}
    answer = ask(tree, "POST", "/config", limit)
    assert set(answer.json()) == {"client_id", "target_bps", "config_version"}
    assert plan(tree, "ann") == OF_THE_FILE | {
        "rate_bps": 3 * MB,
        "weight": 7,
        "source": "api",
    }
    whole = {"rate_bps": 4 * MB, "ceil_bps": 5 * MB, "group": None}
    assert ask(tree, "PUT", "/clients/ann", whole).status_code == 200
    assert plan(tree, "ann") == whole | {"min_bps": 0, "weight": 100, "source": "api"}
    assert ask(tree, "DELETE", "/clients/ann").status_code == 200
    assert plan(tree, "ann") == OF_THE_FILE
    assert ask(tree, "DELETE", "/clients/ann").status_code == 404


def everything(server: Server) -> tuple[Any, ...]:
    config = ask(server, "GET", "/config").json()
    groups = ask(server, "GET", "/groups").json()["groups"]
    rows = server.ask("/clients")["clients"]
    keys = ("name", "rate_bps", "min_bps", "weight", "source")
    return (
        config,
        [{key: group[key] for key in keys} for group in groups],
        [
            {"client_id": row["client_id"], **plan(server, row["client_id"])}
            for row in rows
        ],
    )


def test_promises_that_do_not_fit_are_refused_and_change_nothing(tree: Server) -> None:
    made = ask(tree, "PUT", "/groups/test", {"rate_bps": 30 * MB, "min_bps": 20 * MB})
    assert made.status_code == 200
    before = everything(tree)
    for method, path, body in (
        ("PUT", "/groups/test", {"rate_bps": 30 * MB, "min_bps": 21 * MB}),
        ("PUT", "/groups/more", {"min_bps": 1}),
        ("PUT", "/clients/bob", {"min_bps": 1}),
        ("POST", "/config", {"client_id": "eve", "target_bps": 5, "min_bps": 1}),
        ("PUT", "/groups/build", {"min_bps": MB // 2}),
        ("PUT", "/clients/ann", {"group": "bild"}),
    ):
        answer = ask(tree, method, path, body)
        assert answer.status_code == 422, path
        assert answer.json()["detail"][0]["msg"].startswith(("groups.", "clients."))
    assert everything(tree) == before
    over = ask(tree, "PUT", "/groups/more", {"min_bps": MB}).json()["detail"]
    assert over[0]["msg"] == (
        "groups.build.min: 20MB/s + groups.test.min: 20MB/s + groups.more.min: 1MB/s "
        "= 41MB/s exceed shaping.total_rate 40MB/s"
    )


def test_a_group_lives_as_long_as_somebody_names_it(tree: Server) -> None:
    ask(tree, "PUT", "/groups/ci", {"rate_bps": 5 * MB, "weight": 9})
    ask(tree, "PUT", "/clients/bob", {"group": "ci"})
    shown = ask(tree, "GET", "/groups/ci").json()
    assert (shown["rate_bps"], shown["weight"], shown["source"]) == (5 * MB, 9, "api")
    assert plan(tree, "bob")["group"] == "ci"
    refused = ask(tree, "DELETE", "/groups/ci")
    assert refused.status_code == 409
    assert "clients.bob.group" in refused.json()["detail"]
    assert ask(tree, "DELETE", "/clients/bob").status_code == 200
    assert ask(tree, "DELETE", "/groups/ci").status_code == 200
    assert ask(tree, "GET", "/groups/ci").status_code == 404
    assert ask(tree, "DELETE", "/groups/build").status_code == 404, "of the file"


@pytest.mark.parametrize("name", ["2001:db8::/64", "team/ci runner", "ü%2F?#", "x//"])
def test_a_name_may_hold_what_paths_may_not(tree: Server, name: str) -> None:
    path = quote(name, safe="")
    assert ask(tree, "PUT", f"/clients/{path}", {"rate_bps": 7}).status_code == 200
    assert ask(tree, "PUT", f"/groups/{path}", {"rate_bps": 7}).status_code == 200
    assert ask(tree, "GET", f"/clients/{path}").json()["client_id"] == name
    assert ask(tree, "GET", f"/groups/{path}").json()["name"] == name
    assert ask(tree, "DELETE", f"/clients/{path}").status_code == 200
    assert ask(tree, "DELETE", f"/groups/{path}").status_code == 200


def test_who_did_not_see_the_last_change_is_held_off(tree: Server) -> None:
    seen = ask(tree, "GET", "/clients/ann").headers["etag"]
    first = ask(tree, "PUT", "/clients/ann", {"weight": 5}, if_match=seen)
    late = ask(tree, "PUT", "/clients/ann", {"weight": 6}, if_match=seen)
    assert (first.status_code, late.status_code) == (200, 412)
    assert plan(tree, "ann")["weight"] == 5
    again = ask(
        tree, "PUT", "/clients/ann", {"weight": 6}, if_match=first.headers["etag"]
    )
    assert again.status_code == 200


def reload(server: Server, text: str) -> None:
    Path(server.extra["config"]).write_text(text)
    server.process.send_signal(signal.SIGHUP)


def test_sighup_with_a_tree_that_contradicts_itself_keeps_the_old_one(
    tree: Server,
) -> None:
    ask(tree, "PUT", "/groups/test", {"min_bps": 20 * MB})
    before = everything(tree)
    for number, (wrong, reason) in enumerate(
        (
            (
                TREE.replace('min = "20MB/s"', 'min = "41MB/s"'),
                "groups.build.min: 41MB",
            ),
            (
                TREE.replace('group = "build"', 'group = "x"'),
                "clients.ann.group: there",
            ),
            (TREE.replace('"40MB/s"', '"39MB/s"'), "with what the admin API has set"),
        ),
        start=1,
    ):
        reload(tree, wrong)
        tree.wait(reason, lambda reason=reason: reason in tree.log.read_text())
        assert everything(tree) == before
        assert tree.log.read_text().count("configuration not reloaded") >= number


def test_sighup_replaces_what_it_names_and_keeps_other_changes(tree: Server) -> None:
    ask(tree, "POST", "/config", {"client_id": "ann", "target_bps": 3 * MB})
    ask(tree, "POST", "/config", {"client_id": "bob", "target_bps": 3 * MB})
    ask(tree, "PUT", "/groups/test", {"weight": 7})
    version = tree.status()["config_version"]
    reload(tree, TREE.replace('client_rate = "1MB/s"', "client_weight = 50"))
    tree.wait("a reload", lambda: tree.status()["config_version"] > version)
    assert tree.status()["config_version"] == version + 1
    assert plan(tree, "ann") == OF_THE_FILE
    bob = plan(tree, "bob")
    assert (bob["rate_bps"], bob["weight"], bob["source"]) == (3 * MB, 50, "api")
    assert ask(tree, "GET", "/groups/test").json()["weight"] == 7


@contextmanager
def downloads(server: Server, *tokens: str) -> Iterator[Callable[[float], list[float]]]:
    """Readers as fast as they may; a call gives the rate of each over some seconds."""
    readers = [Download(server, 2, token) for token in tokens]

    def rates(seconds: float) -> list[float]:
        before, start = [r.total for r in readers], time.monotonic()
        while time.monotonic() < start + seconds:
            for reader in readers:
                reader.read(0.004)
        took = time.monotonic() - start
        return [(r.total - b) / took for r, b in zip(readers, before, strict=True)]

    try:
        yield rates
    finally:
        for reader in readers:
            reader.close()


@pytest.mark.alone
def test_a_plan_reaches_a_download_in_flight_and_is_taken_back(tree: Server) -> None:
    with downloads(tree, "bob") as rates:
        assert near(rates(1)[0], MB, 0.1)
        ask(tree, "PUT", "/clients/bob", {"rate_bps": 6 * MB})
        rates(0.3)
        assert near(rates(1)[0], 6 * MB, 0.1)
        ask(tree, "DELETE", "/clients/bob")
        rates(0.5)
        assert near(rates(1)[0], MB, 0.1)


@pytest.mark.alone
def test_a_group_is_limited_as_a_whole_from_one_request_to_the_next(
    tree: Server,
) -> None:
    for name in ("ann", "bob"):
        ask(tree, "PUT", f"/clients/{name}", {"rate_bps": 20 * MB, "group": "build"})
    with downloads(tree, "ann", "bob") as rates:
        for limit in (4 * MB, 8 * MB, 4 * MB):
            assert ask(tree, "PUT", "/groups/build", {"rate_bps": limit}).is_success
            rates(0.7)
            share = sum(rates(1.5)) / limit
            assert 0.9 < share < 1.13, "a full bucket drains at 1.12 x its rate"
        shown = ask(tree, "GET", "/groups/build").json()
        assert shown["active"] == 2
        assert ask(tree, "GET", "/clients/ann").json()["limited_by"] == "group"
        text = ask(tree, "GET", "/metrics").text
        assert 'penstock_group_active_clients{group="build"} 2.0' in text


@pytest.mark.alone
def test_weights_share_a_group_and_can_change(tree: Server) -> None:
    ask(tree, "PUT", "/groups/build", {"rate_bps": 6 * MB})
    for name, weight in (("ann", 100), ("bob", 200)):
        body = {"rate_bps": 20 * MB, "group": "build", "weight": weight}
        ask(tree, "PUT", f"/clients/{name}", body)
    with downloads(tree, "ann", "bob") as rates:
        rates(1)
        ann, bob = rates(2)
        assert near(bob / ann, 2, 0.15)
        limit = {"client_id": "ann", "target_bps": 20 * MB, "weight": 600}
        assert ask(tree, "POST", "/config", limit).is_success
        rates(0.7)
        ann, bob = rates(2)
        assert near(ann / bob, 3, 0.15)


@pytest.mark.alone
def test_a_promise_is_kept_and_what_is_not_used_is_lent(tree: Server) -> None:
    """Against a weight a hundred times as large; the rest goes to who may borrow."""
    ask(tree, "PUT", "/groups/build", {"rate_bps": 6 * MB, "min_bps": 6 * MB})
    for name, body in (
        ("ann", {"rate_bps": 5 * MB, "min_bps": 4 * MB, "weight": 1}),
        ("bob", {"rate_bps": 5 * MB, "ceil_bps": 20 * MB, "weight": 100}),
    ):
        ask(tree, "PUT", f"/clients/{name}", body | {"group": "build"})
    with downloads(tree, "bob") as rates:
        rates(0.7)
        assert near(rates(1.5)[0], 6 * MB, 0.1), "beyond its rate, up to the group's"
    with downloads(tree, "ann", "bob") as rates:
        rates(1)
        ann, bob = rates(2)
        assert near(ann, 4 * MB, 0.1)
        assert near(bob, 2 * MB, 0.15)


def test_the_command_line_changes_groups_and_clients(tree: Server) -> None:
    def command(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *words, "--admin", tree.admin],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            cwd=Path(__file__).parents[2] / "server",
        ).stdout

    said = command("group", "ci/linux", "9MB/s", "--min", "1MB/s", "--weight", "200")
    assert said.startswith("ci/linux: 9MB/s, min 1MB/s, weight 200 (config version ")
    said = command("group", "ci/linux", "--ceil", "12MB/s")
    assert said.startswith("ci/linux: 9MB/s, ceil 12MB/s, min 1MB/s, weight 200 (")
    command("limit", "bob", "2MB/s", "--ceil", "3MB/s", "--group", "ci/linux")
    assert plan(tree, "bob") == {
        "rate_bps": 2 * MB,
        "ceil_bps": 3 * MB,
        "min_bps": 0,
        "weight": 100,
        "group": "ci/linux",
        "source": "api",
    }
