"""What the changes of the admin API have in common: refusals and their shape."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from penstock.admin_models import Reason, Refused
from penstock.errors import Key, Problem
from penstock.tree import TreeError

_CHANGED: dict[int | str, dict[str, Any]] = {
    412: {"model": Reason, "description": "If-Match: another version holds by now"},
    422: {"model": Refused, "description": "Refused; nothing has changed"},
}
BODY_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Reason, "description": "The body is not JSON, or If-Match no ETag"},
    408: {"model": Reason, "description": "The body did not come in time"},
    413: {"model": Reason, "description": "The body is too large"},
    415: {"model": Reason, "description": "Content-Type is not application/json"},
    **_CHANGED,
    503: {"model": Reason, "description": "The client table is full"},
}
DROP_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Reason, "description": "If-Match is no ETag"},
    404: {"model": Reason, "description": "There is nothing to take back"},
    409: {"model": Reason, "description": "Others depend on it"},
    **_CHANGED,
}
# What the file calls it -> what the body does.
SPEC_FIELDS = {
    "rate": "rate_bps",
    "ceil": "ceil_bps",
    "min": "min_bps",
    "weight": "weight",
    "burst": "burst_bytes",
    "peak": "peak_bps",
    "group": "group",
    "mode": "mode",
    "upload_rate": "upload_rate_bps",
}
LIMIT_FIELDS = {**SPEC_FIELDS, "rate": "target_bps"}


def changed(change: Callable[[], int], at: Key, fields: Mapping[str, str]) -> int:
    """The version that ``change`` gives.

    Args:
        at: the node that the body is about, as a key of the file.
        fields: of the body, by the key of the file.

    Raises:
        RequestValidationError, HTTPException: it was refused.
    """
    try:
        return change()
    except TreeError as error:
        problems = [_in_body(problem, at, fields) for problem in error.problems]
        raise RequestValidationError(problems) from None
    except OverflowError as error:
        raise HTTPException(503, str(error)) from None
    except ValueError as error:
        raise RequestValidationError([_problem(("body",), str(error))]) from None


def dropped(drop: Callable[[], int], what: str) -> int:
    """The version that ``drop`` gives.

    Raises:
        HTTPException: it was refused.
    """
    try:
        return drop()
    except TreeError as error:
        raise HTTPException(409, str(error)) from None
    except LookupError:
        raise HTTPException(
            404, f"this API has said nothing of {what}: there is nothing to take back"
        ) from None


def _in_body(problem: Problem, at: Key, fields: Mapping[str, str]) -> dict[str, Any]:
    where: tuple[str, ...] = ("body",)
    if problem.key[:-1] == at:
        where = ("body", fields[str(problem.key[-1])])
    return _problem(where, problem.line)


def _problem(where: tuple[str, ...], text: str) -> dict[str, Any]:
    return {"loc": where, "msg": text, "type": "value_error"}
