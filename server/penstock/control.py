"""The running configuration: the one place through which limits and settings change.

SIGHUP, ``POST /config`` and ``penstock limit`` all end here. Everything is called from
the Trio thread, so that changes happen one after the other.
"""

import logging
from enum import StrEnum
from typing import Any

from penstock.allowances import UNLIMITED, Allowance
from penstock.errors import PenstockError
from penstock.facade import Clients
from penstock.loading import Source
from penstock.settings import Settings
from penstock.sharing import Sharing

log = logging.getLogger(__name__)

# Sections and keys that a reload may change; all others need a restart.
_LIVE_SECTIONS = {"shaping", "clients", "telemetry"}
_LIVE_KEYS = {("server", "drain_timeout"), ("admin", "token_sha256")}


class State(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Control:
    """Settings and clients of this process, and the state it is in."""

    def __init__(self, source: Source, settings: Settings, clients: Clients) -> None:
        self.source = source
        self.settings = settings
        self.clients = clients
        self.sharing = Sharing(clients)
        self.state = State.STARTING
        self.reloads_ok = 0
        self.reloads_refused = 0
        self._configure(settings)

    @property
    def version(self) -> int:
        """Grows by one with every change."""
        return self.clients.version

    def set_limit(self, client_id: str, target_bps: int) -> int:
        """Limit one client from now on; returns the new version.

        Raises:
            ValueError: the engine refuses the id or the rate.
            OverflowError: the client table is full.
        """
        version = self.clients.set_rate(client_id, target_bps)
        log.info("limit of %r: %d bytes/s (version %d)", client_id, target_bps, version)
        return version

    def reload(self) -> int:
        """Read the configuration again and apply it; returns the new version.

        Raises:
            PenstockError: it is wrong or needs a restart; nothing has changed.
        """
        try:
            settings = self.source.load()
            _refuse_restart(restart_keys(self.settings, settings))
            version = self._configure(settings)
        except PenstockError:
            self.reloads_refused += 1
            raise
        self.settings = settings
        self.reloads_ok += 1
        log.info("configuration reloaded (version %d)", version)
        return version

    def _configure(self, settings: Settings) -> int:
        shaping = settings.shaping
        try:
            return self.clients.configure(
                default=Allowance(shaping.client_rate_bps or UNLIMITED),
                total=Allowance(shaping.total_rate_bps or UNLIMITED),
                clients=settings.client_list(),
            )
        except (ValueError, OverflowError) as error:
            raise PenstockError(str(error)) from None


def restart_keys(old: Settings, new: Settings) -> list[str]:
    """Keys that differ and can not change while the server runs."""
    before, after = _flat(old), _flat(new)
    return [
        f"{section}.{key}"
        for (section, key), value in after.items()
        if before.get((section, key)) != value
        and section not in _LIVE_SECTIONS
        and (section, key) not in _LIVE_KEYS
    ]


def _flat(settings: Settings) -> dict[tuple[str, str], Any]:
    tree = settings.model_dump(by_alias=True)
    return {(s, key): value for s, keys in tree.items() for key, value in keys.items()}


def _refuse_restart(keys: list[str]) -> None:
    if keys:
        raise PenstockError(
            *(
                f"{key}: can not change while the server runs: restart it"
                for key in keys
            )
        )
