"""The uploads of a server: their store, and a bridge to each engine.

They begin before the engines do, as what a crash left has to be recovered first, and
end after them, as whoever is answered must be in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import trio

from penstock.control import State
from penstock.durations import SECOND_NS
from penstock.uploads import routes
from penstock.uploads.attempts import TICK_SECONDS
from penstock.uploads.bridge import Bridge
from penstock.uploads.model import Head, Intake
from penstock.uploads.pacing import Pacer
from penstock.uploads.service import Service
from penstock.uploads.settings import UploadsSettings
from penstock.uploads.space import StoreLimits
from penstock.uploads.store import FileStore

if TYPE_CHECKING:
    from penstock._engine import Engine
    from penstock.control import Control
    from penstock.settings import Settings

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 60.0
LAST_S = 1.0  # of a drain: to sync, record and answer while engines can send that


class Uploads:
    def __init__(self, control: Control, engines: Sequence[Engine]) -> None:
        self._control = control
        self._engines = engines
        self._receiving = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled.

        Raises:
            PenstockError: the folder can not be used.
        """
        settings = self._control.settings.uploads
        root = self._control.settings.server.root
        assert root is not None
        async with FileStore.opened(
            root,
            settings.folder(),
            limits_of(settings),
            past_cache=settings.write_path in ("auto", "direct"),
            counts=self._control.upload_attempts,
        ) as store:
            service = Service(
                store,
                may_upload=self.may,
                most_bytes=settings.max_bytes,
                most_at_once=settings.max_client_at_once,
                results=self._control.uploads_answered,
                ends=lambda: self._control.state is State.DRAINING,
            )

            pacer = Pacer(self.rate_of, time.monotonic_ns)

            async def handle(intake: Intake) -> None:
                await routes.handle(pacer.paced(intake), service)

            self._control.uploads_held = store.held
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire, store)
                nursery.start_soon(_checkpoint, store, settings)
                nursery.start_soon(self._receive, store)
                for engine in self._engines:
                    nursery.start_soon(Bridge(engine, handle).run)
                say_who_may(self._control.settings)
                task_status.started()

    def drain(self, seconds: float) -> None:
        """Engines end in so many; a second call only brings that forward."""
        stop_at = trio.current_time() + seconds - min(LAST_S, seconds / 2)
        self._receiving.deadline = min(self._receiving.deadline, stop_at)

    async def _receive(self, store: FileStore) -> None:
        """Also those are stopped that no engine knows of: they wait for tokens."""
        try:
            with self._receiving:
                await trio.sleep_forever()
        finally:
            store.stop()

    def rate_of(self, client_id: str) -> int | None:
        """By what the file and the admin API say now."""
        return self._control.tree.upload_rate_of(client_id) or None

    def may(self, head: Head) -> bool:
        """By the settings that hold now: a token counts, not where somebody is."""
        settings = self._control.settings
        if settings.uploads.open:
            return True
        scheme, _, token = (head.get("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        digest = sha256(token.strip().encode()).digest()
        return any(
            client.upload and digest in client.token_sha256
            for client in settings.clients.values()
        )

    async def _expire(self, store: FileStore) -> None:
        while True:
            await store.expire(time.time())
            await trio.sleep(EXPIRE_EVERY_S)


async def _checkpoint(store: FileStore, settings: UploadsSettings) -> None:
    while True:
        await trio.sleep(TICK_SECONDS)
        store.checkpoint(trio.current_time(), settings.body_timeout_ns / SECOND_NS)


def say_who_may(settings: Settings) -> None:
    """For who wonders why it is refused, or did not mean to open it."""
    clients = [c for c in settings.clients.values() if c.upload and c.token_sha256]
    if settings.uploads.open:
        log.warning("uploads: everybody may (uploads.open)")
    elif clients:
        log.info("uploads: by token, clients that may: %d", len(clients))
    else:
        log.warning(
            "uploads: nobody may: give a client token_sha256 and upload = true, or set "
            "uploads.open"
        )


def limits_of(settings: UploadsSettings) -> StoreLimits:
    return StoreLimits(
        max_upload_bytes=settings.max_bytes,
        max_client_bytes=settings.max_client_bytes,
        max_total_bytes=settings.max_total_bytes,
        reserve_free_bytes=settings.reserve_free_bytes,
        expire_after=settings.expire_ns / SECOND_NS,
    )
