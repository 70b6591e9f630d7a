"""Every way of getting a body to the socket delivers exactly that body."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import noise
from tests.serving import Server, request
from tests.tracing import failing, traced

# Around every crossover, and off the pages' grid.
SIZES = [
    0,
    1,
    4096,
    8191,
    8193,
    16384,
    16385,
    65535,
    65536,
    65537,
    131073,
    (3 << 20) + 5,
]
MODES = ["auto", "copy", "sendfile", "splice", "zerocopy"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    path = tmp_path / "files"
    path.mkdir()
    for size in SIZES:
        (path / str(size)).write_bytes(noise(size, size + 1))
    return path


def serve(
    start: Callable[..., Server], config: Callable[[str], str], files: Path, text: str
) -> Server:
    return start("--config", config(text), "--cpus", "0", root=files)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("small", [0, 16384, 1 << 22])
def test_bodies_are_whole_in_every_mode(
    start: Callable[..., Server],
    config: Callable[[str], str],
    files: Path,
    mode: str,
    small: int,
) -> None:
    text = f'[server]\ntransmit = "{mode}"\n[limits]\nsmall_file_bytes = {small}\n'
    server = serve(start, config, files, text)
    with server.client() as client:
        for size in SIZES * 2:  # from a cold cache of files, and from a warm one
            answer = client.get(f"/{size}")
            assert answer.status == 200
            assert answer.body == noise(size, size + 1), size


@pytest.mark.parametrize("mode", MODES)
def test_ranges_are_exact_in_every_mode(
    start: Callable[..., Server], config: Callable[[str], str], files: Path, mode: str
) -> None:
    server = serve(start, config, files, f'[server]\ntransmit = "{mode}"\n')
    size = SIZES[-1]
    content = noise(size, size + 1)
    with server.client() as client:
        for first, n in [
            (0, 1),
            (1, 8191),
            (4095, 8192),
            (4097, 8193),
            (77, 65536),
            (1, size - 1),
            (size - 1, 1),
            (size - 8192, 8192),
            (1 << 20, (1 << 20) + 1),
        ]:
            answer = client.get(f"/{size}", Range=f"bytes={first}-{first + n - 1}")
            assert answer.status == 206
            assert answer.body == content[first : first + n], (first, n)


@pytest.mark.parametrize("mode", MODES)
def test_a_small_receive_buffer_gets_the_whole_body(
    start: Callable[..., Server], config: Callable[[str], str], files: Path, mode: str
) -> None:
    """Every move is short then, and goes on where it was."""
    server = serve(start, config, files, f'[server]\ntransmit = "{mode}"\n')
    size = SIZES[-1]
    with server.client(rcvbuf=4096) as client:
        assert client.get(f"/{size}").body == noise(size, size + 1)


@pytest.mark.parametrize("mode", MODES)
def test_pipelined_requests_for_files_are_answered_in_order(
    start: Callable[..., Server], config: Callable[[str], str], files: Path, mode: str
) -> None:
    server = serve(start, config, files, f'[server]\ntransmit = "{mode}"\n')
    with server.client() as client:
        sender = threading.Thread(
            target=client.send, args=(b"".join(request(f"/{s}") for s in SIZES),)
        )
        sender.start()
        for size in SIZES:
            assert client.read().body == noise(size, size + 1), size
        sender.join()


@pytest.mark.parametrize("mode", MODES)
def test_file_systems_that_cannot_read_without_waiting_serve_in_every_mode(
    start: Callable[..., Server], config: Callable[[str], str], files: Path, mode: str
) -> None:
    """preadv2(2): RWF_NOWAIT is EOPNOTSUPP there."""
    server = serve(start, config, files, f'[server]\ntransmit = "{mode}"\n')
    with traced(server, *failing("preadv2", "EOPNOTSUPP")), server.client() as client:
        for size in SIZES:
            assert client.get(f"/{size}").body == noise(size, size + 1), size


def test_a_zerocopy_body_lives_until_the_network_has_let_go_of_it(
    start: Callable[..., Server],
    config: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file leaves the cache while its body is on its way to slow readers. Memory that
    is freed is overwritten at once, by glibc (mallopt(3)) or by the sanitizer."""
    fill = "max_free_fill_size=1048576:free_fill_byte=85"
    monkeypatch.setenv("MALLOC_PERTURB_", "85")
    monkeypatch.setenv("ASAN_OPTIONS", f"{os.environ.get('ASAN_OPTIONS', '')}:{fill}")
    text = """
        [server]
        transmit = "zerocopy"
        [limits]
        small_file_bytes = 131072
        cache_bytes = 131072
        """
    root = tmp_path / "alike"
    root.mkdir()
    bodies = [noise(100_000, seed) for seed in range(10)]
    for number, body in enumerate(bodies):
        (root / str(number)).write_bytes(body)
    server = serve(start, config, root, text)
    slow = [server.client(rcvbuf=16384) for _ in range(8)]
    for client in slow:
        client.send(request("/0"))
    server.wait(
        "all in the sockets",
        lambda: (
            server.total("zerocopy_sends_total") >= len(slow)
            and server.total("transfers") == 0
        ),
    )
    for number, body in enumerate(bodies[1:], 1):
        assert server.get(f"/{number}").body == body
    for client in slow:
        assert client.read().body == bodies[0]
    server.close_clients()
    server.wait("notifications", lambda: server.total("sqes_in_flight") == 0)
