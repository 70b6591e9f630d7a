"""The running configuration: the one place through which limits and settings change.

SIGHUP, the admin API and ``penstock limit`` all end here. Everything is called from the
Trio thread, so that changes happen one after the other: the tree that a change would
give is checked as a whole, then the engine is told, then it is the tree that holds.
"""

import logging
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from penstock.allowances import Allowance, ClientEntry, GroupEntry, Source as SaidBy
from penstock.caps import CapBook, Target
from penstock.clientids import canonical_client_id
from penstock.errors import PenstockError, Problem
from penstock.events import EventLog, Scalar, start_number
from penstock.facade import Clients
from penstock.limiter import Limiter
from penstock.loading import Source
from penstock.overrides import Overrides
from penstock.quota_state import QuotaStore
from penstock.settings import Settings
from penstock.sharing import Sharing
from penstock.steered import Steered
from penstock.timed_limits import TimedLimits
from penstock.tree import Spec, Tree, TreeError

log = logging.getLogger(__name__)

# Sections and keys that a reload may change; all others need a restart.
_LIVE_SECTIONS = {"shaping", "identity", "groups", "clients", "telemetry"}
_LIVE_SECTIONS |= {"schedules", "quotas", "feedback", "policies"}
_LIVE_KEYS = {("server", "drain_timeout"), ("admin", "token_sha256")}
_LIVE_KEYS |= {("admin", "alertmanager_token_sha256")}


