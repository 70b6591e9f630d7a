"""Settings: file and flags in, one checked tree out, or every problem at once."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.loading import Source
from penstock.settings import Settings
from tests.control.files import load, problems

DIGEST = sha256(b"secret").hexdigest()
OTHER_DIGEST = sha256(b"another").hexdigest()


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = Source(None, {"ROOT": tmp_path, "--listen": None}).load()
    assert settings.server.root == tmp_path
    assert [str(a) for a in settings.server.listen] == ["127.0.0.1:8000"]
    assert str(settings.admin.listen) == "127.0.0.1:8080"
    assert settings.server.cpus is None
    assert settings.shaping.client_rate_bps is None
    assert settings.limits.max_connections == 16384


def test_every_section_of_a_file_is_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f"""
        [server]
        listen = ["0.0.0.0:80", "[::]:80"]
        cpus = "0,2-3"
        congestion = "cubic"
        drain_timeout = "2m"
        [admin]
        listen = "0.0.0.0:8080"
        token_sha256 = "{DIGEST}"
        [shaping]
        client_rate = "5MB/s"
        total_rate = 125000000
        [limits]
        idle_timeout = "30s"
        header_timeout = 2.5
        cache_bytes = "1GiB"
        show_dotfiles = true
        [telemetry]
        top_clients = 10
        [clients.user_123]
        rate = "80Mbit/s"
        token_sha256 = ["{OTHER_DIGEST}"]
        [clients."192.0.2.7"]
        """,
    )
    assert [str(a) for a in settings.server.listen] == ["0.0.0.0:80", "[::]:80"]
    assert settings.server.cpus == (0, 2, 3)
    assert settings.server.drain_timeout_ns == 120 * 10**9
    assert settings.shaping.client_rate_bps == 5_000_000
    assert settings.shaping.total_rate_bps == 125_000_000
    limits = settings.limits.for_engine()
    assert limits["idle_timeout_ns"] == 30 * 10**9
    assert limits["header_timeout_ns"] == 25 * 10**8
    assert limits["cache_bytes"] == 2**30
    assert limits["show_dotfiles"] == 1
    assert settings.telemetry.top_clients == 10
    assert settings.clients["user_123"].rate_bps == 10_000_000
    assert settings.clients["user_123"].token_sha256 == (bytes.fromhex(OTHER_DIGEST),)
    assert settings.clients["192.0.2.7"].rate_bps is None


def test_limits_reach_the_engine_as_plain_integers(tmp_path: Path) -> None:
    numbers = load(tmp_path, "").limits.for_engine()
    assert {type(value) for value in numbers.values()} == {int}
    assert "max_clients" not in numbers


def test_a_listener_overrides_what_the_server_says_of_sockets(tmp_path: Path) -> None:
    text = """
        [server]
        listen = ["127.0.0.1:1", "127.0.0.1:2"]
        congestion = "cubic"
        notsent_lowat = "128KiB"
        transmit = "sendfile"
        [listeners."127.0.0.1:2"]
        congestion = "bbr"
        nodelay = false
        busy_poll = "50us"
        """
    settings = load(tmp_path, text)
    first, second = settings.socket_options()
    assert (first.congestion, first.nodelay, first.busy_poll_ns) == ("cubic", True, 0)
    assert (second.congestion, second.nodelay) == ("bbr", False)
    assert second.busy_poll_ns == 50_000
    assert first.notsent_lowat_bytes == second.notsent_lowat_bytes == 131072
    assert settings.server.for_engine() == {"transmit": 2, "busy_poll_us": 0}


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    text = '[server]\nlisten = ["127.0.0.1:1"]\n[shaping]\nclient_rate = 1'
    settings = load(
        tmp_path, text, **{"--listen": ["127.0.0.1:2"], "--client-rate": "2B/s"}
    )
    assert str(settings.server.listen[0]) == "127.0.0.1:2"
    assert settings.shaping.client_rate_bps == 2


def test_a_relative_root_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('[server]\nroot = "public"')
    assert Source(file).load().server.root == tmp_path / "public"


def test_a_root_is_needed_to_serve_but_not_to_check(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("")
    with pytest.raises(PenstockError, match="no folder to serve"):
        Source(file).load()
    assert Source(file).load(root_needed=False).server.root is None


@pytest.mark.parametrize("root", ["''", "7", '"a\\u0000b"'])
def test_a_root_that_is_no_path_is_refused(tmp_path: Path, root: str) -> None:
    found = problems(tmp_path, f"[server]\nroot = {root}", ROOT=None)
    (line,) = found
    assert line.startswith("server.root: a path is a string that is not empty")


def test_settings_can_not_be_changed_in_place(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        settings.limits.pipes = 9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nlisten = []", "server.listen: 1 to 16 addresses"),
        (
            "[server]\nlisten = '127.0.0.1:80'",
            'server.listen: must be a list, like ["127.0.0.1:8000"]',
        ),
        (
            "[server]\nlisten = ['127.0.0.1:8080']",
            "admin: 127.0.0.1:8080 is in server.listen, too",
        ),
        ("[server]\nlisten = ['80']", "server.listen[0]: '80' is not understood"),
        ("[server]\nlisten = [80]", "server.listen[0]: an address is a string"),
        (
            "[server]\nlisten = ['127.0.0.1:80', 'localhost:80']",
            "server.listen: 127.0.0.1:80 is listed twice",
        ),
        ("[server]\ntransmit = 'fast'", "server.transmit: must be 'auto', 'copy'"),
        ("[server]\nbacklog = 0", "server.backlog: 0 is not from 1 to 65535"),
        ("[server]\nbusy_poll = '1s'", "server.busy_poll: 1s is not from 0s to 1ms"),
        (
            "[listeners.'127.0.0.1:81']",
            "listeners: 127.0.0.1:81 is not in server.listen, which has 127.0.0.1:8000",
        ),
        ("[listeners.here]", "listeners.here: 'here' is not understood"),
        (
            "[listeners.'127.0.0.1:8000']\nnodelai = true",
            "listeners.127.0.0.1:8000.nodelai: unknown key; did you mean 'nodelay'?",
        ),
        ("[server]\ncpus = '0,0'", "server.cpus: each CPU can be listed once"),
        ("[server]\ncpus = '3-1'", "server.cpus: '3-1' has no CPU: write"),
        ("[server]\ncpus = [-1]", "server.cpus: -1 is no CPU"),
        ("[server]\ncpus = [9000]", "server.cpus: 9000 is no CPU"),
        ("[server]\ncpus = []", "server.cpus: 1 to 256 CPUs"),
        ("[server]\ncpus = 'all'", "server.cpus: 'all' is not a list of CPUs"),
        ("[server]\ncpus = '0-99999999'", "server.cpus: CPUs end at"),
        ("[server]\ncpus = [true]", "server.cpus[0]: "),
        ("[server]\ncongestion = 'no such'", "server.congestion: 'no such' is not the"),
        ("[server]\ndrain_timeout = '2 days'", "server.drain_timeout: '2 days'"),
        (
            "[server]\ndrain_timeout = '2h'",
            "server.drain_timeout: 2h is not from 0s to",
        ),
        ("[server]\ndrain_timeout = -1", "server.drain_timeout: "),
        ("[server]\ndrain_timeout = nan", "server.drain_timeout: "),
        ("[admin]\nlisten = '0.0.0.0:1'", "admin.listen: 0.0.0.0:1 can be reached by"),
        ("[admin]\nlisten = '[::]:1'", "admin.listen: [::]:1 can be reached by others"),
        ("[admin]\ntoken_sha256 = 'abcd'", "admin.token_sha256: a SHA-256 has 64 hex"),
        (
            "[shaping]\nclient_rate = 0",
            "shaping.client_rate: 0 bytes per second is not",
        ),
        (
            "[shaping]\nclient_rate = true",
            "shaping.client_rate: true is not a rate; wr",
        ),
        ("[shaping]\nclient_rate = 1.5", "shaping.client_rate: 1.5 is not a rate"),
        ("[shaping]\ntotal_rate = '5mb/s'", "shaping.total_rate: '5mb/s' could mean"),
        ("[limits]\nmax_connections = 0", "limits.max_connections: 0 is not from 1 to"),
        ("[limits]\nmax_connections = true", "limits.max_connections: "),
        ("[limits]\nmax_connections = '9'", "limits.max_connections: "),
        (
            "[limits]\nsq_entries = 1000",
            "limits.sq_entries: 1000 is not a power of two",
        ),
        ("[limits]\nidle_timeout = '0s'", "limits.idle_timeout: 0s is not from 1ms to"),
        (
            "[limits]\nshow_dotfiles = 1",
            "limits.show_dotfiles: must be a valid boolean",
        ),
        (
            "[limits]\nidle_timout = 1",
            "limits.idle_timout: unknown key; did you mean 'i",
        ),
        (
            "[limits]\nidle_timeout_ns = 1",
            "limits.idle_timeout_ns: unknown key; did you",
        ),
        ("[limits]\nzzz = 1", "limits.zzz: unknown key; possible are max_clients, "),
        ("[shapping]", "shapping: unknown key; did you mean 'shaping'?"),
        ("server = 1", "server: must be a table, not 1"),
        ("[clients.a]\nrat = 1", "clients.a.rat: unknown key; did you mean 'rate'?"),
        ("[clients]\na = 1", "clients.a: must be a table, not 1"),
        ("[clients.'']", "clients.: a client id has 1 to 64 bytes"),
        ("[clients.other]", "clients.other: 'other' is reserved for the metrics"),
        (
            "[clients.'2001:db8::1']\n[clients.'2001:db8::/64']",
            "clients.2001:db8::/64: is the same client as clients.2001:db8::1",
        ),
        (
            f"[clients.a]\ntoken_sha256=['{DIGEST}']\n"
            f"[clients.b]\ntoken_sha256=['{DIGEST.upper()}']",
            "clients.b.token_sha256[0]: clients.a has the same token",
        ),
        (
            "[clients.'192.0.2.0/24']",
            "clients.192.0.2.0/24: '192.0.2.0/24' is no client",
        ),
        (
            "[clients.'2001:db8::/48']",
            "clients.2001:db8::/48: '2001:db8::/48' is no cl",
        ),
        ("[clients.'192.000.2.1']", "clients.192.000.2.1: '192.000.2.1' looks like an"),
        ("[clients.'2001:::1']", "clients.2001:::1: '2001:::1' looks like an address"),
        (
            '[clients."\\u0007"]',
            "clients.'\\x07': a client id has printable characters",
        ),
        (f"[limits]\nmax_ranges = 0x{'f' * 5000}", "limits.max_ranges: "),
        (f"[limits]\nmax_ranges = {'9' * 5000}", "not TOML: "),
        (f"[limits]\nshow_dotfiles = 0x{'f' * 5000}", "limits.show_dotfiles: "),
        ("[server]\nlisten = [", "not TOML: Invalid value (at end of document)"),
        ("[server]\n\nroot = = 1", "not TOML: Invalid value (at line 3, column 8)"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        f"""
        [server]
        lisen = ["127.0.0.1:80"]
        cpus = "x"
        [admin]
        listen = "0.0.0.0:80"
        [limits]
        pipes = 0
        max_headers = "many"
        [clients.a]
        token_sha256 = ["{DIGEST}"]
        [clients.b]
        token_sha256 = ["{DIGEST}"]
        rate = "fast"
        """,
        **{"--client-rate": "never"},
    )
    keys = {problem.partition(": ")[0] for problem in found}
    assert keys == {
        "server.lisen",
        "server.cpus",
        "admin.listen",
        "limits.pipes",
        "limits.max_headers",
        "clients.b.rate",
        "clients.b.token_sha256[0]",
        "--client-rate",
    }


def test_a_problem_never_repeats_a_token(tmp_path: Path) -> None:
    """Who writes the token where its digest belongs must not find it in a log."""
    text = (
        "[admin]\ntoken_sha256 = 'hunter2'\n[clients.a]\ntoken_sha256 = ['hunter2', 7]"
    )
    text += "\n[clients.b]\ntoken_sha256 = 'hunter2'"
    found = problems(tmp_path, text)
    assert len(found) == 4
    assert "hunter2" not in " ".join(found)


def test_a_digest_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f'[admin]\ntoken_sha256 = "{DIGEST}"\n[clients.a]\n'
        f'token_sha256 = ["{OTHER_DIGEST}"]',
    )
    shown = str(settings.public()) + repr(settings)
    for digest in (DIGEST, OTHER_DIGEST):
        assert digest not in shown
        assert repr(bytes.fromhex(digest)) not in shown
    assert settings.public()["admin"]["tokens"] == 1
    assert settings.public()["clients"]["a"]["tokens"] == 1


def test_shown_settings_load_as_the_same_settings(tmp_path: Path) -> None:
    text = "[limits]\nidle_timeout = '1500ms'\n[shaping]\nclient_rate = '40Mbit/s'"
    settings = load(tmp_path, text)
    shown = settings.public()
    assert shown["limits"]["idle_timeout"] == "1500ms"
    assert shown["shaping"]["client_rate"] == "5MB/s"
    for counted in ("tokens", "alertmanager_tokens"):
        shown["admin"].pop(counted)
    assert Settings.model_validate(shown) == settings


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"[server]\n# \xff", r"not UTF-8 \(at line 2\)"),
        (b"a = " + b"[" * 5000, "not TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_refused(
    tmp_path: Path, raw: bytes, problem: str
) -> None:
    file = tmp_path / "penstock.toml"
    file.write_bytes(raw)
    with pytest.raises(PenstockError, match=problem):
        Source(file).load()


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(PenstockError, match=f"{file}: can not be read"):
            Source(file).load()


def test_a_client_twice_is_told_beside_other_problems(tmp_path: Path) -> None:
    text = "[clients.'2001:db8::1']\n[clients.'2001:db8::2']\nrate = 0"
    assert len(problems(tmp_path, text)) == 2


def test_names_that_are_no_addresses_are_fine(tmp_path: Path) -> None:
    names = ["a:b c", "v1.2.3", "10", "team/ci", "x::y z", "1.2.3.4.5"]
    names += ["aa:bb:cc:dd:ee:ff", "fe:ed:worker", "a:b/1", "2024/11", "10.0.0.1/x"]
    text = "\n".join(f"[clients.'{name}']" for name in names)
    assert list(load(tmp_path, text).clients) == names


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "penstock.toml"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    with pytest.raises(PenstockError, match="it is not a regular file"):
        Source(path).load()
