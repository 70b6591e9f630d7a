"""``POST /files``: a new upload, with or without bytes, or put together from others."""

from __future__ import annotations

from dataclasses import replace

from penstock.uploads.answers import Answer
from penstock.uploads.fields import defers_length, has_body, is_octet_stream, number
from penstock.uploads.model import Head, Intake, RefusedError, Upload
from penstock.uploads.names import named_by
from penstock.uploads.service import Service
from penstock.uploads.tus_bytes import (
    append,
    check_body,
    check_media_type,
    expiry,
    most_bytes,
)
from penstock.uploads.tus_fields import (
    FILES,
    Concat,
    upload_concat,
    upload_metadata,
    written_metadata,
)


async def create(intake: Intake, service: Service) -> Answer:
    head = intake.head
    concat = upload_concat(head)
    if concat is not None and concat.parts:
        return _created(await _put_together(head, service, concat))
    draft = _drafted(head, service, concat, _length(head))
    brings_bytes = has_body(head) or is_octet_stream(head)
    checksum = None
    if brings_bytes:
        check_media_type(head)
        checksum = check_body(head, 0, most_bytes(service, draft.length))
    upload = await service.store.create(draft, now=service.clock())
    async with service.or_forgotten(upload):
        if brings_bytes:
            upload = await append(intake, service, upload, 0, checksum)
        upload = await service.completed(upload)
    return _created(upload, with_offset=brings_bytes)


def _created(upload: Upload, *, with_offset: bool = False) -> Answer:
    offset = [("Upload-Offset", str(upload.offset))] if with_offset else []
    location = ("Location", f"{FILES}/{upload.id}")
    return Answer(201, [location, *offset, *expiry(upload)])


def _length(head: Head) -> int | None:
    length, deferred = number(head, "Upload-Length"), defers_length(head)
    if (length is None) != deferred:
        raise RefusedError(
            400, "say either Upload-Length, or Upload-Defer-Length: 1, and not both"
        )
    return length


def _drafted(
    head: Head, service: Service, concat: Concat | None, length: int | None
) -> Upload:
    """A partial one is no file, and needs no name; any other that has none gets its id
    as one."""
    draft = service.drafted(head, length)
    metadata = upload_metadata(head)
    is_partial = concat is not None and not concat.parts
    return replace(
        draft,
        target=None if is_partial else named_by(metadata) or draft.id,
        metadata=written_metadata(metadata),
        concat="" if concat is None else str(concat),
    )


async def _put_together(head: Head, service: Service, concat: Concat) -> Upload:
    if has_body(head):
        raise RefusedError(400, "an upload put together from others takes no bytes")
    if number(head, "Upload-Length") is not None or defers_length(head):
        raise RefusedError(400, "the length of a final upload is that of its parts")
    parts = [await _part(service, upload_id) for upload_id in concat.parts]
    length = sum(part.offset for part in parts)
    draft = _drafted(head, service, concat, length)
    return await service.store.concatenate(draft, parts)


async def _part(service: Service, upload_id: str) -> Upload:
    part = service.found(upload_id)
    service.check_alive(part)
    if part.target is not None:
        raise RefusedError(400, f"{FILES}/{upload_id} is not a partial upload")
    if not part.is_whole:
        raise RefusedError(400, f"{FILES}/{upload_id} is not finished")
    return await service.completed(part)
