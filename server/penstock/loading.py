"""From a TOML file and flags to checked settings, with all problems at once."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.errors import Key, PenstockError, Problem
from penstock.problems import (
    NO_ROOT,
    duplicate_clients,
    duplicate_networks,
    duplicate_tokens,
    from_validation,
    lacking_state_dir,
    nothing_to_scale,
    unknown_targets,
)
from penstock.settings import Settings

CONFIG_BYTES_MAX = 16 << 20  # 65536 clients with a token each need about 8 MiB
_FOLDERS = (("server", "root"), ("server", "state_dir"), ("uploads", "directory"))
_TREE_SECTIONS = ("shaping", "groups", "clients")
# Which setting a flag stands for; it wins over the file.
FLAG_KEYS: Mapping[str, Key] = {
    "ROOT": ("server", "root"),
    "--listen": ("server", "listen"),
    "--cpus": ("server", "cpus"),
    "--congestion": ("server", "congestion"),
    "--precompressed": ("server", "precompressed"),
    "--drain-timeout": ("server", "drain_timeout"),
    "--admin": ("admin", "listen"),
    "--client-rate": ("shaping", "client_rate"),
    "--total-rate": ("shaping", "total_rate"),
    "--uploads": ("uploads", "directory"),
}


@dataclass(frozen=True)
class Source:
    """Where settings come from; read again by every reload.

    Args:
        file: a TOML file, or None.
        flags: keys of ``FLAG_KEYS``; None stands for a flag that was not given.
    """

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)

    def load(self, *, root_needed: bool = True) -> Settings:
        """Read and check everything.

        Raises:
            PenstockError: one problem per line, each with its key or flag.
        """
        data = self._merge(_read_toml(self.file) if self.file else {})
        problems = duplicate_tokens(data) + duplicate_clients(data)
        problems += unknown_targets(data) + lacking_state_dir(data)
        problems += duplicate_networks(data)
        settings: Settings | None = None
        try:
            settings = Settings.model_validate(data)
        except ValidationError as error:
            problems += from_validation(error)
        else:
            problems += nothing_to_scale(settings)
        problems += _tree_problems(settings, data, problems)
        if root_needed and _lacks_root(data):
            problems.append(NO_ROOT)
        if problems or settings is None:
            raise PenstockError(*(self._line(problem) for problem in problems))
        return settings

    def _given(self) -> dict[str, object]:
        return {flag: value for flag, value in self.flags.items() if value is not None}

    def _merge(self, data: dict[str, Any]) -> dict[str, Any]:
        _anchor_folders(data, self.file)
        for flag, value in self._given().items():
            section, key = FLAG_KEYS[flag]
            table = data.setdefault(str(section), {})
            if isinstance(table, dict):  # else: a problem that validation reports
                table[key] = value
        return data

    def _line(self, problem: Problem) -> str:
        for flag in self._given():
            if problem.key[:2] == FLAG_KEYS[flag]:
                return f"{flag}: {problem.text}"
        where = f"{self.file}: " if self.file and problem.key else ""
        return f"{where}{problem.line}"


def _anchor_folders(data: dict[str, Any], file: Path | None) -> None:
    """A relative folder means relative to the file that says so."""
    if file is None:
        return
    for section, key in _FOLDERS:
        table = data.get(section)
        folder = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(folder, str) and folder:
            table[key] = str(file.absolute().parent / folder)


def _tree_problems(
    settings: Settings | None, data: dict[str, Any], found: list[Problem]
) -> list[Problem]:
    """Of the shaping tree, if all of it can be read, whatever is wrong elsewhere."""
    if any(problem.key[:1] and problem.key[0] in _TREE_SECTIONS for problem in found):
        return []
    if settings is None:
        sections = {name: data[name] for name in _TREE_SECTIONS if name in data}
        settings = Settings.model_validate(sections)
    return settings.tree().problems()


def _lacks_root(data: dict[str, Any]) -> bool:
    server = data.get("server", {})
    return isinstance(server, dict) and "root" not in server


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        raw = _read_bounded(file)
    except OSError as error:
        raise PenstockError(f"{file}: can not be read: {error.strerror}") from None
    if len(raw) > CONFIG_BYTES_MAX:
        raise PenstockError(f"{file}: larger than {CONFIG_BYTES_MAX} bytes")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PenstockError(f"{file}: not UTF-8 (at line {line})") from None
    except (ValueError, RecursionError) as error:  # also of numbers without end
        raise PenstockError(f"{file}: not TOML: {error}") from None


def _read_bounded(file: Path) -> bytes:
    """At most one byte more than ``CONFIG_BYTES_MAX``. Never blocks: a FIFO would."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise PenstockError(f"{file}: can not be read: it is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as stream:
            return stream.read(CONFIG_BYTES_MAX + 1)
    finally:
        os.close(fd)
