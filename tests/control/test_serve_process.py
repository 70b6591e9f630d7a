"""``penstock serve`` as a process with the real engine: what scripts rely on."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

import penstock
from penstock import admin_models, limits, rates
from penstock.clientids import MAX_CLIENT_ID_BYTES
from penstock.control import Control
from penstock.errors import PenstockError
from penstock.identity_rules import HEADER_NAME_BYTES_MAX
from penstock.loading import Source
from penstock.tree import NOTHING

engine = pytest.importorskip("penstock._engine", reason="the engine is not built")
if engine.probe_io_uring()["errno"]:
    pytest.skip("this machine allows no io_uring", allow_module_level=True)

WAIT_S = 30
CPU = str(min(os.sched_getaffinity(0)))


def start(
    *arguments: object, before: Sequence[str] = (), stdout: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-m", "penstock", "serve", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(penstock.__file__).parents[1],
    )


class Server:
    def __init__(self, *arguments: object) -> None:
        ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cpus", CPU)
        self.process = start(*ports, *arguments)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.urls = re.findall(r"http://\S+[0-9]", self.line)

    def get(self, index: int, path: str) -> bytes:
        with urllib.request.urlopen(self.urls[index] + path, timeout=WAIT_S) as answer:
            body: bytes = answer.read()
            return body

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.txt").write_text("hello\n")
    return tmp_path / "root"


@pytest.fixture
def server(root: Path, tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "penstock.toml"
    config.write_text("[clients.a]\nrate = 1000\n")
    server = Server(root, "--config", config)
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_says_where_it_serves_and_a_signal_ends_it(
    server: Server, number: signal.Signals
) -> None:
    expected = (
        r"penstock: serving http://127\.0\.0\.1:\d+ \| admin http://127\.0\.0\.1:\d+\n"
    )
    assert re.fullmatch(expected, server.line)
    assert server.get(0, "/a.txt") == b"hello\n"
    status = json.loads(server.get(1, "/status"))
    assert status["state"] == "serving"
    assert [e["cpu"] for e in status["engines"]] == [int(CPU)]
    code, out, _ = server.end(number)
    assert (code, out) == (0, "")


def test_only_engines_keep_the_folder_open(server: Server, root: Path) -> None:
    descriptors = Path(f"/proc/{server.process.pid}/fd").iterdir()
    targets = [descriptor.readlink() for descriptor in descriptors]
    assert targets.count(root) == 1


def test_limit_changes_the_real_table_whatever_proxy_there_is(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "limit", "b", "5MB/s"]
        + ["--admin", server.urls[1]],
        capture_output=True,
        text=True,
        cwd=Path(penstock.__file__).parents[1],
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""},
        check=True,
    )
    assert done.stdout.startswith("b: 5MB/s (config version ")
    rows = json.loads(server.get(1, "/clients"))["clients"]
    limits = {row["client_id"]: (row["target_bps"], row["source"]) for row in rows}
    assert limits == {"a": (1000, "file"), "b": (5_000_000, "api")}


def test_the_port_is_free_as_soon_as_the_process_has_ended(
    server: Server, root: Path
) -> None:
    server.get(0, "/a.txt")
    address = server.urls[0].removeprefix("http://")
    assert server.end()[0] == 0
    again = Server(root, "--listen", address)
    assert again.urls[-2].endswith(address)
    assert again.end()[0] == 0


def refusal(*arguments: object) -> str:
    process = start(*arguments)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_a_port_in_use_is_one_line_and_exit_code_2(root: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        address = f"127.0.0.1:{owner.getsockname()[1]}"
        for flags in (("--listen", address), ("--admin", address)):
            said = refusal(root, "--listen", "127.0.0.1:0", *flags)
            assert said.startswith(f"penstock: error: can not listen on {address}: the")


def test_a_second_penstock_does_not_join_the_first(server: Server, root: Path) -> None:
    address = server.urls[0].removeprefix("http://")
    said = refusal(root, "--listen", address, "--admin", "127.0.0.1:0")
    assert "the port is in use" in said


def test_a_root_that_can_not_be_served_is_one_line(root: Path) -> None:
    for wrong in (root / "missing", root / "a.txt"):
        assert f"{wrong}: can not be served" in refusal(wrong)
    assert "no folder to serve" in refusal()


def test_an_engine_that_can_not_start_is_one_line_that_names_the_remedy(
    root: Path,
) -> None:
    """Where rings count as locked memory (Linux 6.14); the limit binds root, too."""
    poor = ["prlimit", "--memlock=16384:16384"]
    if os.geteuid() == 0:
        poor += ["setpriv", "--bounding-set=-ipc_lock"]
    ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cpus", CPU)
    process = start(root, *ports, before=poor)
    assert process.stdout is not None
    if process.stdout.readline():
        process.kill()
        process.communicate()
        pytest.skip("this kernel does not count rings as locked memory")
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    said = err.splitlines()[-1]
    assert said.startswith("penstock: error: engine 0: no memory for the ring: raise")
    assert "Traceback" not in err


def test_an_empty_name_is_not_the_current_folder() -> None:
    assert "ROOT: a path is a string that is not empty" in refusal("")
    assert "--config: a path is a string that is not empty" in refusal("--config", "")


def test_output_that_can_not_be_written_is_no_traceback(root: Path) -> None:
    ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cpus", CPU)
    with Path("/dev/full").open("w") as full:
        process = start(root, *ports, stdout=full)
        assert process.stderr is not None
        line = process.stderr.readline()
        while "can not say so" not in line:
            assert line, "it ended"
            line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Traceback" not in err


def test_a_reload_can_not_end_the_server(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    for wrong in (f"[shaping]\nclient_rate = {'9' * 5000}", None):
        config.unlink()
        config.write_text(wrong) if wrong else os.mkfifo(config)
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        line = server.process.stderr.readline()
        while "configuration not reloaded" not in line:
            assert line, "it ended"
            line = server.process.stderr.readline()
        assert server.get(0, "/a.txt") == b"hello\n"
    assert server.end()[0] == 0


def wait_for_signal_handlers(pid: int) -> None:
    """The command is there then, the server is not yet."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":\t", 1) for line in lines)
        ignored, caught = int(fields["SigIgn"], 16), int(fields["SigCgt"], 16)
        if ignored & 1 << signal.SIGHUP - 1 and caught & 1 << signal.SIGTERM - 1:
            return
        time.sleep(0.002)
    raise AssertionError("it never came to that")


