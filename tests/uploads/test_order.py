"""What the kernel was asked for, and in which order: data on the disk, the ledger on
the disk, the answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.tracing import calls
from tests.uploads import victim
from tests.uploads.stores import Places

_PART = re.compile(r"/(?P<id>\w)\.part$")
_LINKED = re.compile(r'"(?P<id>\w)\.part"')
_ANSWER = re.compile(r'"(?P<id>\w) (?P<what>done|\d+ \d+)\\n"')
_NAMES = ("linkat", "renameat", "renameat2")
_SYNCS = ("fsync", "fdatasync")


@dataclass
class Upload:
    dirty: bool = False  # something was written, and not synced yet
    recorded: bool = True  # the ledger was synced after the data was
    linked: list[str] = field(default_factory=list)  # what was synced afterwards


@dataclass
class Order:
    """Judges each answer when it comes."""

    uploads: dict[str, Upload] = field(
        default_factory=lambda: {name: Upload() for name in victim.CONTENTS}
    )
    answers: int = 0

    def see(self, name: str, path: str, rest: str) -> None:
        if part := _PART.search(path):
            upload = self.uploads[part["id"]]
            upload.dirty, upload.recorded = name not in _SYNCS, False
        elif name in _NAMES and (found := _LINKED.search(rest)):
            self.uploads[found["id"]].linked = ["linked"]
        elif name in _SYNCS:
            self.synced(Path(path).name)
        elif name == "write" and (found := _ANSWER.search(rest)):
            self.answered(self.uploads[found["id"]], found["what"])

    def synced(self, name: str) -> None:
        for upload in self.uploads.values():
            upload.linked.append(name)
            upload.recorded |= name == "ledger.sqlite-wal"

    def answered(self, upload: Upload, what: str) -> None:
        self.answers += 1
        if what == "done":
            steps = iter(upload.linked)
            for step in ("linked", "to", "ledger.sqlite-wal"):
                assert step in steps, upload
        else:
            assert not upload.dirty, what
            assert upload.recorded, what


def test_data_is_synced_before_the_ledger_and_that_before_the_answer(
    places: Places, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    victim.prepare(places)
    log = tmp_path / "strace"
    done = subprocess.run(
        [strace, "-f", "-y", "-o", log]
        + ["-e", "trace=pwrite64,write,fdatasync,fsync,linkat,renameat,renameat2"]
        + [*victim.COMMAND, places.home],
        env=victim.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if not log.exists() or not log.stat().st_size:
        pytest.skip(f"strace can not trace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    order = Order()
    for call in calls(log):
        order.see(call.name, call.path, call.rest)
    assert order.answers == done.stdout.count("\n")
