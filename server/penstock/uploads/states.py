"""The two state machines of an upload, as tables.

An attempt is one request that brings bytes; it is bound to its stream and ends with it.
A session outlives connections and processes; its state is in the ledger.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from penstock.uploads.model import AttemptState, SessionState


class AttemptEvent(StrEnum):
    START = "start"  # its turn has come: bytes may flow
    PAUSE = "pause"  # gate or window hold it back
    RESUME = "resume"
    COMPLETE = "complete"  # all its bytes are durable
    ABORT = "abort"  # its stream ended before, or a newer one took its place


class SessionEvent(StrEnum):
    VERIFY = "verify"  # it is whole
    REOPEN = "reopen"  # the target is taken, or the process ended meanwhile
    COMPLETE = "complete"  # published, on the disk
    FAIL = "fail"  # its bytes can not be trusted
    EXPIRE = "expire"
    TERMINATE = "terminate"


ATTEMPT: Final[Mapping[tuple[AttemptState, AttemptEvent], AttemptState]] = {
    (AttemptState.IDLE, AttemptEvent.START): AttemptState.ACTIVE,
    (AttemptState.ACTIVE, AttemptEvent.PAUSE): AttemptState.PAUSED,
    (AttemptState.PAUSED, AttemptEvent.RESUME): AttemptState.ACTIVE,
    (AttemptState.ACTIVE, AttemptEvent.COMPLETE): AttemptState.COMPLETED,
    (AttemptState.IDLE, AttemptEvent.ABORT): AttemptState.ABORTED,
    (AttemptState.ACTIVE, AttemptEvent.ABORT): AttemptState.ABORTED,
    (AttemptState.PAUSED, AttemptEvent.ABORT): AttemptState.ABORTED,
}

SESSION: Final[Mapping[tuple[SessionState, SessionEvent], SessionState]] = {
    (SessionState.OPEN, SessionEvent.VERIFY): SessionState.VERIFYING,
    (SessionState.OPEN, SessionEvent.FAIL): SessionState.FAILED,
    (SessionState.OPEN, SessionEvent.EXPIRE): SessionState.EXPIRED,
    (SessionState.OPEN, SessionEvent.TERMINATE): SessionState.TERMINATED,
    (SessionState.VERIFYING, SessionEvent.REOPEN): SessionState.OPEN,
    (SessionState.VERIFYING, SessionEvent.COMPLETE): SessionState.COMPLETED,
    (SessionState.VERIFYING, SessionEvent.FAIL): SessionState.FAILED,
    # A partial one has no target: its part file stays, and may be lost.
    (SessionState.COMPLETED, SessionEvent.FAIL): SessionState.FAILED,
    (SessionState.COMPLETED, SessionEvent.EXPIRE): SessionState.EXPIRED,
    (SessionState.COMPLETED, SessionEvent.TERMINATE): SessionState.TERMINATED,
    (SessionState.FAILED, SessionEvent.EXPIRE): SessionState.EXPIRED,
    (SessionState.FAILED, SessionEvent.TERMINATE): SessionState.TERMINATED,
}


class IllegalTransitionError(Exception):
    """An event that the state does not know: a mistake of the program."""

    def __init__(self, what: str, state: StrEnum, event: StrEnum) -> None:
        super().__init__(f"{what} that is {state} knows no {event}")
        self.state = state
        self.event = event


def next_attempt(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """Raises IllegalTransitionError."""
    try:
        return ATTEMPT[state, event]
    except KeyError:
        raise IllegalTransitionError("an attempt", state, event) from None


def next_session(state: SessionState, event: SessionEvent) -> SessionState:
    """Raises IllegalTransitionError."""
    try:
        return SESSION[state, event]
    except KeyError:
        raise IllegalTransitionError("a session", state, event) from None
