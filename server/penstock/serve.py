"""``penstock serve``: everything is opened and checked, then it runs."""

import logging
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from penstock._engine import ClientTable, Engine
from penstock.addresses import Address
from penstock.admin import make_app
from penstock.control import Control
from penstock.errors import CrashError, PenstockError
from penstock.limits import Limits
from penstock.listeners import open_listeners, open_single
from penstock.loading import Source
from penstock.media import media_types
from penstock.process import choose_cpus, fit_descriptors, open_root, raise_nofile
from penstock.settings import Settings
from penstock.supervisor import Supervisor

if TYPE_CHECKING:
    from penstock._engine import EngineLimits
    from penstock.uploads.running import Uploads

log = logging.getLogger(__name__)


def serve(source: Source) -> None:
    """Serve until a signal ends it.

    Raises:
        PenstockError: it can not start, or something failed while it ran.
    """
    settings = source.load()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    nofile = raise_nofile()
    control = Control(source, settings, _client_table(settings))
    cpus = choose_cpus(settings.server.cpus)
    limits = fit_descriptors(
        settings.limits,
        len(cpus),
        nofile,
        settings.uploads.for_engine().get("max_intakes", 0),
    )
    supervisor = _open(
        settings,
        control,
        cpus,
        limits.for_engine(
            **settings.server.for_engine(), **settings.uploads.for_engine()
        ),
    )
    _tell_of_descriptors(settings.limits, limits, nofile)
    failure: PenstockError | None = None
    try:
        trio.run(supervisor.run)
    except* PenstockError as group:
        failure = _first(group)
    except* Exception as group:
        log.exception("internal error", exc_info=group)
        failure = failure or CrashError(f"internal error: {_leaf(group)!r}")
    if failure is not None:
        # Here, since Python 3.11.2 wraps what is raised within except* in a group.
        raise failure


def _client_table(settings: Settings) -> ClientTable:
    try:
        return ClientTable(rows=settings.limits.max_clients)
    except MemoryError as error:
        raise PenstockError(f"{error}: lower limits.max_clients") from None


def _open(
    settings: Settings, control: Control, cpus: list[int], limits: "EngineLimits"
) -> Supervisor:
    """Engines keep duplicates of what they need; ours are closed again, so that the
    port is free as soon as the last engine stops accepting."""
    assert settings.server.root is not None
    with ExitStack() as ours:
        root_fd = open_root(settings.server.root)
        ours.callback(os.close, root_fd)
        admin = open_single(settings.admin.listen)
        bound, sockets = open_listeners(
            settings.server.listen, len(cpus), settings.socket_options()
        )
        for listener in (s for own in sockets for s in own):
            ours.enter_context(listener)
        engines = [
            _engine(i, cpu, root_fd, [s.fileno() for s in sockets[i]], control, limits)
            for i, cpu in enumerate(cpus)
        ]
    admin_address = settings.admin.listen.with_port(admin.getsockname()[1])
    return Supervisor(
        control,
        engines,
        cpus,
        admin_app=make_app(control, engines),
        admin_listener=admin,
        announce=lambda: announce(bound, admin_address),
        uploads=_uploads(control, engines),
    )


def _uploads(control: Control, engines: list[Engine]) -> "Uploads | None":
    if control.settings.uploads.directory is None:
        return None
    from penstock.uploads.running import Uploads  # nobody else waits for its modules

    return Uploads(control, engines)


def _tell_of_descriptors(asked: Limits, fitting: Limits, nofile: int) -> None:
    """A warning where the configuration asked for what does not fit."""
    if fitting == asked:
        return
    configured = asked.model_fields_set & {"max_connections", "cache_entries"}
    log.log(
        logging.WARNING if configured else logging.INFO,
        "%d open files do for %d connections and %d cached files per engine, not for "
        "%d and %d; for more, raise the hard limit (ulimit -Hn, LimitNOFILE=)",
        nofile,
        fitting.max_connections,
        fitting.cache_entries,
        asked.max_connections,
        asked.cache_entries,
    )


def _engine(
    index: int,
    cpu: int,
    root_fd: int,
    listen_fds: list[int],
    control: Control,
    limits: "EngineLimits",
) -> Engine:
    clients = control.clients
    assert isinstance(clients, ClientTable)
    try:
        return Engine(
            index=index,
            cpu=cpu,
            root_fd=root_fd,
            listen_fds=listen_fds,
            clients=clients,
            media_types=media_types(),
            precompressed=control.settings.server.precompressed,
            delegates=control.settings.uploads.paths(),
            limits=limits,
        )
    except OSError as error:
        raise PenstockError(error.strerror or str(error)) from None
    except MemoryError:
        raise PenstockError(
            f"no memory for engine {index}: lower limits.max_connections"
        ) from None
    except ValueError as error:
        raise PenstockError(f"limits.{error}") from None


def announce(bound: list[Address], admin: Address) -> None:
    """The one line that scripts wait for."""
    urls = ", ".join(address.url for address in bound)
    try:
        print(f"penstock: serving {urls} | admin {admin.url}", flush=True)
    except OSError as error:
        log.warning("serving %s, but can not say so: %s", urls, error.strerror)


def _leaf(group: BaseExceptionGroup[Exception]) -> Exception:
    error: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first(group: BaseExceptionGroup[PenstockError]) -> PenstockError:
    error = _leaf(group)
    assert isinstance(error, PenstockError)
    return error
