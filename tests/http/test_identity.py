"""Whose request it is: tokens, headers of trusted proxies, networks, addresses."""

from __future__ import annotations

import hashlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Client, Server, request

PROXY, SECOND_PROXY, STRANGER = "127.0.0.9", "127.0.0.10", "127.0.0.2"
TRUST = f'trusted_proxies = ["{PROXY}", "{SECOND_PROXY}"]\n'
HEADER = 'header = "X-Client-ID"\n'


def token(word: str) -> str:
    return f'token_sha256 = ["{hashlib.sha256(word.encode()).hexdigest()}"]\n'


class Peer(Client):
    """A connection from an address of our choice."""

    def __init__(self, server: Server, source: str) -> None:
        self.sock = socket.create_connection(
            ("127.0.0.1", server.port), timeout=10, source_address=(source, 0)
        )
        self.buffer = b""


def ask(server: Server, source: str, *lines: str) -> None:
    """One request with these header lines."""
    with Peer(server, source) as peer:
        send(peer, *lines)


def send(peer: Client, *lines: str) -> None:
    head = request("/hello.txt").decode().removesuffix("\r\n")
    peer.send((head + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode())
    assert peer.read().status == 200


def requests(server: Server) -> dict[str, int]:
    """Of each client that had any."""
    rows: list[dict[str, Any]] = server.ask("/clients?limit=1000")["clients"]
    return {r["client_id"]: r["requests_total"] for r in rows if r["requests_total"]}


@pytest.fixture
def serve(
    start: Callable[..., Server], config: Callable[[str], str]
) -> Callable[[str], Server]:
    return lambda text: start("--config", config(text))


SPOOFS = (
    "X-Client-ID: ann",
    "X-Forwarded-For: 192.0.2.1",
    "Forwarded: for=192.0.2.1",
)


def test_nobody_is_believed_who_is_not_trusted(
    serve: Callable[[str], Server],
) -> None:
    server = serve(f"[identity]\n{TRUST}{HEADER}[clients.ann]\nrate = 7\n")
    for spoof in SPOOFS:
        ask(server, STRANGER, spoof)
    ask(server, STRANGER, *SPOOFS)
    assert requests(server) == {STRANGER: 4}
    assert server.total("forwarded_ignored_total") == 0


def test_by_default_nobody_is_trusted(server: Server) -> None:
    before = requests(server).get("127.0.0.77", 0)
    ask(server, "127.0.0.77", *SPOOFS)
    assert requests(server)["127.0.0.77"] == before + 1
    assert "192.0.2.1" not in requests(server)


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1:4711"], "192.0.2.1"),
        (["X-Forwarded-For: 6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: rubbish, 192.0.2.1"], "192.0.2.1"),
        ([f"X-Forwarded-For: 6.6.6.6, 192.0.2.1, {SECOND_PROXY}"], "192.0.2.1"),
        (["X-Forwarded-For: 2001:db8:0:1:aa::1"], "2001:db8:0:1::/64"),
        (["Forwarded: for=192.0.2.1"], "192.0.2.1"),
        (['Forwarded: For="[2001:db8:0:1::7]:80";proto=http'], "2001:db8:0:1::/64"),
        ([f"Forwarded: for=6.6.6.6, for=192.0.2.1;by=_x, for={PROXY}"], "192.0.2.1"),
        (["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
    ],
)
def test_a_trusted_proxy_says_whom_it_serves(
    serve: Callable[[str], Server], lines: list[str], client: str
) -> None:
    server = serve(f"[identity]\n{TRUST}")
    ask(server, PROXY, *lines)
    assert requests(server) == {client: 1}
    assert server.total("forwarded_ignored_total") == 0


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: rubbish"],
        ["X-Forwarded-For: 192.0.2.1, unknown"],
        ["Forwarded: for=192.0.2.1, for=_hidden"],
        ["Forwarded: for=192.0.2.1:80"],
        ["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2"],
        ["Forwarded: for=unknown", "X-Forwarded-For: 192.0.2.2"],
    ],
)
def test_what_says_nothing_usable_is_counted_and_the_proxy_is_the_client(
    serve: Callable[[str], Server], lines: list[str]
) -> None:
    server = serve(f"[identity]\n{TRUST}")
    ask(server, PROXY, *lines)
    assert requests(server) == {PROXY: 1}
    assert server.total("forwarded_ignored_total") == 1


