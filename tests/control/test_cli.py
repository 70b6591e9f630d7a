"""The command line: exit codes, one line per problem, and ``penstock limit``."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import penstock
from penstock.adminclient import AdminClient
from penstock.cli import run
from penstock.errors import PenstockError
from penstock.limit import set_limit

ACCEPTED = {"client_id": "a", "target_bps": 5_000_000, "config_version": 7}


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("penstock: error: ")
    return lines[0].removeprefix("penstock: error: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sreve"], "sreve"),
        (["serve", ".", "--lisen", "x"], "--lisen"),
        (["serve", ".", "too", "many"], "too"),
        (["serve", ".", "--listen"], "--listen"),
        (["check-config"], "FILE"),
        (["check-config", "/nonexistent.toml"], "/nonexistent.toml: can not be read"),
        (["limit", "a"], "RATE"),
        (["limit", "a", "fast"], "5MB/s, 40Mbit/s or 5242880"),
        (["limit", "a", "0"], "0 bytes per second is not from 1"),
        (["limit", "a", "1", "--token-file", "/nonexistent"], "/nonexistent: can not"),
        (["limit", "a", "1", "--admin", "http://127.0.0.1:1"], "is penstock running"),
        (["limit", "a", "1", "--admin", "nonsense"], "does not answer"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert named.lower() in complaint(capsys).lower()


def test_every_problem_of_a_file_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[limits]\npipes = 0\n[shaping]\nclient_rate = 'x'")
    assert run(["check-config", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[: len("penstock: error: ")] for line in err.splitlines()] == [
        "penstock: error: "
    ] * 2
    assert "limits.pipes" in err
    assert "shaping.client_rate" in err


def test_a_good_file_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[clients.a]\nrate = '5MB/s'")
    assert run(["check-config", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "penstock serve ./public --client-rate 5MB/s"),
        ([], "penstock serve ./public --client-rate 5MB/s"),
        (["serve", "--help"], "--drain-timeout"),
        (["limit", "--help"], "--token-file"),
        (["--version"], penstock.__version__),
    ],
)
def test_help_and_version_succeed(
    arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert shown in capsys.readouterr().out


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from penstock.cli import run; run(['serve', '--help']); "
        "slow = ('fastapi', 'pydantic', 'trio', 'httpx', 'prometheus_client'); "
        "print(*(m for m in slow if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(penstock.__file__).parents[1],
    )
    assert done.stderr.strip() == ""


def test_limit_sends_bytes_per_second_and_the_token(tmp_path: Path) -> None:
    requests: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=ACCEPTED)

    token = tmp_path / "token"
    token.write_text("secret\n")
    admin = AdminClient("http://localhost:8080/", token, httpx.MockTransport(server))
    said = set_limit("a", "40Mbit/s", admin)
    assert said == "a: 5MB/s (config version 7)"
    assert str(requests[0].url) == "http://localhost:8080/config"
    assert json.loads(requests[0].content) == {
        "client_id": "a",
        "target_bps": 5_000_000,
    }
    assert requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, {"detail": "the admin token is needed"}, "--token-file"),
        (422, {"detail": [{"msg": "too long"}, {"msg": "bad"}]}, "too long; bad"),
        (503, {"detail": "the client table is full"}, "the client table is full"),
        (404, "<html>", "answers 404, but not as penstock does"),
        (200, {"hello": 1}, "answers 200, but not as penstock does"),
        (200, [], "answers 200, but not as penstock does"),
    ],
)
def test_limit_explains_a_refusal(status: int, answer: object, said: str) -> None:
    def server(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, str):
            return httpx.Response(status, text=answer)
        return httpx.Response(status, json=answer)

    with pytest.raises(PenstockError, match=said):
        set_limit("a", "1", AdminClient("x", transport=httpx.MockTransport(server)))


@pytest.mark.parametrize("text", ["", " \n", "é", "a\tb", "a\nb"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    token = tmp_path / "token"
    token.write_text(text)
    with pytest.raises(PenstockError, match="holds no token"):
        AdminClient("http://127.0.0.1:1", token)
