"""The shaping tree: what is said of the server, its groups and clients, and what holds.

A Spec is what the file or the admin API says of one node, an Allowance what holds then.
Pure: no I/O, no clock. A tree does not change: every change makes another one, which is
checked as a whole before the engine hears of it.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.allowances import DEFAULT_WEIGHT, UNLIMITED, Allowance, Mode
from penstock.caps import Target
from penstock.clientids import canonical_client_id
from penstock.errors import Key, Problem, dotted
from penstock.rates import format_rate

NO_GROUP = ""  # said of a client: directly below the server, whatever the default is
_TERMS_SHOWN = 6  # of a sum of guarantees
_TOTAL_KEY: Key = ("shaping", "total_rate")
_CLASS: Key = ("shaping",)


class Spec(NamedTuple):
    """What is said of a node; None: nothing. Rates in bytes per second, and 0 is what
    it is in an Allowance."""

    rate_bps: int | None = None
    ceil_bps: int | None = None
    min_bps: int | None = None
    weight: int | None = None
    burst_bytes: int | None = None
    peak_bps: int | None = None
    group: str | None = None  # of clients only, as what follows
    mode: Mode | None = None
    upload_rate_bps: int | None = None  # of what it brings; no part of an Allowance


NOTHING = Spec()


class Member(NamedTuple):
    """What holds for a client; without a group it is a child of the server."""

    allowed: Allowance
    group: str | None


class TreeError(Exception):
    """A tree that contradicts itself."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.line for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Tree:
    """
    Attributes:
        default: the class of clients of which nothing is said.
        clients: by canonical id.
    """

    total_rate_bps: int = UNLIMITED
    default: Spec = NOTHING
    groups: Mapping[str, Spec] = field(default_factory=dict)
    clients: Mapping[str, Spec] = field(default_factory=dict)

    def overlaid(
        self, groups: Mapping[str, Spec], clients: Mapping[str, Spec]
    ) -> "Tree":
        """This tree with other specs where there are any; they replace whole nodes."""
        return Tree(
            self.total_rate_bps,
            self.default,
            {**self.groups, **groups},
            {**self.clients, **clients},
        )

    def spec(self, client_id: str) -> Spec:
        return self.clients.get(canonical_client_id(client_id), NOTHING)

    def member(self, client_id: str) -> Member:
        """Whatever is not said of the client is that of its class. Who has a rate of
        its own takes ceil, burst and peak from nobody: they belong to the rate."""
        spec = self.spec(client_id)
        return Member(_allowance(spec, self.default), self._group_of(spec))

    def stranger(self) -> Member:
        """What holds for clients of which nothing is said."""
        return Member(_allowance(NOTHING, self.default), self._group_of(NOTHING))

    def group(self, name: str) -> Allowance:
        """
        Raises:
            KeyError: there is no such group.
        """
        return _allowance(self.groups[name], NOTHING)

    def rate_of(self, target: Target) -> int:
        """Configured, in bytes per second; UNLIMITED also of what there is not."""
        if target.kind == "server":
            return self.total_rate_bps
        if target.kind == "default":
            return self.stranger().allowed.rate_bps
        if target.kind == "client":
            return self.member(target.name).allowed.rate_bps
        known = target.name in self.groups
        return self.group(target.name).rate_bps if known else UNLIMITED

    def upload_rate_of(self, client_id: str) -> int:
        """In bytes per second, or UNLIMITED."""
        said = self.spec(client_id).upload_rate_bps
        return _first(said, self.default.upload_rate_bps, UNLIMITED)

    def _group_of(self, spec: Spec) -> str | None:
        return (self.default.group if spec.group is None else spec.group) or None

    def problems(self) -> list[Problem]:
        """Everything that is wrong with it."""
        default_bps = self.default.rate_bps or UNLIMITED
        found = list(_contradictions(self.default, default_bps, _CLASS, _CLASS))
        found += self._unknown_group(self.default, _CLASS)
        for name, spec in self.groups.items():
            at: Key = ("groups", name)
            found += _contradictions(spec, spec.rate_bps or UNLIMITED, at, at)
        for client_id in self.clients:
            found += self._problems_of_client(client_id)
        return found + list(self._overcommitted())

    def problems_with(self, client_id: str) -> list[Problem]:
        """As ``problems`` when only this client has changed; much sooner."""
        found = self._problems_of_client(canonical_client_id(client_id))
        return [*found, *self._overcommitted()]

    def _problems_of_client(self, client_id: str) -> list[Problem]:
        spec = self.clients.get(client_id, NOTHING)
        at: Key = ("clients", client_id)
        rate_bps = _first(spec.rate_bps, self.default.rate_bps, UNLIMITED)
        rate_at = _CLASS if spec.rate_bps is None and rate_bps else at
        found = _contradictions(spec, rate_bps, at, rate_at)
        return [*found, *self._unknown_group(spec, at)]

    def _unknown_group(self, spec: Spec, at: Key) -> Iterator[Problem]:
        name = spec.group
        if not name or name in self.groups:
            return
        near = difflib.get_close_matches(name, self.groups, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ": add it to [groups]"
        yield Problem(_named(at, "group"), f"there is no group {name!r}{hint}")

    def _overcommitted(self) -> Iterator[Problem]:
        """Guarantees that nobody could keep, with the arithmetic."""
        below: dict[str | None, list[tuple[int, Key]]] = defaultdict(list)
        for name, spec in self.groups.items():
            if spec.min_bps:
                below[None].append((spec.min_bps, ("groups", name, "min")))
        for client_id, spec in self.clients.items():
            if spec.min_bps:
                term = (spec.min_bps, ("clients", client_id, "min"))
                parent = self._group_of(spec)
                below[parent].append(term)
                # Whose group is promised nothing relies on the server itself.
                if parent is not None and not self._is_promised(parent):
                    below[None].append(term)
        for parent, terms in below.items():
            bound_bps, bound_key = self._promise(parent)
            if bound_bps and sum(min_bps for min_bps, _ in terms) > bound_bps:
                yield _arithmetic(terms, bound_bps, bound_key)

    def _is_promised(self, name: str) -> bool:
        return bool(name in self.groups and self.groups[name].min_bps)

    def _promise(self, parent: str | None) -> tuple[int, Key]:
        """What the children of ``parent`` can count on, and where that is said."""
        if parent is None:
            return self.total_rate_bps, _TOTAL_KEY
        allowed = self.group(parent) if parent in self.groups else Allowance()
        name = "min" if allowed.min_bps else "rate"
        return allowed.min_bps or allowed.rate_bps, ("groups", parent, name)


def _allowance(spec: Spec, parent_class: Spec) -> Allowance:
    of_rate = parent_class if spec.rate_bps is None else NOTHING
    return Allowance(
        _first(spec.rate_bps, parent_class.rate_bps, UNLIMITED),
        _first(spec.ceil_bps, of_rate.ceil_bps, 0),
        spec.min_bps or 0,
        _first(spec.weight, parent_class.weight, DEFAULT_WEIGHT),
        _first(spec.burst_bytes, of_rate.burst_bytes, 0),
        _first(spec.peak_bps, of_rate.peak_bps, 0),
        spec.mode or parent_class.mode or "off",
    )


def _first(said: int | None, inherited: int | None, default: int) -> int:
    if said is not None:
        return said
    return default if inherited is None else inherited


def _named(at: Key, name: str) -> Key:
    """The key of one value: those of the default class are `shaping.client_…`."""
    return (*at, f"client_{name}" if at == _CLASS else name)


def _contradictions(
    spec: Spec, rate_bps: int, at: Key, rate_at: Key
) -> Iterator[Problem]:
    """Of what is said at ``at``, and ``rate_bps``, which is said at ``rate_at``."""
    rate_name = dotted(_named(rate_at, "rate"))
    rate = f"{rate_name} {format_rate(rate_bps)}"
    for name, value in (
        ("ceil", spec.ceil_bps),
        ("burst", spec.burst_bytes),
        ("peak", spec.peak_bps),
    ):
        if value and not rate_bps:
            text = f"needs {rate_name}: without one there is no limit"
            yield Problem(_named(at, name), text)
        elif value and name != "burst" and value < rate_bps:
            yield Problem(_named(at, name), f"{format_rate(value)} is below {rate}")
    if spec.min_bps and rate_bps and spec.min_bps > rate_bps:
        text = f"{format_rate(spec.min_bps)} is above {rate}"
        yield Problem(_named(at, "min"), text)


def _arithmetic(
    terms: list[tuple[int, Key]], bound_bps: int, bound_key: Key
) -> Problem:
    """Of the first term; the largest of the others are shown."""
    terms = sorted(terms, key=lambda term: (-term[0], term[1]))
    (first_bps, first_key), shown, rest = (
        terms[0],
        terms[1:_TERMS_SHOWN],
        terms[_TERMS_SHOWN:],
    )
    words = [format_rate(first_bps)]
    words += [f"{dotted(key)}: {format_rate(bps)}" for bps, key in shown]
    if rest:
        words.append(f"{len(rest)} others: {format_rate(sum(bps for bps, _ in rest))}")
    bound = f"{dotted(bound_key)} {format_rate(bound_bps)}"
    if len(terms) == 1:
        return Problem(first_key, f"{words[0]} exceeds {bound}")
    total = format_rate(sum(bps for bps, _ in terms))
    return Problem(first_key, f"{' + '.join(words)} = {total} exceed {bound}")
