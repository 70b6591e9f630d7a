"""Becomes a server in a network namespace of its own, behind HTB: ``python -m … FILE``.

FILE is what ``perf.servers.htb`` wrote. The namespace ends with the server, and with it
both devices.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from perf.namespace import effective_congestion_control
from perf.servers.base import find_program
from perf.servers.htb import DEVICE, READERS, SERVER_HOST, ShapedClass

OUTSIDE_DEVICE, OUTSIDE_HOST, PREFIX = "perf0", "10.255.0.1", 30
_CLONE_NEWNET = 0x40000000
MTU_BYTES = 1500
# What has no body passes at once: a handshake would wait behind a class's bulk. Of the
# rest, the last two bytes of the destination, plus one, are the class: of qdisc 1.
CLASSIFIER = (
    (0x80, 0, 0, 0x00000000),  # ld  length
    (0x25, 1, 0, 0x00000064),  # jgt 100, over the next
    (0x06, 0, 0, 0x00000000),  # ret 0: no class
    (0x20, 0, 0, 0xFFF00010),  # ld  [network header + 16]: destination address
    (0x54, 0, 0, 0x0000FFFF),  # and the host's part
    (0x04, 0, 0, 0x00010001),  # add one, and the qdisc's number
    (0x16, 0, 0, 0x00000000),  # ret A: the class
)


def main() -> NoReturn:
    order = json.loads(Path(sys.argv[1]).read_text())
    classes = [ShapedClass(**found) for found in order["classes"]]
    congestion = effective_congestion_control()
    try:
        _outside()
        _inside(classes, congestion, order["offload_bytes"])
    except subprocess.CalledProcessError as error:
        _give_up(f"{' '.join(error.cmd[-8:])}: {error.stderr.strip()}")
    except OSError as error:
        _give_up(f"a network namespace is not permitted ({error.strerror})")
    os.execv(order["argv"][0], order["argv"])


def _give_up(reason: str) -> NoReturn:
    sys.exit(f"no HTB here: {reason}")


def _outside() -> None:
    """The readers' end, and all their addresses as local ones."""
    subprocess.run(
        [_ip(), "link", "delete", OUTSIDE_DEVICE], capture_output=True, check=False
    )
    for line in (
        f"link add {OUTSIDE_DEVICE} mtu {MTU_BYTES} type veth "
        f"peer name {DEVICE} mtu {MTU_BYTES}",
        f"address add {OUTSIDE_HOST}/{PREFIX} dev {OUTSIDE_DEVICE}",
        f"link set {OUTSIDE_DEVICE} up",
        f"route replace local {READERS}.0.0/16 dev lo",
    ):
        _run([_ip(), *line.split()])


def _inside(
    classes: Sequence[ShapedClass], congestion: str, offload_bytes: int
) -> None:
    """Leave for a new namespace and take the other end with us.

    Raises:
        OSError: that is not permitted.
    """
    with Path("/proc/self/ns/net").open("rb") as before:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        link = f"link set {DEVICE} netns {os.getpid()}".split()
        back = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{before.fileno()}", "--"]
        _run([*back, _ip(), *link])
    for line in (
        "link set lo up",
        f"address add {SERVER_HOST}/{PREFIX} dev {DEVICE}",
        f"link set {DEVICE} gso_max_size {offload_bytes}",
        f"link set {DEVICE} up",
        f"route add {READERS}.0.0/16 via {OUTSIDE_HOST} congctl {congestion}",
    ):
        _run([_ip(), *line.split()])
    tree = "".join(f"{line}\n" for line in _tree(classes))
    _run([find_program("tc") or "tc", "-batch", "-"], tree)


def _tree(classes: Sequence[ShapedClass]) -> Iterator[str]:
    yield f"qdisc add dev {DEVICE} root handle 1: htb"
    yield from (found.words() for found in classes)
    program = ",".join(" ".join(map(str, step)) for step in CLASSIFIER)
    yield (
        f"filter add dev {DEVICE} parent 1: protocol ip bpf "
        f"bytecode '{len(CLASSIFIER)},{program}'"
    )


def _ip() -> str:
    return find_program("ip") or "ip"


def _run(argv: Sequence[str], text: str | None = None) -> None:
    subprocess.run(argv, input=text, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
