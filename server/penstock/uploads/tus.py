"""tus 1.0 on ``/files``, as a thin layer over the same uploads.

Its offset is how much is durable without a gap. Its ids are what lets a client go on:
an upload that was begun by ``POST /upload`` has a key, and wants it here, too.
"""

from __future__ import annotations

from penstock.uploads.answers import Answer, Fields, not_allowed
from penstock.uploads.digest_fields import CHECKSUMS
from penstock.uploads.fields import idempotency_key, number, shown
from penstock.uploads.model import Head, Intake, RefusedError, Upload
from penstock.uploads.service import Service, check_key, too_large
from penstock.uploads.tus_bytes import (
    append,
    check_body,
    check_media_type,
    expiry,
    is_final,
    most_bytes,
)
from penstock.uploads.tus_creation import create
from penstock.uploads.tus_fields import FILES, VERSION, id_in

EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "expiration",
    "termination",
    "concatenation",
)
EVERYWHERE: Fields = (("Tus-Resumable", VERSION),)
_OF_ALL = ("POST", "OPTIONS")
_OF_ONE = ("HEAD", "PATCH", "DELETE", "OPTIONS")


async def answered(intake: Intake, service: Service, path: str) -> Answer:
    head = intake.head
    method = _meant(head)
    if method == "OPTIONS":
        return _discovery(service)
    _check_version(head)
    if path in (FILES, FILES + "/"):
        if method != "POST":
            raise not_allowed(_OF_ALL)
        return await create(intake, service)
    upload = _permitted(head, service, path)
    match method:
        case "HEAD":
            return await _status(service, upload)
        case "PATCH":
            return await _patch(intake, service, upload)
        case "DELETE":
            await service.store.terminate(upload)
            return Answer(204)
    raise not_allowed(_OF_ONE)


def _meant(head: Head) -> str:
    """For whom something on the way keeps from all methods but GET and POST."""
    override = head.get("x-http-method-override")
    if override is None or head.method != "POST":
        return head.method
    return override.upper()


def _discovery(service: Service) -> Answer:
    return Answer(
        204,
        [
            ("Tus-Version", VERSION),
            ("Tus-Extension", ",".join(EXTENSIONS)),
            ("Tus-Max-Size", str(service.most_bytes)),
            ("Tus-Checksum-Algorithm", ",".join(CHECKSUMS)),
        ],
    )


def _check_version(head: Head) -> None:
    version = head.get("tus-resumable")
    if version != VERSION:
        said = "is missing" if version is None else f"{shown(version)} is not spoken"
        raise RefusedError(
            412,
            f"Tus-Resumable: {said} here; {VERSION} is",
            [("Tus-Version", VERSION)],
        )


def _permitted(head: Head, service: Service, path: str) -> Upload:
    upload = service.found(id_in(path) or "")
    if upload.key_hash:
        check_key(upload, idempotency_key(head))
    service.check_alive(upload)
    return upload


async def _status(service: Service, upload: Upload) -> Answer:
    """For who goes on: bytes of an older request, whose client may be gone unnoticed,
    are counted first."""
    upload = await service.store.settle(upload)
    await service.check_kept(upload)
    upload = await service.completed(upload)
    optional = [("Upload-Metadata", upload.metadata), ("Upload-Concat", upload.concat)]
    return Answer(
        200,
        [
            ("Upload-Offset", str(upload.offset)),
            _length(upload),
            *((name, value) for name, value in optional if value),
            *expiry(upload),
        ],
    )


def _length(upload: Upload) -> tuple[str, str]:
    if upload.length is None:
        return ("Upload-Defer-Length", "1")
    return ("Upload-Length", str(upload.length))


async def _patch(intake: Intake, service: Service, upload: Upload) -> Answer:
    head = intake.head
    if is_final(upload):
        raise RefusedError(403, "an upload put together from others takes no bytes")
    check_media_type(head)
    offset = number(head, "Upload-Offset")
    if offset is None:
        raise RefusedError(400, "say by Upload-Offset where the bytes belong")
    if offset != upload.offset:
        raise RefusedError(
            409,
            f"the offset is {upload.offset}, not {offset}: go on from there",
            [("Upload-Offset", str(upload.offset))],
        )
    length = _said_length(head, upload)
    checksum = check_body(head, offset, most_bytes(service, length))
    if length is not None and upload.length is None:
        await _set_length(service, upload, length)
        upload = service.found(upload.id)
    upload = await append(intake, service, upload, offset, checksum)
    upload = await service.completed(upload)
    return Answer(204, [("Upload-Offset", str(upload.offset)), *expiry(upload)])


def _said_length(head: Head, upload: Upload) -> int | None:
    """One that was left open may be said once; the same again is no change, because
    whoever was cut off repeats it."""
    said = number(head, "Upload-Length")
    if said is None or said == upload.length:
        return upload.length
    if upload.length is not None:
        raise RefusedError(
            400, f"Upload-Length is {upload.length}, and does not change any more"
        )
    if said < upload.offset:
        raise RefusedError(400, f"there are {upload.offset} bytes already")
    return said


async def _set_length(service: Service, upload: Upload, length: int) -> None:
    if length > service.most_bytes:
        raise too_large(service.most_bytes)
    await service.store.set_length(upload, length)
