"""Makes docs/live.png: ``python -m tests.live.screenshot docs/live.png``.

A real server with downloads that are limited for several reasons, three minutes later.
"""

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from tests.live.browser import WIDTH, browser
from tests.serving import Server, request, running

FILE_BYTES = 64 << 20
CHANGES = {"alice": 4_000_000, "model-mirror": 6_000_000, "nightly": 2_000_000}
BETWEEN_S = 45
HEIGHT = 870
CLIENTS = {  # id: connections, its section
    "build-farm": (6, 'group = "ci"\nrate = "12MB/s"'),
    "nightly": (2, 'group = "ci"\nrate = "8MB/s"'),
    "model-mirror": (3, 'rate = "9MB/s"'),
    "alice": (1, 'rate = "2MB/s"'),
    "bob": (1, 'rate = "1MB/s"'),
}
SETTINGS = """
[shaping]
total_rate = "24MB/s"
[groups.ci]
rate = "10MB/s"
[[schedules]]
applies_to = ["client:bob"]
rate = "600kB/s"
"""


def settings() -> str:
    sections = [
        f"[clients.{name}]\n{said}\n"
        f'token_sha256 = ["{sha256(name.encode()).hexdigest()}"]\n'
        for name, (_, said) in CLIENTS.items()
    ]
    return SETTINGS + "\n".join(sections)


def drain(server: Server, name: str) -> None:
    """One connection that downloads until the server ends."""
    ask = request("/image.bin", authorization=f"Bearer {name}")
    scratch = bytearray(1 << 18)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(ask * 50)
        while sock.recv_into(scratch):
            pass


@contextmanager
def busy_server(folder: Path) -> Iterator[Server]:
    root = folder / "root"
    root.mkdir()
    with (root / "image.bin").open("wb") as file:
        file.truncate(FILE_BYTES)
    config = folder / "penstock.toml"
    config.write_text(settings())
    with running(root, folder, "--config", str(config)) as server:
        for name, (connections, _) in CLIENTS.items():
            for _ in range(connections):
                threading.Thread(target=drain, args=(server, name), daemon=True).start()
        yield server


def main(target: str) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(busy_server(folder))
        chrome = stack.enter_context(browser(folder / "profile"))
        chrome.get(server.admin + "/")
        chrome.set_window_size(WIDTH, HEIGHT)
        for name, rate_bps in CHANGES.items():
            time.sleep(BETWEEN_S)
            server.ask("/config", {"client_id": name, "target_bps": rate_bps})
        time.sleep(BETWEEN_S)
        chrome.save_screenshot(target)


if __name__ == "__main__":
    main(sys.argv[1])
