"""The same requests to penstock and to @tus/server, where the specification of tus says
what the answer is."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.uploads.npm import need_node, node
from tests.uploads.served import OFFSET_STREAM, WRITER, UploadSite

TEN = b"0123456789"
DATA = {"Content-Type": OFFSET_STREAM}
# What the specification leaves open, and what a client does not tell apart.
SAME = {200: "fine", 204: "fine", 404: "not there", 410: "not there"}
TOLD = ("upload-offset", "upload-length", "upload-defer-length", "tus-resumable")


@dataclass(frozen=True)
class Step:
    """
    Attributes:
        at: which upload of the sequence, in the order of creation; None: all of them.
        version: of tus; None is not sent.
    """

    method: str
    fields: Mapping[str, object] = field(default_factory=dict)
    body: bytes | None = None
    at: int | None = 0
    version: str | None = "1.0.0"


def create(length: int | None = 10, body: bytes | None = None, **fields: str) -> Step:
    said = {name.replace("_", "-"): value for name, value in fields.items()}
    if length is not None:
        said["Upload-Length"] = str(length)
    return Step("POST", (DATA if body is not None else {}) | said, body, at=None)


def patch(offset: int | None, body: bytes, **fields: str) -> Step:
    said = {name.replace("_", "-"): value for name, value in fields.items()}
    if offset is not None:
        said["Upload-Offset"] = str(offset)
    return Step("PATCH", DATA | said, body)


HEAD, DELETE = Step("HEAD"), Step("DELETE")
DEFER = create(None, Upload_Defer_Length="1")
# Not another version (412, there 400) nor another media type (415, there 403): there
# we follow the specification.
SEQUENCES = {
    "in one piece": [create(), HEAD, patch(0, TEN), HEAD],
    "in two pieces": [create(), patch(0, TEN[:4]), HEAD, patch(4, TEN[4:]), HEAD],
    "with bytes": [create(body=TEN[:3]), HEAD, patch(3, TEN[3:]), HEAD],
    "all with its creation": [create(body=TEN), HEAD],
    "empty": [create(0), HEAD],
    "offset too large": [create(), patch(4, TEN[:2]), HEAD],
    "offset too small": [create(), patch(0, TEN[:4]), patch(0, TEN[:4]), HEAD],
    "nothing sent": [create(), patch(0, b""), HEAD],
    "longer than announced": [create(), patch(0, TEN + b"x"), HEAD],
    "longer when created": [create(body=TEN + b"x")],
    "length later": [DEFER, HEAD, patch(0, TEN[:5]), HEAD]
    + [patch(5, TEN[5:], Upload_Length="10"), HEAD],
    "length with the first bytes": [DEFER, patch(0, TEN, Upload_Length="10"), HEAD],
    "neither length": [create(None)],
    "both lengths": [create(10, Upload_Defer_Length="1")],
    "no length": [create(None, Upload_Length="many")],
    "negative length": [create(-1)],
    "other deferral": [create(None, Upload_Defer_Length="2")],
    "deleted": [create(), patch(0, TEN[:2]), DELETE, HEAD, patch(2, TEN[2:]), DELETE],
    "not begun": [Step("HEAD", at=99), Step("DELETE", at=99)],
    "no version": [create(), Step("HEAD", version=None), HEAD],
    "what there is": [Step("OPTIONS", at=None), Step("OPTIONS", at=None, version=None)],
    "wrong metadata": [create(Upload_Metadata="filename ???")],
    "offset is no number": [create(), patch(None, TEN, Upload_Offset="zero"), HEAD],
}


@dataclass
class Place:
    """A server of tus."""

    port: int

    def answers(self, steps: list[Step]) -> list[tuple[object, ...]]:
        """What the specification decides of each: status and fields."""
        uploads: list[str] = []
        return [self._answer(step, uploads) for step in steps]

    def _answer(self, step: Step, uploads: list[str]) -> tuple[object, ...]:
        known = dict(enumerate(uploads))
        target = "/files"
        if step.at is not None:
            target = known.get(step.at, "/files/0123456789abcdef0123456789abcdef")
        fields = {"Authorization": f"Bearer {WRITER}", **step.fields}
        if step.version is not None:
            fields["Tus-Resumable"] = step.version
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request(step.method, target, step.body, fields)
            answer = link.getresponse()
            answer.read()
        finally:
            link.close()
        if answer.status == 201:
            uploads.append(urlsplit(answer.headers["Location"]).path)
        said = (
            [answer.headers.get(name) for name in TOLD] if answer.status < 300 else []
        )
        return (step.method, SAME.get(answer.status, answer.status), *said)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    need_node(20, 19)
    folder: Path = tmp_path_factory.mktemp("oracle")
    command = node("server.mjs", str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Place(int(process.stdout.readline()))
        process.kill()


@pytest.mark.parametrize("steps", SEQUENCES.values(), ids=SEQUENCES)
def test_answers_are_those_of_another_server(
    uploads: UploadSite, oracle: Place, steps: list[Step]
) -> None:
    assert Place(uploads.server.port).answers(steps) == oracle.answers(steps)