def test_signals_while_it_starts_end_it_quietly(root: Path) -> None:
    ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cpus", CPU)
    for number, code in ((signal.SIGHUP, None), (signal.SIGTERM, 0)):
        process = start(root, *ports)
        wait_for_signal_handlers(process.pid)
        process.send_signal(number)
        assert process.stdout is not None
        if code is None:
            assert process.stdout.readline().startswith("penstock: serving")
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        assert "Traceback" not in err


def test_a_cpu_that_is_not_there_is_one_line(root: Path) -> None:
    assert "may not use CPU 8191; possible are" in refusal(root, "--cpus", "8191")


def test_settings_and_engine_have_the_same_bounds() -> None:
    assert rates.MAX_RATE_BPS == engine.MAX_RATE_BPS
    assert MAX_CLIENT_ID_BYTES == engine.MAX_CLIENT_ID_BYTES
    assert HEADER_NAME_BYTES_MAX == engine.MAX_HEADER_NAME_BYTES


def test_the_admin_api_knows_everything_that_the_engine_says_of_limits() -> None:
    assert set(get_args(admin_models.Limiter)) == set(engine.LIMITERS)


def test_as_many_groups_as_documented_fit_and_one_more_is_refused(
    tmp_path: Path,
) -> None:
    document = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert f"At most {engine.MAX_GROUPS} groups" in document.read_text()
    file = tmp_path / "penstock.toml"
    for number in (engine.MAX_GROUPS, engine.MAX_GROUPS + 1):
        file.write_text("\n".join(f"[groups.g{i}]" for i in range(number)))
        source = Source(file, {"ROOT": tmp_path})
        table = engine.ClientTable(rows=8)
        if number == engine.MAX_GROUPS:
            control = Control(source, source.load(), table)
            with pytest.raises(OverflowError, match="groups already"):
                control.set_group("more", NOTHING)
            assert len(table.groups()) == number
        else:
            with pytest.raises(PenstockError, match="groups do not fit"):
                Control(source, source.load(), table)


@pytest.mark.parametrize("name", sorted(limits.Limits.model_fields))
def test_settings_and_engine_agree_on_every_limit(name: str, tmp_path: Path) -> None:
    """What the settings accept, the engine accepts, and one beyond neither does."""
    if name == "max_clients":
        pytest.skip("a bound of the client table")
    default, least, most = engine.LIMITS[name]
    info = limits.Limits.model_fields[name]
    assert int(info.default) == default
    key = info.alias or name
    for value, good in (
        (least, True),
        (most, True),
        (least - 1, False),
        (most + 1, False),
    ):
        assert accepts(tmp_path, key, name, value) is good, value


def accepts(tmp_path: Path, key: str, name: str, value: int) -> bool:
    spelled = str(value)
    if name.endswith("_ns"):
        spelled = f"'{value // 1000}.{value % 1000:03d}us'"
    if name == "show_dotfiles":
        spelled = {0: "false", 1: "true"}.get(value, spelled)
    file = tmp_path / "penstock.toml"
    file.write_text(f"[limits]\n{key} = {spelled}")
    try:
        return Source(file).load(root_needed=False).limits is not None
    except PenstockError:
        return False
