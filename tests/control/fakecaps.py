"""The caps of a client table, kept in memory, with the calls that set them."""

from penstock.usage import Sent


class FakeUsage:
    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def take(self) -> list[Sent]:
        taken, self.sent = self.sent, []
        return taken


class FakeCaps:
    """``ClientTable``, as far as caps and usage go.

    Attributes:
        caps: by target: bytes per second and cause.
        calls: all that set one: target, bytes per second, cause.
        missing: ids of clients that have no row, and names of groups that are not.
    """

    def __init__(self) -> None:
        self.caps: dict[str, tuple[int, str]] = {}
        self.calls: list[tuple[str, int, str]] = []
        self.missing: set[str] = set()
        self.counted = FakeUsage()

    def _set(self, target: str, cap_bps: int, by: str) -> None:
        self.calls.append((target, cap_bps, by))
        self.caps[target] = (cap_bps, by)
        if not cap_bps:
            del self.caps[target]

    def find(self, client_id: str) -> object:
        return None if client_id in self.missing else client_id

    def set_cap(self, client_id: str, cap_bps: int, by: str) -> None:
        assert client_id not in self.missing, "this would make a row"
        self._set(f"client:{client_id}", cap_bps, by)

    def set_group_cap(self, name: str, cap_bps: int, by: str) -> None:
        if name in self.missing:
            raise ValueError(f"group: there is no group {name!r}")
        self._set(f"group:{name}", cap_bps, by)

    def set_default_cap(self, cap_bps: int, by: str) -> None:
        self._set("default", cap_bps, by)

    def set_total_cap(self, cap_bps: int, by: str) -> None:
        self._set("server", cap_bps, by)

    def usage(self) -> FakeUsage:
        return self.counted
