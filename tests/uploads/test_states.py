"""Both state machines, pair by pair: what is not in the table is an error."""

from itertools import product

import pytest

from penstock.uploads.model import AttemptState, SessionState
from penstock.uploads.states import (
    AttemptEvent,
    IllegalTransitionError,
    SessionEvent,
    next_attempt,
    next_session,
)

# One row a state, one column an event, as they are defined: "-" is illegal.
ATTEMPT = {
    AttemptState.IDLE: "active - - - aborted",
    AttemptState.ACTIVE: "- paused - completed aborted",
    AttemptState.PAUSED: "- - active - aborted",
    AttemptState.COMPLETED: "- - - - -",
    AttemptState.ABORTED: "- - - - -",
}
SESSION = {
    SessionState.OPEN: "verifying - - failed expired terminated",
    SessionState.VERIFYING: "- open completed failed - -",
    SessionState.COMPLETED: "- - - failed expired terminated",
    SessionState.FAILED: "- - - - expired terminated",
    SessionState.EXPIRED: "- - - - - -",
    SessionState.TERMINATED: "- - - - - -",
}


@pytest.mark.parametrize(("state", "event"), [*product(AttemptState, AttemptEvent)])
def test_every_event_of_an_attempt(state: AttemptState, event: AttemptEvent) -> None:
    after = ATTEMPT[state].split()[list(AttemptEvent).index(event)]
    if after == "-":
        with pytest.raises(
            IllegalTransitionError, match=f"is {state} knows no {event}"
        ):
            next_attempt(state, event)
    else:
        assert next_attempt(state, event) == after


@pytest.mark.parametrize(("state", "event"), [*product(SessionState, SessionEvent)])
def test_every_event_of_a_session(state: SessionState, event: SessionEvent) -> None:
    after = SESSION[state].split()[list(SessionEvent).index(event)]
    if after == "-":
        with pytest.raises(
            IllegalTransitionError, match=f"is {state} knows no {event}"
        ):
            next_session(state, event)
    else:
        assert next_session(state, event) == after
