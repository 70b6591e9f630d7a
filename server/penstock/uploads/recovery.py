"""What is true after a crash: ledger, parts and served root, put together at start."""

import logging

from penstock.uploads import publishing, spans
from penstock.uploads.depot import Depot
from penstock.uploads.model import SessionState, Upload
from penstock.uploads.parts import LostPartError
from penstock.uploads.states import SessionEvent

log = logging.getLogger(__name__)


async def recover(depot: Depot) -> None:
    """Before anything is served. No session claims a byte afterwards that is not in its
    part; parts of no session are gone. One of which it can not be known whether it is
    published stays VERIFYING.

    Raises:
        OSError: the folder can not be read.
        RefusedError: the ledger can not be written.
    """
    for upload in _sessions(depot):
        if upload.state is SessionState.VERIFYING:
            await publishing.settle(depot, upload)
    for upload, why in await depot.in_thread(_lost, depot):
        log.error("upload %s of %s has failed: %s", upload.id, upload.owner, why)
        await depot.end(upload, SessionEvent.FAIL, why=why)
    for upload in _sessions(depot):
        if holds_part(upload):
            reach = spans.reach(upload.spans)
            n_bytes = reach if upload.length is None else upload.length
            depot.space.restore(upload.id, upload.owner, n_bytes)
    if dropped := await depot.in_thread(_drop_others, depot):
        log.info("dropped %d part files of uploads that have ended", dropped)


def holds_part(upload: Upload) -> bool:
    """A partial upload keeps its part: it is no file, and may be joined to others."""
    match upload.state:
        case SessionState.OPEN | SessionState.VERIFYING:
            return True
        case SessionState.COMPLETED:
            return upload.target is None
        case _:
            return False


def _sessions(depot: Depot) -> list[Upload]:
    return list(depot.ledger.sessions.values())


def _lost(depot: Depot) -> list[tuple[Upload, str]]:
    """Sessions whose bytes are not there, and why. Blocks."""
    found = []
    for upload in filter(holds_part, _sessions(depot)):
        if upload.state is SessionState.VERIFYING:
            continue  # its bytes may have their name, and no other any more
        try:
            reach = spans.reach(upload.spans)
            depot.parts.check(upload.id, upload.inode, reach)
        except LostPartError as error:
            found.append((upload, str(error)))
    return found


def _drop_others(depot: Depot) -> int:
    """Blocks."""
    holders = {upload.id for upload in _sessions(depot) if holds_part(upload)}
    others = depot.parts.ids() - holders
    for upload_id in others:
        depot.parts.release(upload_id)
    if others:
        depot.parts.sync()
    return len(others)