@pytest.mark.parametrize(
    ("mode", "client"),
    [
        ("forwarded", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.2"),
        ("none", PROXY),
    ],
)
def test_only_the_field_that_the_proxy_sets_is_read(
    serve: Callable[[str], Server], mode: str, client: str
) -> None:
    server = serve(f'[identity]\n{TRUST}forwarded = "{mode}"\n')
    ask(server, PROXY, "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2")
    assert requests(server) == {client: 1}


def test_a_trusted_proxy_names_the_client(serve: Callable[[str], Server]) -> None:
    server = serve(
        f'[identity]\n{TRUST}{HEADER}[clients.ann]\nrate = "1MB/s"\n'
        '[clients."192.0.2.5"]\nrate = "2MB/s"\n'
    )
    ask(server, PROXY, "x-client-id: ann")
    ask(server, PROXY, "X-Client-ID:  bücher ")
    ask(server, PROXY, "X-Client-ID: 192.0.2.5", "X-Forwarded-For: 192.0.2.1")
    assert requests(server) == {"ann": 1, "bücher": 1, "192.0.2.5": 1}
    rows = {r["client_id"]: r for r in server.ask("/clients")["clients"]}
    assert rows["ann"]["target_bps"] == 10**6
    assert rows["192.0.2.5"]["target_bps"] == 2 * 10**6
    assert rows["bücher"]["source"] == "default"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["X-Client-ID:"],
        ["X-Client-ID: " + "x" * 65],
        ["X-Client-ID: a\tb"],
        ["X-Client-ID: other"],
        ["X-Client-ID: (overflow)"],
        ["X-Client-ID: ann", "X-Client-ID: bob"],
        ["X-Client-ID-2: ann"],
    ],
)
def test_an_unusable_name_names_nobody(
    serve: Callable[[str], Server], lines: list[str]
) -> None:
    server = serve(f"[identity]\n{TRUST}{HEADER}")
    ask(server, PROXY, *lines, "X-Forwarded-For: 192.0.2.1")
    assert requests(server) == {"192.0.2.1": 1}


