import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from perf import process
from perf.cpu import parents
from perf.errors import PerfError
from perf.servers import KINDS, Client, Kind, Setup, running
from perf.servers.base import free_port, open_files, serves
from perf.servers.haproxy import BODY_BYTES_MAX, Haproxy
from perf.servers.lighttpd import Lighttpd
from perf.servers.nginx import SENDFILE_FROM_BYTES, Nginx
from perf.servers.penstock import config

PYTHON_PEERS = ("granian", "uvicorn", "aiohttp")
PEERS = [kind for name, kind in KINDS.items() if name != "penstock"]


def setup(root: Path, body_bytes: int = 1024) -> Setup:
    root.chmod(0o755)
    return Setup(root, [min(os.sched_getaffinity(0))], body_bytes=body_bytes)


def test_penstock_config_holds_limits_and_digests_but_no_token() -> None:
    text = config([Client("a", "secret", 5_000_000), Client("b", "other", 7)])
    assert "secret" not in text
    assert tomllib.loads(text)["clients"] == {
        "a": {
            "rate": "5000000",
            "token_sha256": [hashlib.sha256(b"secret").hexdigest()],
        },
        "b": {"rate": "7", "token_sha256": [hashlib.sha256(b"other").hexdigest()]},
    }


def test_nginx_uses_sendfile_from_the_measured_size_on(tmp_path: Path) -> None:
    small = Nginx().config(setup(tmp_path, SENDFILE_FROM_BYTES - 1), 1, tmp_path)
    large = Nginx().config(setup(tmp_path, SENDFILE_FROM_BYTES), 1, tmp_path)
    assert "sendfile off;" in small
    assert "sendfile on;" in large


def test_peers_ask_for_no_more_open_files_than_the_hard_limit(tmp_path: Path) -> None:
    most = open_files(2**40)
    many = Setup(tmp_path, [0], connections=2**40)
    assert f"worker_rlimit_nofile {most};" in Nginx().config(many, 1, tmp_path)
    assert f"server.max-fds = {most}\n" in Lighttpd().config(many, 1, tmp_path)


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_peer_serves_the_folder_and_is_gone_afterwards(
    kind: Kind, tmp_path: Path
) -> None:
    if kind.version() is None:
        extra = " (extra bench)" if kind.name in PYTHON_PEERS else ""
        pytest.skip(f"{kind.name} is not installed{extra}")
    (tmp_path / "f.bin").write_bytes(b"x" * 1024)
    with running(kind, setup(tmp_path), "f.bin") as server:
        members = [server.pid, *children(server.pid)]
        assert serves(server.port, "f.bin")
        assert not serves(server.port, "missing.bin")
    assert not serves(server.port, "f.bin")
    assert gone(members)


def test_haproxy_is_left_out_of_what_does_not_fit_into_its_memory(
    tmp_path: Path,
) -> None:
    fits, too_large = (
        setup(tmp_path, size) for size in (BODY_BYTES_MAX, BODY_BYTES_MAX + 1)
    )
    assert Haproxy().unfit(fits) is None
    with (
        pytest.raises(PerfError, match="left out: it is no file server"),
        running(Haproxy(), too_large, "f.bin"),
    ):
        pass


def test_haproxy_answers_for_the_files_of_the_size_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x" * 1024)
    (tmp_path / "b.bin").write_bytes(b"x" * 2048)
    text = Haproxy().config(setup(tmp_path, 1024), 1)
    assert "path /a.bin" in text
    assert "b.bin" not in text


def test_nginx_keeps_no_more_files_open_than_it_may(tmp_path: Path) -> None:
    many = Setup(tmp_path, [0], connections=64, files=10**9)
    found = re.search(r"open_file_cache max=(\d+)", Nginx().config(many, 1, tmp_path))
    assert found is not None
    assert int(found[1]) <= min(16384, open_files(10**9) - 128)


def test_an_answer_without_a_body_does_not_count_as_serving() -> None:
    """A server that does not know the host may say 200 and nothing."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        assert not serves(listener.getsockname()[1], "f.bin")
        thread.join()


def children(pid: int) -> list[int]:
    return [child for child, parent in parents().items() if parent == pid]


def test_a_server_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = [sys.executable, "-c", "raise SystemExit('no such folder')"]
    with (
        process.child(argv, cpus=os.sched_getaffinity(0), log=log) as child,
        pytest.raises(PerfError, match="no such folder"),
    ):
        process.wait_until_ready(child, lambda: False, seconds=20.0, log=log)


def test_a_child_that_ignores_sigterm_and_its_own_child_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.05)
    ready = tmp_path / "ready"
    code = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork(): pathlib.Path(sys.argv[1]).write_text('')\n"
        "time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", code, str(ready)]
    log = tmp_path / "log"
    with process.child(argv, cpus=os.sched_getaffinity(0), log=log) as child:
        process.wait_until_ready(child, ready.exists, seconds=20.0, log=log)
        members = [child.pid, *children(child.pid)]
        assert len(members) == 2
    assert gone(members)


def gone(members: list[int], seconds: float = 5.0) -> bool:
    """``running`` sends SIGKILL last; a grandchild may take a moment to die."""
    deadline = time.monotonic() + seconds
    while alive(members) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(members)


def alive(pids: list[int]) -> list[int]:
    """Those that are more than waiting for the init process to notice their end."""
    found = []
    for pid in pids:
        with suppress(FileNotFoundError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] not in "ZX":
                found.append(pid)
    return found


def test_free_port_can_be_bound() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass


def test_namespace_pins_the_congestion_control_without_touching_the_machine() -> None:
    code = (
        "from perf import namespace\n"
        "reason = namespace.enter(['reno', 'cubic'])\n"
        "print(reason or namespace.effective_congestion_control())\n"
        "if reason is None:\n"
        "    namespace.pin('cubic')\n"
        "    print(namespace.effective_congestion_control())"
    )
    system = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root
    )
    if "not permitted" in done.stdout or "not installed" in done.stdout:
        pytest.skip(done.stdout.strip())
    assert done.stdout.split() == ["reno", "cubic"], done.stderr
    assert Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text() == system
