"""One request about an upload, from its head to its answer, whatever it speaks."""

from __future__ import annotations

from contextlib import nullcontext

from penstock.uploads import core, tus
from penstock.uploads.answers import Answer, Fields, problem
from penstock.uploads.model import Head, Intake, RefusedError
from penstock.uploads.service import Service
from penstock.uploads.tus_fields import FILES

# What is true of an upload now may not be later; tus asks for it, at least of HEAD.
_EVERYWHERE: Fields = (("Cache-Control", "no-store"),)
_BRINGING = {"POST", "PUT", "PATCH"}
_METHODS = {"POST", "PUT", "PATCH", "HEAD", "DELETE", "OPTIONS"}


def is_of_uploads(target: str) -> bool:
    """Whether a request with this target belongs here."""
    path, _ = _split(target)
    return path in (core.PATH, FILES) or path.startswith(FILES + "/")


async def handle(intake: Intake, service: Service) -> None:
    head = intake.head
    path, query = _split(head.target)
    is_core = path == core.PATH
    try:
        _check_right(head, service)
        brings = head.method in _BRINGING
        with service.bringing(head.client_id) if brings else nullcontext():
            if is_core:
                answer = await core.answered(intake, service, query)
            else:
                answer = await tus.answered(intake, service, path)
    except RefusedError as refused:
        answer = problem(refused, head)
    method = head.method if head.method in _METHODS else "other"
    service.results["core" if is_core else "tus", method, answer.status] += 1
    await _respond(intake, answer, () if is_core else tus.EVERYWHERE)


async def _respond(intake: Intake, answer: Answer, also: Fields) -> None:
    fields = (*answer.fields, *also, *_EVERYWHERE)
    await intake.respond(answer.status, fields, answer.body)


def _split(target: str) -> tuple[str, str]:
    path, _, query = target.partition("?")
    return path, query


def _check_right(head: Head, service: Service) -> None:
    """OPTIONS says what anybody may know, and is asked before there is a token."""
    if head.method == "OPTIONS" or service.may_upload(head):
        return
    if head.get("authorization") is None:
        challenge = (("WWW-Authenticate", 'Bearer realm="uploads"'),)
        raise RefusedError(401, "uploads need the token of a client", challenge)
    raise RefusedError(403, "this client may not upload")