ORDERS = {
    '"token", "header", "network"': "tok",
    '"header", "token", "network"': "ann",
    '"network", "token", "header"': "net",
    '"network", "address"': "net",
    '"token", "address"': "tok",
    '"address"': "192.0.2.1",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_first_method_that_finds_somebody_decides(
    serve: Callable[[str], Server], order: str
) -> None:
    header = HEADER if "header" in order else ""
    server = serve(
        f"[identity]\norder = [{order}]\n{TRUST}{header}"
        f'[clients.tok]\n{token("t")}[clients.net]\nnetworks = ["192.0.2.0/24"]\n'
    )
    lines = ["X-Client-ID: ann", "X-Forwarded-For: 192.0.2.1"]
    ask(server, PROXY, "Authorization: Bearer t", *lines)
    assert requests(server) == {ORDERS[order]: 1}


def test_methods_that_find_nobody_leave_it_to_the_next(
    serve: Callable[[str], Server],
) -> None:
    server = serve(
        f"[identity]\n{TRUST}{HEADER}[clients.net]\nnetworks = "
        '["192.0.2.0/24", "127.0.0.64/26"]\n'
    )
    ask(server, PROXY, "Authorization: Bearer nobody", "X-Forwarded-For: 192.0.2.1")
    ask(server, PROXY, "X-Forwarded-For: 198.51.100.1")
    ask(server, "127.0.0.65")
    ask(server, "127.0.0.66", "Authorization: Basic xyz")
    ask(server, PROXY)
    assert requests(server) == {"net": 3, "198.51.100.1": 1, PROXY: 1}


def test_a_network_is_one_client_and_the_longest_prefix_wins(
    serve: Callable[[str], Server],
) -> None:
    server = serve(
        '[clients.all]\nnetworks = ["127.0.0.0/8"]\nrate = "1MB/s"\n'
        '[clients.some]\nnetworks = ["127.0.1.0/24", "::/0"]\n'
    )
    for source in ("127.0.0.5", "127.0.0.6", "127.3.0.1"):
        ask(server, source)
    ask(server, "127.0.1.7")
    assert requests(server) == {"all": 3, "some": 1}


def reload(server: Server, path: Path, text: str, done: Callable[[], bool]) -> None:
    path.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    server.wait("the reload", done)


def test_a_reload_changes_who_is_believed_on_open_connections(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve(f"[identity]\n{TRUST}{HEADER}")
    path = tmp_path / "penstock.toml"
    version = server.status()["config_version"]

    def changed() -> bool:
        return bool(server.status()["config_version"] > version)

    with Peer(server, PROXY) as peer:
        send(peer, "X-Client-ID: ann")
        reload(server, path, f'[identity]\n{TRUST}header = "X-User"\n', changed)
        send(peer, "X-Client-ID: bob", "X-User: eve")
        version += 1
        reload(server, path, "[clients.net]\nnetworks = ['127.0.0.8/30']\n", changed)
        send(peer, "X-Client-ID: bob", "X-User: bob", "X-Forwarded-For: 192.0.2.1")
        version += 1
        reload(server, path, f"[identity]\n{TRUST}", changed)
        send(peer, "X-Forwarded-For: 192.0.2.1")
    assert requests(server) == {"ann": 1, "eve": 1, "net": 1, "192.0.2.1": 1}


def test_a_bad_network_leaves_the_identity_as_it_was(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve(f"[identity]\n{TRUST}")
    (tmp_path / "penstock.toml").write_text('[identity]\ntrusted_proxies = ["x"]\n')
    server.process.send_signal(signal.SIGHUP)
    server.wait("the reason", lambda: "not a network" in server.log.read_text())
    ask(server, PROXY, "X-Forwarded-For: 192.0.2.1")
    assert requests(server) == {"192.0.2.1": 1}


def test_a_full_table_gives_the_row_of_who_was_idle_longest(
    serve: Callable[[str], Server],
) -> None:
    server = serve("[limits]\nmax_clients = 4\n[clients.ann]\nrate = 7\n")
    with Peer(server, "127.0.0.11") as open_connection:
        send(open_connection)
        for last in (12, 13, 12, 14, 15):
            ask(server, f"127.0.0.{last}")
            # Its row is given back when the server has seen the end of the connection.
            server.wait("the end", lambda: server.total("connections") == 1)
        send(open_connection)
        assert requests(server) == {
            "127.0.0.11": 2,
            "127.0.0.14": 1,
            "127.0.0.15": 1,
        }
        assert "ann" in {r["client_id"] for r in server.ask("/clients")["clients"]}


def test_a_table_whose_rows_are_all_in_use_shares_one_row(
    serve: Callable[[str], Server],
) -> None:
    server = serve("[limits]\nmax_clients = 2\n")
    with Peer(server, "127.0.0.11") as first, Peer(server, "127.0.0.12") as second:
        send(first)
        send(second)
        ask(server, "127.0.0.13")
        ask(server, "127.0.0.14")
        assert requests(server) == {
            "127.0.0.11": 1,
            "127.0.0.12": 1,
            "(overflow)": 2,
        }
    server.wait("the end", lambda: server.total("connections") == 0)
    ask(server, "127.0.0.13")
    assert requests(server)["127.0.0.13"] == 1


def groups(server: Server) -> dict[str, str | None]:
    rows: list[dict[str, Any]] = server.ask("/clients?limit=1000")["clients"]
    return {row["client_id"]: row["group"] for row in rows}


def test_clients_from_a_groups_network_belong_to_it(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    office = '[groups.office]\nnetworks = ["127.0.0.32/27", "192.0.2.0/24"]\n'
    lab = '[groups.lab]\nrate = "1MB/s"\nnetworks = ["127.0.0.40/29"]\n'
    server = serve(f"[identity]\n{TRUST}{office}{lab}")
    for source in ("127.0.0.33", "127.0.0.41", STRANGER):
        ask(server, source)
    ask(server, PROXY, "X-Forwarded-For: 192.0.2.1")
    expected = {
        "127.0.0.33": "office",
        "127.0.0.41": "lab",
        STRANGER: None,
        "192.0.2.1": "office",
        PROXY: None,
    }
    assert groups(server) == expected
    done = lambda: groups(server)["127.0.0.41"] == "office"  # noqa: E731
    reload(server, tmp_path / "penstock.toml", office, done)
    assert groups(server) == {**expected, "127.0.0.41": "office"}
    ask(server, "127.0.0.42")
    assert groups(server)["127.0.0.42"] == "office"


def test_connections_count_for_their_address_and_transfers_for_who_is_named(
    serve: Callable[[str], Server],
) -> None:
    server = serve(f"[clients.ann]\nrate = 1000\n{token('secret')}")

    def counts(client_id: str) -> tuple[int, int]:
        row = server.ask(f"/clients/{client_id}")
        return row["connections"], row["transfers"]

    with Peer(server, STRANGER) as peer:
        peer.send(request("/big", authorization="Bearer secret"))
        server.wait("the transfer", lambda: counts("ann") == (0, 1))
        assert counts(STRANGER) == (1, 0)
        peer.reset()


def test_rows_are_let_go_when_connections_end(
    serve: Callable[[str], Server],
) -> None:
    server = serve(f"[identity]\n{TRUST}{HEADER}")
    for n in range(20):
        ask(server, PROXY, f"X-Client-ID: c{n}", f"X-Forwarded-For: 192.0.2.{n}")
        ask(server, PROXY, f"X-Forwarded-For: 192.0.2.{n}")

    def held() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = server.ask("/clients?limit=1000")["clients"]
        return [row for row in rows if row["connections"] or row["transfers"]]

    server.wait("nothing held", lambda: not held())
    assert len(requests(server)) == 40
