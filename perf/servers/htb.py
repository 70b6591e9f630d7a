"""nginx without a limit, and the kernel's HTB (tc-htb(8)) behind it.

The server is in a network namespace of its own, and what it sends leaves through one
end of a pair of virtual Ethernet devices with Ethernet's own packets. There a router
would shape, too; on loopback a packet is 64 KiB, many seconds of a slow download. Each
address has a class, found by a BPF program in constant time however many there are.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from perf.errors import PerfError
from perf.servers.base import (
    Launch,
    Running,
    Setup,
    find_program,
    first_line,
    repository_environment,
)
from perf.servers.nginx import Nginx

DEVICE = "perf1"  # the server's end
SERVER_HOST = "10.255.0.2"
READERS = "10.254"
CLASSES_MAX = 0xFFFE  # a class has 16 bits; one is their parent's
PARENT = 0xFFFF
PACKET_BYTES, SEGMENT_BYTES = 1514, 1448
"""On the wire with all headers, which HTB counts, and of a body within that."""
PIECES_PER_SECOND = 40
SLOW_PIECES_PER_SECOND = 4
SLOW_PIECE_BYTES = 6 * SEGMENT_BYTES
"""How long the pieces are that segmentation offload hands to the device: as even as
penstock's quanta. Left alone they have 64 KiB, and the jitter of 1 MiB/s is 31 % (100
ms slots), not 10 %. Slow downloads get longer ones than that would make: 2,000 of 100
KiB/s in pieces of two packets took more than a core."""
TOTAL_BURSTS_PER_SECOND = 100
"""What all classes together may make up for, when a timer came late: 10 ms. With tc's
least, one packet, 5 % of a total were lost while something was lent."""
_OFFLOAD_BYTES_MAX = 65_536
QUANTUM_BYTES_MAX = 60_000  # tc warns above 200,000 and below a packet


@dataclass(frozen=True, slots=True)
class ShapedClass:
    """One class of the tree: of an address, by its index, or the parent of all."""

    minor: int
    parent: int  # 0: the root
    rate_bps: int  # of bodies
    ceil_bps: int
    quantum_bytes: int = PACKET_BYTES
    burst_bytes: int = 0  # 0: tc's least, which is the smoothest

    def words(self, action: str = "add") -> str:
        """A line for tc -batch."""
        parent = f"1:{self.parent:x}" if self.parent else "1:"
        rate, ceil = wire_bits(self.rate_bps), wire_bits(self.ceil_bps)
        return (
            f"class {action} dev {DEVICE} parent {parent} classid 1:{self.minor:x} "
            f"htb rate {rate}bit ceil {ceil}bit quantum {self.quantum_bytes}"
            + f" burst {self.burst_bytes} cburst {self.burst_bytes}"
            * bool(self.burst_bytes)
        )


def wire_bits(body_bps: int) -> int:
    """Bits per second with headers, for that many bytes per second of bodies."""
    return -(-8 * body_bps * PACKET_BYTES // SEGMENT_BYTES)


def offload_bytes(setup: Setup) -> int:
    """Length of what TCP hands to the device at once."""
    rates = [client.rate_bps for client in setup.clients if client.rate_bps]
    rate_bps = setup.download_bps or min(rates, default=0)
    if not rate_bps:
        return _OFFLOAD_BYTES_MAX
    slow = min(SLOW_PIECE_BYTES, rate_bps // SLOW_PIECES_PER_SECOND)
    piece = max(2 * PACKET_BYTES, rate_bps // PIECES_PER_SECOND, slow)
    return min(_OFFLOAD_BYTES_MAX, piece)


def classes(setup: Setup) -> Iterator[ShapedClass]:
    """The tree for a set-up: a class for each address of the readers, in their order.

    With a total, every class is guaranteed its share by weight and may borrow all; what
    is lent is divided by weight, too (the quantum).
    """
    if setup.total_bps is None:
        rates = [client.rate_bps for client in setup.clients]
        if setup.download_bps is not None:
            rates = [setup.download_bps] * min(setup.connections, CLASSES_MAX)
        for index, rate_bps in enumerate(rates):
            yield ShapedClass(index + 1, 0, rate_bps, rate_bps)
        return
    total_bps = setup.total_bps
    burst_bytes = total_bps // TOTAL_BURSTS_PER_SECOND
    yield ShapedClass(PARENT, 0, total_bps, total_bps, burst_bytes=burst_bytes)
    weights = [client.weight or 1 for client in setup.clients]
    for index, weight in enumerate(weights):
        share_bps = total_bps * weight // sum(weights)
        quantum = QUANTUM_BYTES_MAX * weight // max(weights)
        yield ShapedClass(
            index + 1, PARENT, share_bps, total_bps, max(PACKET_BYTES, quantum)
        )


class NginxHtb:
    """Left out where a namespace, HTB or the classifier is not to be had."""

    name = "nginx-htb"

    def __init__(self) -> None:
        self._nginx = Nginx()

    def version(self) -> str | None:
        program = find_program("tc")
        if program is None or self._nginx.version() is None:
            return None
        return f"{first_line([program, '-V']).split('-')[-1].strip()} + nginx"

    def unfit(self, setup: Setup) -> str | None:
        if shutil.which("nsenter") is None:
            return "nsenter (util-linux) is not installed"
        addresses = len(setup.clients)
        if addresses > CLASSES_MAX:
            return f"HTB has at most {CLASSES_MAX} classes"
        return None

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        """By way of ``perf.servers.apps.behind_htb``, which makes the namespace."""
        unlimited = replace(setup, download_bps=None, host=SERVER_HOST)
        launch = self._nginx.launch(unlimited, port, folder)
        order = folder / "htb.json"
        found = [asdict(found) for found in classes(setup)]
        fields = {"classes": found, "argv": list(launch.argv)}
        fields["offload_bytes"] = offload_bytes(setup)
        order.write_text(json.dumps(fields))
        return Launch(
            [sys.executable, "-m", "perf.servers.apps.behind_htb", str(order)],
            env=repository_environment(),
            host=SERVER_HOST,
            readers=READERS,
        )


def change(server: Running, shaped: Sequence[ShapedClass]) -> None:
    """Change classes of a server that runs.

    Raises:
        PerfError: tc did not.
    """
    nsenter = ["nsenter", f"--net=/proc/{server.pid}/ns/net", "--"]
    lines = "".join(f"{found.words('change')}\n" for found in shaped)
    done = subprocess.run(
        [*nsenter, find_program("tc") or "tc", "-batch", "-"],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PerfError(f"tc failed: {done.stderr.strip()}")
