"""Usage of the quotas on disk: one JSON file in ``server.state_dir``.

It is written beside and renamed, with both the file and the folder flushed, so that a
crash leaves the old one or the new one, whole. What was used since it was written last
is lost when the process is killed.
"""

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, cast, get_args

from penstock.caps import Kind, Target
from penstock.errors import PenstockError
from penstock.quotas import Account

log = logging.getLogger(__name__)

STATE_VERSION = 1
STATE_FILE = "quotas.json"
STATE_BYTES_MAX = 1 << 30  # 4 million accounts of 64 bytes and their numbers
_CORRUPT = ".corrupt"
_LOCK_FILE = "lock"


def dump_accounts(accounts: Mapping[str, Account]) -> bytes:
    """What ``parse_accounts`` reads."""
    quotas = {name: _saved(account) for name, account in accounts.items()}
    state = {"version": STATE_VERSION, "quotas": quotas}
    return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()


def _saved(account: Account) -> dict[str, Any]:
    saved: dict[str, Any] = {
        "start": account.start.isoformat(),
        "used_bytes": {str(t): n for t, n in account.used_bytes.items()},
    }
    if account.latest > account.start:  # the clock was set back
        saved["latest"] = account.latest.isoformat()
    return saved


def parse_accounts(raw: bytes) -> dict[str, Account]:
    """Raises ValueError: this is not what ``dump_accounts`` writes, and why."""
    try:
        state = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    state = _table(state, "it")
    if state.get("version") != STATE_VERSION:
        raise ValueError(f"version {state.get('version')!r} is not {STATE_VERSION}")
    quotas = _table(state.get("quotas"), "quotas")
    return {name: _account(name, saved) for name, saved in quotas.items()}


def _account(name: str, saved: Any) -> Account:
    saved = _table(saved, name)
    used = {}
    for word, n_bytes in _table(saved.get("used_bytes"), f"{name}.used_bytes").items():
        if type(n_bytes) is not int or n_bytes < 0:
            raise ValueError(f"{name}: {word}: {n_bytes!r} is no number of bytes")
        used[_target(word)] = n_bytes
    start = date.fromisoformat(str(saved.get("start")))
    latest = date.fromisoformat(str(saved.get("latest", start)))
    return Account(start, used, latest)


def _table(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{name} is no JSON object")


def _target(word: str) -> Target:
    """Any name is good here: a client that could not be configured was there."""
    kind, _, name = word.partition(":")
    if kind not in get_args(Kind):
        raise ValueError(f"{word!r} is no target")
    return Target(cast("Kind", kind), name)


class QuotaStore:
    """The state folder, which this process holds alone until ``close``.

    Raises:
        PenstockError: it can not be made, entered, written or locked.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / STATE_FILE
        self._folder_fd = -1
        self._lock_fd = -1
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._folder_fd = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock_fd = self._open(_LOCK_FILE, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            reason = (
                "another server uses it: give each its own"
                if isinstance(error, BlockingIOError)
                else f"{error.strerror}; it must be a folder that this user may write"
            )
            raise PenstockError(f"server.state_dir: {folder}: {reason}") from None

    def close(self) -> None:
        for fd in (self._lock_fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        self._lock_fd = self._folder_fd = -1

    def load(self) -> dict[str, Account]:
        """What was saved last; nothing when there is no file, or none that can be
        understood, which then is kept aside.

        Raises:
            PenstockError: the file is there, but can not be read.
        """
        try:
            with os.fdopen(self._open(STATE_FILE, os.O_RDONLY), "rb") as stream:
                raw = stream.read(STATE_BYTES_MAX)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PenstockError(
                f"{self.file}: can not be read: {error.strerror}"
            ) from None
        try:
            return parse_accounts(raw)
        except ValueError as error:
            self._keep_aside(error)
            return {}

    def save(self, raw: bytes) -> None:
        """Replace the file; on return it is on the disk.

        Raises:
            OSError: it is not, and the file from before is as it was.
        """
        part = f"{STATE_FILE}.part"
        fd = self._open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(fd, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(fd)
        self._rename(part, STATE_FILE)
        os.fsync(self._folder_fd)

    def _keep_aside(self, error: ValueError) -> None:
        aside = f"{STATE_FILE}{_CORRUPT}"
        log.error(
            "%s can not be understood (%s): usage of the quotas begins at zero; the "
            "file is kept as %s",
            self.file,
            error,
            aside,
        )
        self._rename(STATE_FILE, aside)

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=self._folder_fd)

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
