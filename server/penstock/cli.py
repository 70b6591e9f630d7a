"""The command ``penstock``. Each verb imports what it needs when it runs, so that
``--help`` is quick."""

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from penstock import __version__
from penstock.allowances import ModeSaid
from penstock.errors import EXIT_CRASHED, EXIT_REFUSED, PenstockError

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
ADMIN_URL = "http://127.0.0.1:8080"

app = App(
    name="penstock",
    version=__version__,
    help_format="plaintext",
    help="""Serve files as fast as the kernel can, each client within its limit.

Try it:

  penstock serve ./public

  penstock serve ./public --client-rate 5MB/s --total-rate 40Mbit/s

  penstock limit user_123 10MB/s

  penstock group ci 50MB/s --min 20MB/s

  penstock top

A RATE is in bytes per second: 5MB/s, 5MiB/s, 40Mbit/s or 5242880.""",
)
_Said = Annotated[str | None, Parameter(show_default=False)]
_shaping = Group("Shaping")
_network = Group("Network")


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """The exit code; problems go to stderr, one line each."""
    try:
        code = app(
            arguments or ["--help"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except PenstockError as error:
        return _complain(error.exit_code, *error.problems)
    except CycloptsError as error:
        hint = "`penstock --help` shows what is possible"
        return _complain(EXIT_REFUSED, f"{' '.join(str(error).split())} {hint}")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:  # of our own output: everything else has words of its own
        return _complain(EXIT_CRASHED, f"can not write: {error.strerror}")
    return code if isinstance(code, int) else 0


def _complain(code: int, *problems: str) -> int:
    for problem in problems:
        print(f"penstock: error: {problem}", file=sys.stderr)
    return code


@Parameter(name="*", group=_shaping, show_default=False)
@dataclass(frozen=True)
class Rates:
    client_rate: _Said = None
    "RATE of each client, over all its connections. Default: no limit."
    total_rate: _Said = None
    "RATE of all clients together. Default: no limit."


@app.command
def serve(
    root: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    listen: Annotated[
        list[str] | None, Parameter(negative=(), group=_network, show_default=False)
    ] = None,
    admin: Annotated[str | None, Parameter(group=_network, show_default=False)] = None,
    congestion: Annotated[
        str | None, Parameter(group=_network, show_default=False)
    ] = None,
    rates: Rates | None = None,
    cpus: str | None = None,
    precompressed: str | None = None,
    uploads: str | None = None,
    drain_timeout: str | None = None,
    config: str | None = None,
) -> None:
    """Serve the folder ROOT until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again. A flag wins over the file.

    Parameters
    ----------
    root
        Folder to serve; nothing outside of it is ever opened.
    listen
        HOST:PORT for downloads, like 0.0.0.0:8000 or [::]:8000; repeat it for more.
        Default: 127.0.0.1:8000. Port 0 takes a free one.
    admin
        HOST:PORT of metrics and limits. Default: 127.0.0.1:8080. Any address that
        others can reach needs admin.token_sha256 in the file.
    congestion
        TCP congestion control of downloads, like cubic or bbr. Default: the system's.
    cpus
        CPUs with one engine each, like 0,1 or 0-3. Default: all.
    precompressed
        Encodings whose files beside others are sent, best first, like br,gzip.
    uploads
        Folder for uploads until they are finished files below ROOT, on the same file
        system; clients need a token with the right to upload. Default: no uploads.
    drain_timeout
        How long downloads may go on after SIGTERM, like 30s or 2m. Default: 10s.
    config
        TOML file; `penstock check-config FILE` checks one.
    """
    _expect_signals()
    with _kept_until_the_end():
        from penstock.loading import Source
        from penstock.serve import serve as run_server

    flags = {
        "ROOT": root,
        "--listen": listen,
        "--admin": admin,
        "--congestion": congestion,
        "--client-rate": rates.client_rate if rates else None,
        "--total-rate": rates.total_rate if rates else None,
        "--cpus": cpus,
        "--precompressed": precompressed,
        "--uploads": uploads,
        "--drain-timeout": drain_timeout,
    }
    run_server(Source(_file(config, "--config"), flags))


def _expect_signals() -> None:
    """Until the supervisor takes over: nothing to reload yet, and nothing to drain."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


@contextmanager
def _kept_until_the_end() -> Iterator[None]:
    """What imports make stays. Else the collector looks at all of it several times
    while they run, in each full collection later, and again when the process ends,
    which takes several times as long as the rest of the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _file(name: str | None, option: str) -> Path | None:
    """An empty name, of a variable that is not set, would be the current folder."""
    if name == "":
        raise PenstockError(f"{option}: a path is a string that is not empty")
    return None if name is None else Path(name)


@app.command
def check_config(file: str, /) -> None:
    """Check a configuration file; all problems are shown at once.

    Whether its folder, addresses and CPUs exist shows when it is served.

    Parameters
    ----------
    file
        The TOML file.
    """
    from penstock.loading import Source

    Source(_file(file, "FILE")).load(root_needed=False)
    print(f"{file}: ok")


@app.command
def limit(
    client: str,
    rate: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    ceil: _Said = None,
    min_: Annotated[str | None, Parameter(name="--min", show_default=False)] = None,
    weight: Annotated[int | None, Parameter(show_default=False)] = None,
    group: _Said = None,
    mode: Annotated[ModeSaid | None, Parameter(show_default=False)] = None,
    upload_rate: _Said = None,
    admin: str = ADMIN_URL,
    token_file: Path | None = None,
) -> None:
    """Limit a client of a running server, downloads in flight included.

    What is not given stays as it was. The limit lasts until the server ends, a reload
    finds the client in the file, or DELETE /clients/CLIENT takes it back.

    penstock limit user_123 10MB/s

    penstock limit user_123 10MB/s --ceil 40MB/s --min 2MB/s --weight 300 --group ci

    penstock limit user_123 --mode off

    Parameters
    ----------
    client
        Its id: a name of the configuration, or an address (IPv6: its /64).
    rate
        RATE over all its connections, like 5MB/s. Without, the one it has stays.
    ceil
        RATE up to which it may borrow what its group can spare; 0: not at all.
    min_
        RATE that it gets whatever others want; 0: none.
        What is promised to all must fit into its group, or the total rate.
    weight
        Share of what is left, beside others: 1 to 10000. 100 is usual.
    group
        The group that it belongs to; "" for none.
    mode
        Which controllers follow it: adaptive has a target that adapts, full also cuts
        for loss and congestion marks, and breaks; off: none of them. none takes its
        own mode back: that of the default class holds.
    upload_rate
        RATE of its uploads; 0: no limit.
    admin
        URL of the server's admin API.
    token_file
        File that holds the admin token.
    """
    from penstock.adminclient import AdminClient
    from penstock.limit import Options, set_limit

    options = Options(ceil, min_, weight, mode, upload_rate)
    print(set_limit(client, rate, AdminClient(admin, token_file), options, group))


@app.command
def group(
    name: str,
    rate: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    ceil: _Said = None,
    min_: Annotated[str | None, Parameter(name="--min", show_default=False)] = None,
    weight: Annotated[int | None, Parameter(show_default=False)] = None,
    admin: str = ADMIN_URL,
    token_file: Path | None = None,
) -> None:
    """Limit a group of clients of a running server, or make one.

    What is not given stays as it was. Clients are put into it by the file, or by
    penstock limit CLIENT RATE --group NAME.

    penstock group ci 50MB/s

    penstock group ci 50MB/s --ceil 100MB/s --min 20MB/s --weight 300

    Parameters
    ----------
    name
        Its name: up to 64 bytes.
    rate
        RATE of all its clients together. Without, a new group has no limit.
    ceil
        RATE up to which it may borrow what the server can spare; 0: not at all.
    min_
        RATE that it gets whatever others want; 0: none.
        What is promised to all must fit into the total rate.
    weight
        Share of what is left, beside others: 1 to 10000. 100 is usual.
    admin
        URL of the server's admin API.
    token_file
        File that holds the admin token.
    """
    from penstock.adminclient import AdminClient
    from penstock.limit import Options, set_group

    options = Options(ceil, min_, weight)
    print(set_group(name, rate, AdminClient(admin, token_file), options))


@app.command
def top(
    *,
    sort: Literal["now", "mean", "limit", "waiting", "client"] = "now",
    interval: str = "1s",
    once: Annotated[bool, Parameter(negative=())] = False,
    admin: str = ADMIN_URL,
    token_file: Path | None = None,
) -> None:
    """Show the clients of a running server, and what limits them, until Ctrl-C.

    Into a pipe it prints once, as text. The 50 clients that are sent most are there.

    Parameters
    ----------
    sort
        What comes first: the largest rate now, the largest mean of ten seconds, the
        largest limit, the most waiting transfers, or the first name.
    interval
        Time between two pictures, from 1s on.
    once
        Print once, also in a terminal.
    admin
        URL of the server's admin API.
    token_file
        File that holds the admin token.
    """
    from rich.console import Console

    from penstock.adminclient import AdminClient
    from penstock.durations import SECOND_NS, parse_duration
    from penstock.top import Screen, top, top_once

    try:
        interval_s = parse_duration(interval) / SECOND_NS
    except ValueError as error:
        raise PenstockError(f"--interval: {error}") from None
    console, client = Console(), AdminClient(admin, token_file)
    if once or not console.is_terminal:
        print(top_once(client, Screen(sort)))
    else:
        top(client, Screen(sort), interval_s, console)


@app.command
def doctor() -> int:
    """Show whether this machine can run penstock, and the remedy for what it lacks.

    The exit code is 1 when something required is missing.
    """
    from penstock.doctor import examine
    from penstock.doctor_report import report

    return report(examine())
