"""What is wrong with a configuration, in words, each with its key."""

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.allowances import UNLIMITED
from penstock.caps import Target
from penstock.clientids import canonical_client_id
from penstock.errors import Key, Problem, dotted, shown_word
from penstock.fieldtypes import spelled
from penstock.networks import Network, parse_network
from penstock.policies import Policy
from penstock.quotas import Quota, Stage
from penstock.schedules import Schedule
from penstock.settings import Client, Group, Settings
from penstock.sockets import Listener

_SHOWN_CHARACTERS = 60  # of a wrong value
_SECRET_KEYS = {"token_sha256", "alertmanager_token_sha256"}
_NAMED_TABLES: dict[Key, type[BaseModel]] = {
    ("clients",): Client,
    ("groups",): Group,
    ("listeners",): Listener,
    ("schedules",): Schedule,
    ("policies",): Policy,
}


NO_ROOT = Problem(
    (), "no folder to serve: name one (`penstock serve ROOT`) or set server.root"
)


def from_validation(error: ValidationError) -> list[Problem]:
    return [Problem(_key(e["loc"]), _text(e)) for e in error.errors()]


def duplicate_tokens(data: dict[str, Any]) -> list[Problem]:
    """Tokens that would identify two clients.

    Looks at the raw data, so that it finds them even when other values are wrong.
    """
    owners: dict[str, str] = {}
    problems = []
    for client_id, client in _raw_clients(data).items():
        digests = client.get("token_sha256") if isinstance(client, dict) else None
        for i, digest in enumerate(digests if isinstance(digests, list) else []):
            owner = owners.setdefault(str(digest).lower(), f"{client_id}, {i}")
            if owner != f"{client_id}, {i}":
                other = owner.rpartition(", ")[0]
                key = ("clients", client_id, "token_sha256", i)
                problems.append(Problem(key, f"clients.{other} has the same token"))
    return problems


def duplicate_clients(data: dict[str, Any]) -> list[Problem]:
    """Ids that mean one client, like two addresses of one /64; in the raw data, too."""
    seen: dict[str, str] = {}
    problems = []
    for client_id in _raw_clients(data):
        other = seen.setdefault(canonical_client_id(client_id), client_id)
        if other != client_id:
            text = f"is the same client as clients.{shown_word(other)}"
            problems.append(Problem(("clients", client_id), text))
    return problems


def duplicate_networks(data: dict[str, Any]) -> list[Problem]:
    """Networks that would be two clients, or belong to two groups; in the raw data."""
    problems = []
    for section in ("clients", "groups"):
        owners: dict[Network, str] = {}
        for name, i, network in _raw_networks(data.get(section)):
            if network not in owners:
                owners[network] = name
                continue
            other = f"by {section}.{shown_word(owners[network])}, too"
            text = (
                f"{network} is listed {'twice' if owners[network] == name else other}"
            )
            problems.append(Problem((section, name, "networks", i), text))
    return problems


def _raw_networks(tables: object) -> Iterator[tuple[str, int, Network]]:
    """Of what can be read: name of the table, place in its list, network."""
    for name, table in tables.items() if isinstance(tables, dict) else ():
        networks = table.get("networks") if isinstance(table, dict) else None
        for i, text in enumerate(networks if isinstance(networks, list) else []):
            with contextlib.suppress(ValueError):
                yield name, i, parse_network(str(text))


def _raw_clients(data: dict[str, Any]) -> dict[str, Any]:
    clients = data.get("clients")
    return clients if isinstance(clients, dict) else {}


def unknown_targets(data: dict[str, Any]) -> list[Problem]:
    """Schedules, quotas and policies that name a client or group that the file does
    not: a typing mistake would leave somebody without the limit meant for it."""
    problems = []
    for section, name, entry in _raw_entries(data, "schedules", "quotas", "policies"):
        targets = entry.get("applies_to") if isinstance(entry, dict) else None
        for i, target in enumerate(targets if isinstance(targets, list) else []):
            text = _unknown_target(data, str(target))
            if text:
                problems.append(Problem((section, name, "applies_to", i), text))
    return problems


def _raw_entries(
    data: dict[str, Any], *sections: str
) -> Iterator[tuple[str, int | str, Any]]:
    for section in sections:
        found = data.get(section)
        if isinstance(found, dict):
            yield from ((section, name, entry) for name, entry in found.items())
        elif isinstance(found, list):
            yield from ((section, i, entry) for i, entry in enumerate(found))


def _unknown_target(data: dict[str, Any], target: str) -> str:
    """What is wrong with it; of one that can not be read says the validation."""
    kind, _, name = target.partition(":")
    section = {"client": "clients", "group": "groups"}.get(kind)
    if section is None or not name:
        return ""
    known = data.get(section)
    names = known if isinstance(known, dict) else {}
    if canonical_client_id(name) in map(canonical_client_id, names):
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "add it, without a key if need be"
    return f"there is no [{section}.{shown_word(name)}]; {hint}"


def lacking_state_dir(data: dict[str, Any]) -> list[Problem]:
    server = data.get("server")
    known = isinstance(server, dict) and "state_dir" in server
    if known or not data.get("quotas"):
        return []
    text = "usage is to survive a restart: say by server.state_dir where it is kept"
    return [Problem(("quotas",), text)]


def nothing_to_scale(settings: Settings) -> list[Problem]:
    """Policies that take a part of a rate where there is none."""
    tree = settings.tree()
    return [
        Problem(
            ("policies", name, "applies_to", i),
            f"{shown_word(str(target))} has no rate to scale: set {_rate_key(target)}, "
            "or say rate instead of scale",
        )
        for name, policy in settings.policies.items()
        for i, target in enumerate(policy.applies_to)
        if policy.scale is not None and tree.rate_of(target) == UNLIMITED
    ]


def _rate_key(target: Target) -> str:
    """Where the rate of ``target`` is said."""
    if target.kind == "server":
        return "shaping.total_rate"
    if target.kind == "default":
        return "shaping.client_rate"
    return dotted((f"{target.kind}s", target.name, "rate"))


def _key(loc: Sequence[int | str]) -> Key:
    """pydantic marks an error in a mapping's key by a final ``[key]``."""
    return tuple(part for part in loc if part != "[key]")


def _text(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "extra_forbidden":
        return _unknown_key(_key(error["loc"]))
    if kind == "missing":
        return "must be set"
    if kind == "string_pattern_mismatch":
        return f"{_shown(error)} is not the name of a congestion control"
    message = error["msg"].replace("Input should be", "must be")
    message = message.replace("valid dictionary or instance of", "table:")
    if kind in ("model_type", "dict_type"):
        message = "must be a table"
    return f"{message}, not {_shown(error)}"


def _shown(error: ErrorDetails) -> str:
    if _SECRET_KEYS & set(error["loc"]):
        return "what is there"
    try:
        text = spelled(error["input"])
    except ValueError:  # an integer with more digits than Python prints
        return "a number that is far too large"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _unknown_key(key: Key) -> str:
    known = _known_keys(key[:-1])
    near = difflib.get_close_matches(str(key[-1]), known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; possible are {', '.join(known)}"


def _known_keys(section: Key) -> list[str]:
    model: type[BaseModel] = Settings
    if section[:1] in _NAMED_TABLES:
        model = _NAMED_TABLES[section[:1]]
    elif section[:1] == ("quotas",):
        model = Stage if "stages" in section[2:] else Quota
    elif section:
        found = Settings.model_fields[str(section[0])].annotation
        assert isinstance(found, type)
        assert issubclass(found, BaseModel)
        model = found
    return [info.alias or name for name, info in model.model_fields.items()]
