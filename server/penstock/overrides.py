"""What the admin API says of clients and groups: it lies over what the file says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock.tree import Spec, Tree


@dataclass(frozen=True)
class Overrides:
    """
    Attributes:
        clients: by canonical id.
    """

    groups: Mapping[str, Spec] = field(default_factory=dict)
    clients: Mapping[str, Spec] = field(default_factory=dict)

    def over(self, tree: Tree) -> Tree:
        return tree.overlaid(self.groups, self.clients)

    def public(self) -> dict[str, dict[str, dict[str, object]]]:
        """What is said of each, by the names of a Spec's fields."""
        return {
            "groups": {name: _said(spec) for name, spec in self.groups.items()},
            "clients": {name: _said(spec) for name, spec in self.clients.items()},
        }

    def with_client(self, client_id: str, spec: Spec) -> "Overrides":
        return replace(self, clients={**self.clients, client_id: spec})

    def with_group(self, name: str, spec: Spec) -> "Overrides":
        return replace(self, groups={**self.groups, name: spec})

    def without_client(self, client_id: str) -> "Overrides":
        """
        Raises:
            LookupError: nothing is said of it.
        """
        return replace(self, clients=_without(self.clients, client_id))

    def without_group(self, name: str) -> "Overrides":
        """
        Raises:
            LookupError: nothing is said of it.
        """
        return replace(self, groups=_without(self.groups, name))

    def without_what(self, file: Tree) -> "Overrides":
        """Less what ``file`` names: who writes it there means it."""
        return Overrides(
            {n: s for n, s in self.groups.items() if n not in file.groups},
            {i: s for i, s in self.clients.items() if i not in file.clients},
        )


def _said(spec: Spec) -> dict[str, object]:
    return {n: value for n, value in spec._asdict().items() if value is not None}


def _without(specs: Mapping[str, Spec], name: str) -> Mapping[str, Spec]:
    if name not in specs:
        raise LookupError(name)
    return {other: spec for other, spec in specs.items() if other != name}