class State(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Control:
    """Settings and clients of this process, and the state it is in.

    Attributes:
        version: grows by one with every change.
        tree: what holds: what the file says, and over it what the API says.
        overrides: what the API says.
        events: tells who watches of every change.
        admin_errors: how many requests of the admin API met a bug.
    """

    def __init__(self, source: Source, settings: Settings, clients: Clients) -> None:
        self.source = source
        self.settings = settings
        self.clients = clients
        self.events = EventLog(start=start_number())
        self.caps = CapBook(clients, self.events)
        self.steered = Steered(self.events)
        self.sharing = Sharing(clients, self.steered)
        self.state = State.STARTING
        self.reloads_ok = 0
        self.reloads_refused = 0
        self.admin_errors = 0
        # Requests of uploads, by protocol, method and status.
        self.uploads_answered: Counter[tuple[str, str, int]] = Counter()
        # Those that bring bytes, by the state of their attempt.
        self.upload_attempts: Counter[str] = Counter()
        # Of a client: unfinished uploads, and the bytes that they hold.
        self.uploads_held: Callable[[str], tuple[int, int]] = lambda _: (0, 0)
        self.version = 1
        self.tree = Tree()
        self.overrides = Overrides()
        self._file_tree = Tree()
        self._configure(settings)
        folder = settings.server.state_dir
        self.timed = TimedLimits(
            settings,
            self.caps,
            clients.usage(),
            QuotaStore(folder) if folder else None,
            accounts_max=settings.limits.max_clients,
            rate_of=self._rate_of,
            on_change=self.events.publish,
        )
        self.limiter = Limiter(clients)

    def _rate_of(self, target: Target) -> int:
        """By the tree that holds now."""
        return self.tree.rate_of(target)

    def set_limit(self, client_id: str, target_bps: int | None, **others: Any) -> int:
        """Change one client's rate, and what else of a Spec is in ``others``; the rest
        stays as it was. Returns the new version and raises as ``set_client``."""
        spec = self.tree.spec(client_id)
        return self.set_client(client_id, spec._replace(rate_bps=target_bps, **others))

    def set_client(self, client_id: str, spec: Spec) -> int:
        """All that is said of one client from now on; returns the new version.

        Raises (and nothing has changed):
            TreeError: it contradicts itself or others.
            ValueError: the engine refuses it.
            OverflowError: the client table is full.
        """
        client_id = canonical_client_id(client_id)
        overrides = self.overrides.with_client(client_id, spec)
        return self._change_client(client_id, overrides, "api")

    def source_of_client(self, client_id: str) -> SaidBy:
        """Who said last what holds for it."""
        client_id = canonical_client_id(client_id)
        if client_id in self.overrides.clients:
            return "api"
        return "file" if client_id in self._file_tree.clients else "default"

    def source_of_group(self, name: str) -> SaidBy:
        return "api" if name in self.overrides.groups else "file"

    def drop_client(self, client_id: str) -> int:
        """Back to what the file says of it; returns the new version.

        Raises (and nothing has changed):
            LookupError: the API has said nothing of it.
            TreeError: others were promised what it would take back.
        """
        client_id = canonical_client_id(client_id)
        overrides = self.overrides.without_client(client_id)
        named = client_id in self._file_tree.clients
        return self._change_client(client_id, overrides, "file" if named else "default")

    def _change_client(
        self, client_id: str, overrides: Overrides, source: SaidBy
    ) -> int:
        tree = overrides.over(self._file_tree)
        _refuse(tree.problems_with(client_id))
        allowed, group = tree.member(client_id)
        self.clients.set_client(client_id, allowed, group, source)
        version = self._now(tree, overrides)
        self.timed.follow()
        log.info(
            "client %r in group %r: %s (by %s, version %d)",
            client_id,
            group,
            allowed,
            source,
            version,
        )
        self.events.publish(
            "limit",
            f"client:{client_id}",
            **_shown(allowed),
            upload_rate_bps=tree.upload_rate_of(client_id) or None,
            group=group,
            source=source,
            version=version,
        )
        # Who says what a client may have now takes over from the breaker; and there is
        # none in other modes.
        if source == "api" or allowed.mode != "full":
            self._release_breaker(client_id)
        return version

    def _release_breaker(self, client_id: str) -> None:
        row = self.clients.find(client_id)
        if self.clients.release_breaker(client_id) and row is not None:
            self.steered.released(row)

    def _release_breakers(self) -> None:
        """Of those to whom the mode that has one was taken."""
        states = self.clients.breaker_states()
        if sum(states.values()) == states["closed"]:
            return  # else it is worth a look at all clients
        for row in self.clients.snapshot():
            if row.breaker != "closed" and row.mode != "full":
                self._release_breaker(row.client_id)

    def set_group(self, name: str, spec: Spec) -> int:
        """All that is said of one group from now on; returns the new version and raises
        as ``set_client``."""
        overrides = self.overrides.with_group(name, spec)
        return self._change_group(name, overrides, "api")

    def drop_group(self, name: str) -> int:
        """Back to what the file says of it, which may be nothing; returns the new
        version.

        Raises (and nothing has changed):
            LookupError: the API has said nothing of it.
            TreeError: clients are in it, or others were promised what it would take.
        """
        return self._change_group(name, self.overrides.without_group(name), "file")

    def _change_group(self, name: str, overrides: Overrides, source: SaidBy) -> int:
        tree = overrides.over(self._file_tree)
        _refuse(tree.problems())
        if name in tree.groups:
            self.clients.set_group(name, tree.group(name), source)
        else:
            self.clients.drop_group(name)
        version = self._now(tree, overrides)
        self.timed.follow()
        holds = tree.group(name) if name in tree.groups else None
        log.info(
            "group %r: %s (by %s, version %d)",
            name,
            holds or "dropped",
            source,
            version,
        )
        self.events.publish(
            "group",
            f"group:{name}",
            **(_shown(holds) if holds else {"dropped": True}),
            source=source,
            version=version,
        )
        return version

    def _now(self, tree: Tree, overrides: Overrides) -> int:
        self.tree, self.overrides = tree, overrides
        self.version += 1
        return self.version

    def reload(self) -> int:
        """Read the configuration again and apply it; returns the new version. What it
        names replaces what the API said of that.

        Raises:
            PenstockError: it is wrong or needs a restart; nothing has changed.
        """
        try:
            settings = self.source.load()
            _refuse_restart(restart_keys(self.settings, settings))
            version = self._configure(settings)
        except PenstockError:
            self.reloads_refused += 1
            self.events.publish("config", "server", result="refused")
            raise
        self.settings = settings
        self.timed.configure(settings)
        self.reloads_ok += 1
        self.events.publish("config", "server", result="reloaded", version=version)
        log.info("configuration reloaded (version %d)", version)
        self._release_breakers()
        return version

    def _configure(self, settings: Settings) -> int:
        file_tree = settings.tree()
        overrides = self.overrides.without_what(file_tree)
        tree = overrides.over(file_tree)
        if problems := tree.problems():
            raise PenstockError(
                *(f"{p.line} (with what the admin API has set)" for p in problems)
            )
        default, default_group = tree.stranger()
        try:
            self.clients.configure(
                default=default,
                default_group=default_group,
                total=Allowance(rate_bps=tree.total_rate_bps),
                groups=[GroupEntry(name, tree.group(name)) for name in tree.groups],
                clients=_entries(settings, file_tree, tree),
                identity=settings.identity_rules(),
            )
        except (ValueError, OverflowError) as error:
            raise PenstockError(str(error)) from None
        self.clients.set_explain(settings.shaping.explain)
        self.clients.set_pace(settings.shaping.pace_sockets)
        self.clients.set_feedback(settings.feedback.rules())
        self._follow(tree, overrides)
        self._file_tree = file_tree
        return self._now(tree, overrides)

    def _follow(self, tree: Tree, overrides: Overrides) -> None:
        """What the API said of a client may leave open what another default class
        decides differently."""
        for client_id in overrides.clients:
            member = tree.member(client_id)
            if member == self.tree.member(client_id):
                continue
            try:
                self.clients.set_client(client_id, *member, "api")
            except (ValueError, OverflowError):  # the others are not to suffer
                log.exception("client %r keeps what it had", client_id)


def _entries(settings: Settings, file_tree: Tree, tree: Tree) -> list[ClientEntry]:
    """The engine leaves those of which the file says nothing as they are."""
    entries = []
    for client_id, client in settings.clients.items():
        entry = ClientEntry(client_id, token_digests=client.token_sha256)
        if canonical_client_id(client_id) in file_tree.clients:
            allowed, group = tree.member(client_id)
            entry = entry._replace(allowed=allowed, group=group)
        entries.append(entry)
    return entries


def _shown(allowed: Allowance) -> dict[str, Scalar]:
    """For those who watch."""
    return {
        "rate_bps": allowed.rate_bps or None,
        "ceil_bps": allowed.ceil_bps or None,
        "min_bps": allowed.min_bps,
        "weight": allowed.weight,
        "mode": allowed.mode,
    }


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise TreeError(problems)


def restart_keys(old: Settings, new: Settings) -> list[str]:
    """Keys that differ and can not change while the server runs."""
    before, after = _flat(old), _flat(new)
    return [
        f"{section}.{key}"
        for (section, key), value in after.items()
        if before.get((section, key)) != value and (section, key) not in _LIVE_KEYS
    ]


def _flat(settings: Settings) -> dict[tuple[str, str], Any]:
    tree = settings.model_dump(by_alias=True, exclude=_LIVE_SECTIONS)
    return {(s, key): value for s, keys in tree.items() for key, value in keys.items()}


def _refuse_restart(keys: list[str]) -> None:
    if keys:
        raise PenstockError(
            *(
                f"{key}: can not change while the server runs: restart it"
                for key in keys
            )
        )
