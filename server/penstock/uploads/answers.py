"""Answers to requests about uploads, and refusals as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from penstock.uploads.model import Head, RefusedError

Fields = Sequence[tuple[str, str]]
PROBLEM_TYPE = "application/problem+json"
CHECKSUM_MISMATCH = 460  # of tus


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: Fields = ()
    body: bytes = b""


def problem(refused: RefusedError, head: Head) -> Answer:
    """An answer to HEAD has no body, and no type of one."""
    if head.method == "HEAD":
        return Answer(refused.status, refused.fields)
    said = {
        "title": _title(refused.status),
        "status": refused.status,
        "detail": refused.detail,
    }
    fields = (*refused.fields, ("Content-Type", PROBLEM_TYPE))
    return Answer(refused.status, fields, json.dumps(said).encode() + b"\n")


def _title(status: int) -> str:
    if status == CHECKSUM_MISMATCH:
        return "Checksum Mismatch"
    return HTTPStatus(status).phrase


def not_allowed(methods: Sequence[str]) -> RefusedError:
    known = ", ".join(methods)
    return RefusedError(405, f"possible here are {known}", (("Allow", known),))


def http_date(seconds: float) -> str:
    """IMF-fixdate."""
    return formatdate(seconds, usegmt=True)
