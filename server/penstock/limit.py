"""``penstock limit`` and ``penstock group``: changes of a running server's limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from penstock.adminclient import AdminClient
from penstock.allowances import ModeSaid
from penstock.clientids import check_client_id, check_group_name
from penstock.errors import PenstockError
from penstock.rates import format_rate, parse_rate


@dataclass(frozen=True)
class Options:
    """What a command can say besides the rate, as people write it; None: as it was."""

    ceil: str | None = None
    min: str | None = None
    weight: int | None = None
    mode: ModeSaid | None = None  # of a client only
    upload_rate: str | None = None  # likewise

    def body(self) -> dict[str, int | str | None]:
        """Of a request; what was not said is not in it.

        Raises:
            PenstockError: one of them is no rate.
        """
        said: dict[str, int | str | None] = {}
        if self.ceil is not None:
            said["ceil_bps"] = _rate_or_zero("--ceil", self.ceil) or None
        if self.min is not None:
            said["min_bps"] = _rate_or_zero("--min", self.min)
        if self.weight is not None:
            said["weight"] = self.weight
        if self.mode is not None:
            said["mode"] = None if self.mode == "none" else self.mode
        if self.upload_rate is not None:
            rate = _rate_or_zero("--upload-rate", self.upload_rate)
            said["upload_rate_bps"] = rate or None
        return said


def set_limit(
    client_id: str,
    rate: str | None,
    admin: AdminClient,
    options: Options | None = None,
    group: str | None = None,
) -> str:
    """Change a client's limit; returns a line that says what holds now.

    Args:
        rate: None for the one it has, its own or that of its class.
        group: "" for none, None for the one it is in.

    Raises:
        PenstockError: something is wrong, the server can not be reached or refuses.
    """
    change: dict[str, Any] = {
        "client_id": _name("CLIENT", check_client_id, client_id),
        **(options or Options()).body(),
    }
    if rate is not None:
        change["target_bps"] = _rate("RATE", rate)
    if group is not None:
        change["group"] = _name("--group", check_group_name, group) if group else None
    if len(change) == 1:
        raise PenstockError("RATE is missing, or an option that says what changes")
    response = admin.ask("POST", "/config", change)
    answer = admin.understood(response)
    try:
        said = f"{answer['client_id']}: {_limit(answer['target_bps'])}"
        return f"{said} (config version {answer['config_version']})"
    except (KeyError, TypeError):
        raise admin.stranger(response) from None


def set_group(
    name: str, rate: str | None, admin: AdminClient, options: Options | None = None
) -> str:
    """Make a group or change it; returns a line that says what holds now.

    What is not said stays as it was: it is read first, and the change is refused when
    somebody else made one meanwhile.

    Raises:
        PenstockError: something is wrong, the server can not be reached or refuses.
    """
    path = f"/groups/{quote(_name('NAME', check_group_name, name), safe='')}"
    change: dict[str, int | str | None] = (options or Options()).body()
    if rate is not None:
        change["rate_bps"] = _rate("RATE", rate)
    before = admin.ask("GET", path)
    fields = {"if-match": before.headers["etag"]} if "etag" in before.headers else {}
    if before.status_code != httpx.codes.NOT_FOUND:
        change = {**_plan(admin, before), **change}
    response = admin.ask("PUT", path, change, **fields)
    plan = _plan(admin, response)
    version = admin.understood(response).get("config_version")
    return f"{name}: {_words(plan)} (config version {version})"


_PLAN = ("rate_bps", "ceil_bps", "min_bps", "weight", "burst_bytes", "peak_bps")


def _plan(admin: AdminClient, response: httpx.Response) -> dict[str, int | None]:
    answer = admin.understood(response)
    try:
        return {key: answer[key] for key in _PLAN}
    except KeyError:
        raise admin.stranger(response) from None


def _words(plan: dict[str, int | None]) -> str:
    rates = [
        f"{key.removesuffix('_bps')} {format_rate(value)}"
        for key in ("ceil_bps", "min_bps")
        if (value := plan[key])
    ]
    return ", ".join([_limit(plan["rate_bps"]), *rates, f"weight {plan['weight']}"])


def _limit(rate_bps: int | None) -> str:
    return format_rate(rate_bps) if rate_bps else "no limit"


def _name(what: str, check: Callable[[str], str], name: str) -> str:
    try:
        name.encode()
        return check(name)
    except UnicodeEncodeError:
        raise PenstockError(f"{what} is not UTF-8") from None
    except ValueError as error:
        raise PenstockError(str(error)) from None


def _rate(what: str, text: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise PenstockError(f"{what}: {error}") from None


def _rate_or_zero(what: str, text: str) -> int:
    return 0 if text.strip() == "0" else _rate(what, text)
