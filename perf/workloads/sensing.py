"""``sensing``: what it costs to ask the kernel how connections fare: getsockopt(2) of
TCP_INFO for each, as the engine does, against one dump of all (sock_diag(7)).

Connections of this process over loopback, which is both ends of them. A round asks
about all of one end once. The dump is filtered by the kernel to that end's port and
asked for TCP_INFO; what it answers is received and walked, and no field is decoded.
The engine's own calls come from C: it saves what Python's call adds, which the row
with SO_COOKIE, the cheapest thing to ask, shows.
"""

import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cyclopts import Parameter

from perf.bench import Bench
from perf.cli import Common, app, execute
from perf.cpu import pinned
from perf.errors import PerfError
from perf.results import Metric, Result, Sample

NAME = "sensing"
EACH = "getsockopt each"
FLOOR = "SO_COOKIE each"
DUMP = "one sock_diag dump"
CONNECTIONS = (100, 1000, 8000)
DOWNLOADS = 10_000
WARM_UP_ROUNDS = 3
SPARE_FILES = 200
LISTEN_BACKLOG = 1024
TCP_INFO_BYTES = 248
SO_COOKIE = 57  # asm-generic/socket.h
NETLINK_SOCK_DIAG = 4  # linux/netlink.h
SOCK_DIAG_BY_FAMILY = 20  # linux/sock_diag.h
INET_DIAG_INFO = 2  # linux/inet_diag.h
NLMSG_DONE, NLMSG_ERROR = 3, 2
NLM_F_DUMP_REQUEST = 0x301
TCP_ESTABLISHED = 1
RECEIVE_BYTES = 1 << 20
_HEAD = struct.Struct("=IHHII")
METRICS = (
    Metric("total_ms", "all of them", "ms", 2),
    Metric("each_us", "each", "µs", 2, ratio=True, better="lower"),
    Metric("share_percent", "10,000 once a second, of a core", "%", 2),
)


@Parameter(name="*")
@dataclass(frozen=True)
class SensingCommon(Common):
    rounds: int = 20
    "How often everything is asked, in turn."


@app.command(name=NAME)
def command(
    *, connections: list[int] | None = None, common: SensingCommon | None = None
) -> int:
    """TCP_INFO of many connections: one call for each against one dump of all. What the
    engine spends on it, shape shows of penstock-followed.

    Args:
        connections: How many there are; may be given several times.
    """
    counts = connections or list(CONNECTIONS)
    if min(counts) < 1:
        raise PerfError("--connections must be at least 1")
    return execute(
        common or SensingCommon(),
        NAME,
        lambda bench: bench.rounds * len(counts) * len(ROWS),
        lambda bench: run(bench, counts),
    )


def run(bench: Bench, counts: Sequence[int]) -> Result:
    """Ask about every number of connections.

    Raises:
        PerfError: so many can not be open at once.
    """
    check_files(sum(counts))
    result = bench.result(NAME, METRICS, "this process", load_pinned=False)
    result.subject = EACH
    rows_of = {title(n): tuple(ROWS) for n in counts}
    with pinned({bench.server_cpus[0]}), ExitStack() as stack:
        ends = {title(n): stack.enter_context(connected(n)) for n in counts}
        for ask in tuple(ROWS.values()) * WARM_UP_ROUNDS:
            for several in ends.values():
                ask(several)
        for number, case, row in bench.rows_in_turn(rows_of):
            result.samples.append(_sample(row, case, number, ends[case]))
    return result


def title(connections: int) -> str:
    return f"{connections:,} connections"


def _sample(row: str, case: str, number: int, ends: Sequence[socket.socket]) -> Sample:
    began_ns = time.thread_time_ns()
    answers = ROWS[row](ends)
    took_ns = time.thread_time_ns() - began_ns
    if answers != len(ends):
        raise PerfError(f"{row}: {answers} answers about {len(ends)} connections")
    each_ns = took_ns / len(ends)
    share = 100 * each_ns * DOWNLOADS / 1e9
    return Sample(
        row,
        case,
        number,
        {
            "total_ms": took_ns / 1e6,
            "each_us": each_ns / 1e3,
            "share_percent": share,
        },
    )


def check_files(connections: int) -> None:
    """Whether so many can be open at once.

    Raises:
        PerfError: the limit of open files is too low.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * connections + SPARE_FILES
    if needed > soft:
        raise PerfError(
            f"{connections} connections need {needed} open files, and {soft} are "
            "allowed (ulimit -n): ask about fewer with --connections"
        )


@contextmanager
def connected(n: int) -> Iterator[list[socket.socket]]:
    """One end of each of ``n`` connections over loopback; all have the same port."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.listen(LISTEN_BACKLOG)
        ends = []
        for _ in range(n):
            stack.enter_context(socket.create_connection(listener.getsockname()))
            ends.append(stack.enter_context(listener.accept()[0]))
        yield ends


def ask_each(ends: Sequence[socket.socket]) -> int:
    for end in ends:
        end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return len(ends)


def ask_cookies(ends: Sequence[socket.socket]) -> int:
    for end in ends:
        end.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
    return len(ends)


def dump(ends: Sequence[socket.socket]) -> int:
    """How many sockets the kernel told of.

    Raises:
        PerfError: it refused.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asking:
        asking.send(_dump_request(ends[0].getsockname()[1]))
        count, over = 0, False
        while not over:
            found, over = _walk(asking.recv(RECEIVE_BYTES))
            count += found
    return count


def _dump_request(port: int) -> bytes:
    """struct inet_diag_req_v2 of linux/inet_diag.h, for established TCP over IPv4."""
    wanted = struct.pack(
        "=BBBxI",
        socket.AF_INET,
        socket.IPPROTO_TCP,
        1 << (INET_DIAG_INFO - 1),
        1 << TCP_ESTABLISHED,
    )
    wanted += struct.pack("!HH", port, 0) + bytes(16 + 16 + 4) + b"\xff" * 8
    head = _HEAD.pack(
        _HEAD.size + len(wanted), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP_REQUEST, 1, 0
    )
    return head + wanted


def _walk(data: bytes) -> tuple[int, bool]:
    """How many sockets a piece of the answer has, and whether it was the last."""
    at = count = 0
    while at < len(data):
        n_bytes, kind, *_ = _HEAD.unpack_from(data, at)
        if kind == NLMSG_DONE:
            return count, True
        if kind == NLMSG_ERROR:
            raise PerfError("sock_diag: the kernel refused the dump")
        count += 1
        at += (n_bytes + 3) & ~3
    return count, False


ROWS: dict[str, Callable[[Sequence[socket.socket]], int]] = {
    EACH: ask_each,
    FLOOR: ask_cookies,
    DUMP: dump,
}
