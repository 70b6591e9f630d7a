"""Clients that upload until their server is gone, and judge the next one by what this
one acknowledged."""

from __future__ import annotations

import random
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from penstock.uploads import spans
from tests.conftest import noise
from tests.serving import Client, Server
from tests.uploads.asking import digest
from tests.uploads.process.uploading import GoneError, Remote

SIZE_MAX = 1 << 20
RANGE_MAX = 200_000
LARGE_MIN, LARGE_MAX = 9 << 20, 20 << 20  # past the page cache, most of it


@dataclass
class Tally:
    """What happened, so that a test can tell that something did."""

    kills: int = 0
    acknowledged: int = 0  # requests
    cut: int = 0  # requests that brought bytes and were not answered
    unanswered_begins: int = 0
    claimed_more: int = 0  # uploads with durable bytes nobody was told of
    finished: int = 0
    finished_unheard: int = 0  # the answer to the last byte never came

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Uploader:
    """One client, which has one upload at a time.

    Attributes:
        large: these are, and come in one piece without a digest.
    """

    number: int
    tus: bool
    random_: random.Random
    large: bool = False
    tally: Tally = field(default_factory=Tally)
    begun: int = 0
    upload: Remote | None = None
    finished: list[Remote] = field(default_factory=list)  # not looked at since
    error: BaseException | None = None

    def run(self, server: Server) -> None:
        """Until the server is gone."""
        try:
            with Client(server.port) as client:
                client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while True:
                    self.step(client)
        except (GoneError, ConnectionError):
            pass
        except BaseException as error:  # noqa: BLE001 - raised where it is looked at
            self.error = error

    def step(self, client: Client) -> None:
        if self.upload is None:
            self.begin(client)
        assert self.upload is not None
        self.send(client, self.upload)
        if self.upload.done:
            self.finished.append(self.upload)
            self.upload = None

    def begin(self, client: Client) -> None:
        self.begun += 1
        sizes = (LARGE_MIN, LARGE_MAX) if self.large else (1, SIZE_MAX)
        size = self.random_.randint(*sizes)
        name = f"{self.number}-{self.begun}"
        new = Remote(name, noise(size, seed=size), self.tus)
        fields = {} if self.tus else {"Repr_Digest": digest(new.data)}
        self.tally.unanswered_begins += 1
        said = new.begin(client, **fields)
        assert said.status == 201, said
        self.tally.unanswered_begins -= 1
        self.upload = new

    def send(self, client: Client, upload: Remote) -> None:
        start, end = self.next_range(upload)
        fields = {}
        if not self.tus and self.random_.random() < 0.2:
            fields = {"Content_Digest": digest(upload.data[start:end])}
        self.tally.cut += 1
        said = upload.send(client, start, end, **fields)
        assert said.status in (200, 204), said
        self.tally.cut -= 1
        self.tally.acknowledged += 1

    def next_range(self, upload: Remote) -> tuple[int, int]:
        """Anywhere, or what is missing next."""
        size = len(upload.data)
        start = spans.prefix(upload.acknowledged)
        if self.large:
            return start, size
        if not self.tus and self.random_.random() < 0.5:
            start = self.random_.randrange(size)
        return start, min(size, start + self.random_.randint(1, RANGE_MAX))

    def judge(self, server: Server, folder: Path) -> None:
        """By a server that has just started."""
        with Client(server.port) as client:
            for done in self.finished:
                done.check_download(client)
        self.tally.finished += len(self.finished)
        self.finished.clear()
        if self.upload is not None:
            self.judge_unfinished(self.upload, server, folder)

    def judge_unfinished(self, upload: Remote, server: Server, folder: Path) -> None:
        with Client(server.port) as client:
            claimed = upload.claimed(client)
            for start, end in upload.acknowledged:
                assert spans.covers(claimed, start, end), (upload, claimed)
            for start, end in claimed:
                assert spans.covers(upload.sent, start, end), (upload, claimed)
            self.tally.claimed_more += claimed != upload.acknowledged
            if claimed == ((0, len(upload.data)),):
                upload.check_download(client)
                self.tally.finished_unheard += 1
                self.upload = None
                return
        content = (folder / f"{upload.id}.part").read_bytes()
        for start, end in claimed:
            assert content[start:end] == upload.data[start:end], (start, end)
        upload.acknowledged = upload.sent = claimed


def loaded(server: Server, uploaders: list[Uploader], seconds: float) -> None:
    """Kill it under their load after so many seconds."""
    threads = [threading.Thread(target=one.run, args=[server]) for one in uploaders]
    for thread in threads:
        thread.start()
    threading.Event().wait(seconds)
    server.process.kill()
    server.process.wait()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    for one in uploaders:
        if one.error is not None:
            raise one.error
