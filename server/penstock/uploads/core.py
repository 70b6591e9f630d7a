"""Uploads as this server has them: ``POST /upload``, then ``PUT`` with a range each.

What names a write is (upload, key, range). One that is durable already is answered
without its body being asked for, so a client that lost an answer just asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from penstock.uploads.answers import Answer, http_date, not_allowed
from penstock.uploads.digest_fields import content_digest, written_digests
from penstock.uploads.fields import (
    body_bytes,
    byte_range,
    has_body,
    idempotency_key,
    placed,
    refuse_coded,
    upload_length,
    written_range,
)
from penstock.uploads.model import (
    Head,
    Intake,
    RefusedError,
    SessionState,
    Store,
    Upload,
)
from penstock.uploads.names import location, target_path
from penstock.uploads.service import (
    Service,
    check_key,
    check_key_if_sent,
    new_key,
)
from penstock.uploads.settings import CORE_PATH

PATH = CORE_PATH
METHODS = ("POST", "PUT", "HEAD", "DELETE", "OPTIONS")
PARAMETERS_MAX = 16
RANGES_SHOWN = 64  # by HEAD; who sends more of what is durable only wastes it


async def answered(intake: Intake, service: Service, query: str) -> Answer:
    parameters = _parameters(query)
    match intake.head.method:
        case "POST":
            return await _create(intake.head, service, parameters)
        case "PUT":
            return await _put(intake, service, parameters)
        case "HEAD":
            return await _status(intake.head, service, parameters)
        case "DELETE":
            return await _terminate(intake.head, service, parameters)
        case "OPTIONS":
            return Answer(204, [("Allow", ", ".join(METHODS))])
    raise not_allowed(METHODS)


def _parameters(query: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise RefusedError(
            400, "the query is not understood: it is ?name=value, in UTF-8"
        ) from None
    if len(dict(pairs)) < len(pairs):
        raise RefusedError(400, "the query says something twice")
    return dict(pairs)


async def _create(
    head: Head, service: Service, parameters: Mapping[str, str]
) -> Answer:
    if has_body(head):
        raise RefusedError(400, "POST takes no body: send the bytes by PUT")
    length = upload_length(head)
    if length is None:
        raise RefusedError(400, "say by Upload-Length how many bytes there will be")
    key, key_hash = new_key()
    draft = replace(
        service.drafted(head, length), target=_target(parameters), key_hash=key_hash
    )
    upload = await service.store.create(draft, now=service.clock())
    async with service.or_forgotten(upload):
        upload = await service.completed(upload)
    return Answer(
        201,
        [
            ("Location", f"{PATH}?upload_id={upload.id}"),
            ("Upload-Id", upload.id),
            ("Idempotency-Key", key),
            *_told(upload),
        ],
    )


def _target(parameters: Mapping[str, str]) -> str:
    path = parameters.get("path")
    if path is None:
        raise RefusedError(400, f"say where it goes: {PATH}?path=folder/name")
    return target_path(path)


def _id(parameters: Mapping[str, str]) -> str:
    upload_id = parameters.get("upload_id")
    if upload_id is None:
        raise RefusedError(400, f"say which upload: {PATH}?upload_id=ID")
    return upload_id


def _owned(head: Head, service: Service, parameters: Mapping[str, str]) -> Upload:
    """Nothing is said of an upload to who has not its key."""
    upload = service.found(_id(parameters))
    check_key(upload, idempotency_key(head))
    return upload


async def _put(
    intake: Intake, service: Service, parameters: Mapping[str, str]
) -> Answer:
    head = intake.head
    upload = _owned(head, service, parameters)
    service.check_alive(upload)
    refuse_coded(head)
    assert upload.length is not None
    start, end = placed(byte_range(head), upload.length)
    digest = content_digest(head)
    n_bytes = body_bytes(head)
    if n_bytes not in (None, end - start):
        raise RefusedError(
            400, f"the body has {n_bytes} bytes, and the range {end - start}"
        )
    if upload.has(start, end):
        await _check_replay(service, upload, start, end, digest)
        replayed = [("Idempotency-Replayed", "true")]
    else:
        upload = await service.store.write(
            upload, start, end, intake, digest=digest, exact=head.chunked
        )
        _check_all_came(upload, start, end)
        replayed = []
    upload = await service.completed(upload)
    where = [("Content-Range", written_range(start, end, upload.length or 0))]
    return Answer(200, [*(where if start < end else ()), *replayed, *_told(upload)])


async def _check_replay(
    service: Service,
    upload: Upload,
    start: int,
    end: int,
    digest: tuple[str, bytes] | None,
) -> None:
    """Without a digest there is nothing to compare: what is durable stays."""
    if digest is None:
        return
    algorithm, value = digest
    durable = _remembered(service.store, upload, start, end, algorithm)
    if durable is None:
        durable = await service.store.digest(upload, start, end, algorithm)
    if durable not in (None, value):
        raise RefusedError(
            422, "other bytes are durable in this range already, and stay"
        )


def _remembered(
    store: Store, upload: Upload, start: int, end: int, algorithm: str
) -> bytes | None:
    """Of a range that came with its digest, which saves reading it."""
    if algorithm != "sha-256":
        return None
    replies = store.replies(upload.id, start, end)
    same = (r.digest for r in replies if (r.start, r.end) == (start, end))
    return next(same, None)


def _check_all_came(upload: Upload, start: int, end: int) -> None:
    if not upload.has(start, end):
        raise RefusedError(
            400,
            f"the body ended early; {upload.offset} bytes from the beginning on are "
            "durable",
            [("Upload-Offset", str(upload.offset))],
        )


async def _status(
    head: Head, service: Service, parameters: Mapping[str, str]
) -> Answer:
    upload = service.found(_id(parameters))
    check_key_if_sent(upload, head)
    await service.check_kept(upload)
    upload = await service.completed(upload)
    return Answer(200, [*_ranges(upload), *_told(upload)])


def _ranges(upload: Upload) -> list[tuple[str, str]]:
    spans = upload.spans[:RANGES_SHOWN]
    shown = ",".join(f"{start}-{end - 1}" for start, end in spans)
    return [("Upload-Ranges", f"bytes={shown}")] if shown else []


def _told(upload: Upload) -> list[tuple[str, str]]:
    """What there is of it; where it lies, once it is finished."""
    fields = [("Upload-Offset", str(upload.offset))]
    if upload.length is not None:
        fields.append(("Upload-Length", str(upload.length)))
    if upload.state is not SessionState.COMPLETED:
        return [*fields, ("Upload-Expires", http_date(upload.expires))]
    if upload.target is not None:
        fields.append(("Content-Location", location(upload.target)))
    return [*fields, *written_digests(upload.want)]


async def _terminate(
    head: Head, service: Service, parameters: Mapping[str, str]
) -> Answer:
    upload = _owned(head, service, parameters)
    service.check_alive(upload)
    await service.store.terminate(upload)
    return Answer(204)
