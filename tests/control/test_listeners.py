"""Listening sockets: shared by our engines, and by nobody else."""

import socket
from pathlib import Path

import pytest

from penstock.addresses import Address, parse_address
from penstock.errors import PenstockError
from penstock.listeners import congestion_controls, open_listeners, open_single
from penstock.sockets import SocketOptions

ANY_PORT = parse_address("127.0.0.1:0")


def options(**keys: object) -> SocketOptions:
    return SocketOptions.model_validate(keys)


def close(sockets: list[list[socket.socket]]) -> None:
    for own in sockets:
        for listener in own:
            listener.close()


def test_every_engine_listens_on_every_address() -> None:
    bound, sockets = open_listeners([ANY_PORT, parse_address("[::1]:0")], engines=3)
    try:
        assert [len(own) for own in sockets] == [2, 2, 2]
        for own in sockets:
            assert [s.getsockname()[1] for s in own] == [a.port for a in bound]
            assert [s.family for s in own] == [socket.AF_INET, socket.AF_INET6]
        assert all(address.port for address in bound)
        assert bound[0].port != bound[1].port
    finally:
        close(sockets)


def test_listeners_never_block_and_send_at_once() -> None:
    _, sockets = open_listeners([ANY_PORT], engines=1)
    listener = sockets[0][0]
    try:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        close(sockets)


def test_ipv6_does_not_take_the_ipv4_port() -> None:
    bound, sockets = open_listeners([parse_address("[::]:0")], engines=1)
    try:
        same_port = Address(parse_address("0.0.0.0:0").ip, bound[0].port)
        close(open_listeners([same_port], engines=1)[1])
    finally:
        close(sockets)


@pytest.mark.parametrize("reuse_port", [0, 1])
def test_a_port_in_use_is_refused_even_when_its_owner_would_share(
    reuse_port: int,
) -> None:
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        address = ANY_PORT.with_port(owner.getsockname()[1])
        with pytest.raises(PenstockError, match=f"{address}: the port is in use"):
            open_listeners([address], engines=2)
        with pytest.raises(PenstockError, match="the port is in use"):
            open_single(address)


def test_a_port_is_free_again_after_a_refusal() -> None:
    """The first address must not stay bound when the second can not be had."""
    with socket.socket() as owner, socket.socket() as free:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        free.bind(("127.0.0.1", 0))
        wanted = ANY_PORT.with_port(free.getsockname()[1])
        free.close()
        taken = ANY_PORT.with_port(owner.getsockname()[1])
        with pytest.raises(PenstockError):
            open_listeners([wanted, taken], engines=2)
        open_single(wanted).close()


def test_a_connection_that_lingers_does_not_keep_the_port() -> None:
    """A restart finds connections of the last run in TIME_WAIT."""
    first = open_single(ANY_PORT)
    address = ANY_PORT.with_port(first.getsockname()[1])
    with socket.create_connection(("127.0.0.1", address.port)) as client:
        first.setblocking(True)
        served, _ = first.accept()
        served.close()
        assert client.recv(1) == b""
    first.close()
    close(open_listeners([address], engines=2)[1])


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(PenstockError, match="does not have that address"):
        open_listeners([parse_address("192.0.2.1:0")], engines=1)


def test_the_wanted_congestion_control_is_set_on_every_listener() -> None:
    name = congestion_controls("allowed")[0]
    _, sockets = open_listeners(
        [ANY_PORT], engines=2, options=[options(congestion=name)]
    )
    try:
        for (listener,) in sockets:
            raw = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert raw.rstrip(b"\0").decode() == name
    finally:
        close(sockets)


def test_an_unknown_congestion_control_is_refused_with_the_known_ones() -> None:
    known = congestion_controls("available")[0]
    with pytest.raises(PenstockError, match=f"'nosuch' is not in .*{known}"):
        open_listeners([ANY_PORT], engines=1, options=[options(congestion="nosuch")])


def test_each_address_gets_its_own_options_and_its_connections_inherit_them() -> None:
    own = [options(nodelay=False, notsent_lowat=131072, backlog=7), options()]
    bound, sockets = open_listeners([ANY_PORT, ANY_PORT], engines=1, options=own)
    try:
        for listener, address, nodelay, lowat in [
            (sockets[0][0], bound[0], 0, 131072),
            (sockets[0][1], bound[1], 1, None),
        ]:
            with socket.create_connection((str(address.ip), address.port)):
                accepted, _ = listener.accept()
                with accepted:
                    tcp = socket.IPPROTO_TCP
                    assert bool(accepted.getsockopt(tcp, socket.TCP_NODELAY)) == nodelay
                    found = accepted.getsockopt(tcp, socket.TCP_NOTSENT_LOWAT)
                    assert lowat is None or found == lowat
    finally:
        close(sockets)


@pytest.mark.parametrize("wanted", [False, True])
def test_accepting_is_deferred_where_that_is_wanted(wanted: bool) -> None:
    _, sockets = open_listeners(
        [ANY_PORT], engines=1, options=[options(defer_accept=wanted)]
    )
    try:
        tcp = socket.IPPROTO_TCP
        seconds = sockets[0][0].getsockopt(tcp, socket.TCP_DEFER_ACCEPT)
        assert (seconds > 0) == wanted
    finally:
        close(sockets)


def test_busy_polling_that_is_not_permitted_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock.listeners._SO_BUSY_POLL", 9999)  # nobody may set it
    with pytest.raises(PenstockError, match=r"busy_poll: .*CAP_NET_ADMIN"):
        open_listeners([ANY_PORT], engines=1, options=[options(busy_poll="50us")])


def test_busy_polling_is_set_in_microseconds() -> None:
    try:
        _, sockets = open_listeners(
            [ANY_PORT], engines=1, options=[options(busy_poll="50us")]
        )
    except PenstockError as error:
        pytest.skip(str(error))
    try:
        assert sockets[0][0].getsockopt(socket.SOL_SOCKET, 46) == 50
    finally:
        close(sockets)


def test_an_unreadable_list_of_congestion_controls_is_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("penstock.listeners._SYSCTL", tmp_path)
    assert congestion_controls("allowed") == []
