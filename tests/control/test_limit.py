"""``penstock limit`` and ``penstock group``: what they send, and what they say."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from penstock.adminclient import AdminClient
from penstock.cli import run
from penstock.errors import PenstockError
from penstock.limit import Options, set_group, set_limit

MB = 10**6
NOTHING = {
    "rate_bps": None,
    "ceil_bps": None,
    "min_bps": 0,
    "weight": 100,
    "burst_bytes": None,
    "peak_bps": None,
}


class Server:
    """One group or none; remembers what it was asked."""

    def __init__(self, plan: dict[str, Any] | None = None) -> None:
        self.plan = plan
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.method == "POST":
            change = {"target_bps": None} | json.loads(request.content)
            return httpx.Response(200, json={**change, "config_version": 7})
        if request.method == "PUT":
            self.plan = NOTHING | json.loads(request.content)
        if self.plan is None:
            return httpx.Response(404, json={"detail": "there is no group"})
        answer = {**self.plan, "config_version": 7, "name": "ci"}
        return httpx.Response(200, json=answer, headers={"etag": '"6"'})

    @property
    def admin(self) -> AdminClient:
        return AdminClient("localhost:8080", transport=httpx.MockTransport(self))

    @property
    def sent(self) -> Any:
        return json.loads(self.asked[-1].content)


@pytest.mark.parametrize(
    ("options", "group", "sent"),
    [
        (Options(), None, {}),
        (Options(ceil="10MB/s"), None, {"ceil_bps": 10 * MB}),
        (Options(ceil="0", min="0"), None, {"ceil_bps": None, "min_bps": 0}),
        (Options(min="8Mbit/s", weight=300), None, {"min_bps": MB, "weight": 300}),
        (Options(mode="full"), None, {"mode": "full"}),
        (Options(mode="none"), None, {"mode": None}),
        (Options(upload_rate="2MB/s"), None, {"upload_rate_bps": 2 * MB}),
        (Options(upload_rate="0"), None, {"upload_rate_bps": None}),
        (Options(), "team/ci", {"group": "team/ci"}),
        (Options(), "", {"group": None}),
    ],
)
def test_limit_sends_only_what_was_said(
    options: Options, group: str | None, sent: dict[str, Any]
) -> None:
    server = Server()
    said = set_limit("a", "5MB/s", server.admin, options, group)
    assert said == "a: 5MB/s (config version 7)"
    assert server.sent == {"client_id": "a", "target_bps": 5 * MB, **sent}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--mode", "off"], {"mode": "off"}),
        (["--mode", "none", "--weight", "3"], {"mode": None, "weight": 3}),
        (["--group", ""], {"group": None}),
        (["--upload-rate", "1MB/s"], {"upload_rate_bps": MB}),
    ],
)
def test_what_is_said_of_a_client_without_a_rate_leaves_its_rate_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sent: dict[str, Any],
) -> None:
    server = Server()
    monkeypatch.setattr("penstock.adminclient.AdminClient", lambda *_: server.admin)
    assert run(["limit", "a", *options]) == 0
    assert server.sent == {"client_id": "a", **sent}
    assert capsys.readouterr().out == "a: no limit (config version 7)\n"


def test_a_new_group_has_what_was_said() -> None:
    server = Server()
    said = set_group("ci", "5MB/s", server.admin, Options(min="1MB/s", weight=3))
    assert said == "ci: 5MB/s, min 1MB/s, weight 3 (config version 7)"
    assert server.sent == {"rate_bps": 5 * MB, "min_bps": MB, "weight": 3}
    assert "if-match" not in server.asked[-1].headers


def test_a_group_keeps_what_was_not_said_unless_somebody_changes_it_meanwhile() -> None:
    plan = NOTHING | {"rate_bps": 5 * MB, "ceil_bps": 9 * MB, "burst_bytes": 8}
    server = Server(plan)
    said = set_group("ci", None, server.admin, Options(weight=3))
    assert said == "ci: 5MB/s, ceil 9MB/s, weight 3 (config version 7)"
    assert server.sent == plan | {"weight": 3}
    assert server.asked[-1].headers["if-match"] == '"6"'


@pytest.mark.parametrize("name", ["team/ci runner", "2001:db8::/48", "100%", "a/../b"])
def test_the_name_of_a_group_reaches_the_server_as_it_is(name: str) -> None:
    server = Server()
    set_group(name, None, server.admin)
    assert httpx.URL(server.asked[-1].url).path == f"/groups/{name}"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda a: set_limit("a", "5", a, Options(ceil="fast")), "--ceil: 'fast' is"),
        (lambda a: set_limit("a", "5", a, Options(min="1.5B")), "--min: '1.5B' is not"),
        (lambda a: set_limit("a", None, a), "RATE is missing, or an option"),
        (lambda a: set_limit("a", "0", a), "RATE: 0 bytes per second is not from 1"),
        (lambda a: set_limit("a", "5", a, group="x" * 65), "the name of a group has 1"),
        (lambda a: set_group("", "5", a), "the name of a group has 1 to 64 bytes"),
        (lambda a: set_group("a", "0", a), "RATE: 0 bytes per second is not from 1"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(
    act: Callable[[AdminClient], str], said: str
) -> None:
    server = Server()
    with pytest.raises(PenstockError) as caught:
        act(server.admin)
    assert str(caught.value).startswith(said)
    assert server.asked == []


def test_a_refused_group_is_said_with_its_reason() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404, json={"detail": "there is no group"})
        detail = [
            {
                "loc": ["body", "min_bps"],
                "msg": "60 + 50 exceed",
                "type": "value_error",
            },
            {"loc": ["body", "weight"], "msg": "too small", "type": "greater_than"},
        ]
        return httpx.Response(422, json={"detail": detail})

    admin = AdminClient("x", transport=httpx.MockTransport(refuse))
    with pytest.raises(PenstockError) as caught:
        set_group("ci", "5", admin)
    assert str(caught.value) == "refused: 60 + 50 exceed; weight: too small"


def test_a_server_of_another_kind_is_no_penstock() -> None:
    def other(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"hello": 1})

    admin = AdminClient("x", transport=httpx.MockTransport(other))
    with pytest.raises(PenstockError, match="answers 200, but not as penstock does"):
        set_group("ci", "5", admin)


@pytest.mark.parametrize("command", ["limit", "group"])
def test_help_teaches_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for word in ("--ceil", "--min", "--weight", "--token-file", "1 to 10000"):
        assert word in shown
    assert f"penstock {command} " in shown
    assert ("--group STR" in shown) is (command == "limit")


@pytest.mark.parametrize(
    "arguments",
    [
        ["limit", "a", "1", "--weight", "heavy"],
        ["limit", "a", "1", "--min", "x"],
        ["group"],
        ["group", "ci", "--ceil", "x"],
        ["group", "ci", "1", "--group", "x"],
        ["group", "ci", "1", "--upload-rate", "1MB/s"],
        ["limit", "a", "--upload-rate", "x"],
        ["group", "ci", "1", "--admin", "http://127.0.0.1:1"],
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("penstock: error: ")
