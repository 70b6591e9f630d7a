"""The bytes of a request of tus, and what its answers say of them."""

from __future__ import annotations

from penstock.uploads.answers import CHECKSUM_MISMATCH, Fields, http_date
from penstock.uploads.digest_fields import upload_checksum
from penstock.uploads.fields import (
    OCTET_STREAM,
    body_bytes,
    is_octet_stream,
    refuse_coded,
    shown,
)
from penstock.uploads.model import Head, Intake, RefusedError, SessionState, Upload
from penstock.uploads.service import Service


def check_media_type(head: Head) -> None:
    if not is_octet_stream(head):
        said = shown(head.get("content-type") or "")
        raise RefusedError(415, f"Content-Type is {said}: send {OCTET_STREAM}")


def most_bytes(service: Service, length: int | None) -> int:
    return service.most_bytes if length is None else length


def check_body(head: Head, start: int, most: int) -> tuple[str, bytes] | None:
    """Before anything changes, and before a byte is asked for.

    Returns:
        Its checksum.
    """
    refuse_coded(head)
    n_bytes = body_bytes(head)
    if n_bytes is not None and start + n_bytes > most:
        raise RefusedError(
            413, f"{n_bytes} bytes from {start} on end behind {most}, where it ends"
        )
    checksum = upload_checksum(head)
    if checksum is not None and n_bytes is None:
        raise RefusedError(411, "Upload-Checksum needs Content-Length: send both")
    return checksum


async def append(
    intake: Intake,
    service: Service,
    upload: Upload,
    start: int,
    checksum: tuple[str, bytes] | None,
) -> Upload:
    """From ``start`` on, as much as comes; what a chunked body has beyond the length is
    thrown away."""
    n_bytes = body_bytes(intake.head)
    end = most_bytes(service, upload.length) if n_bytes is None else start + n_bytes
    if start == end:
        return upload
    try:
        upload = await service.store.write(upload, start, end, intake, digest=checksum)
    except RefusedError as refused:
        raise _of_tus(refused) from None
    if not upload.has(start, end) and not (n_bytes is None and await intake.ended()):
        raise RefusedError(
            400,
            f"the body ended early: go on from {upload.offset}",
            [("Upload-Offset", str(upload.offset))],
        )
    return upload


def _of_tus(refused: RefusedError) -> RefusedError:
    if refused.status != 422:
        return refused
    detail = "the bytes do not match Upload-Checksum, and are forgotten"
    return RefusedError(CHECKSUM_MISMATCH, detail, refused.fields)


def is_final(upload: Upload) -> bool:
    return upload.concat.startswith("final")


def expiry(upload: Upload) -> Fields:
    if upload.state is SessionState.COMPLETED:
        return []
    return [("Upload-Expires", http_date(upload.expires))]
