"""Cases that several workloads have: bodies of one size, over so many connections."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf import corpus


@dataclass(frozen=True, slots=True)
class Case:
    size_bytes: int
    connections: int
    congestion: str | None = None  # TCP's control; None: no case of its own

    def title(self) -> str:
        parts = [corpus.title(self.size_bytes), counted(self.connections)]
        if self.congestion is not None:
            parts.append(self.congestion)
        return ", ".join(parts)


def counted(connections: int) -> str:
    return f"{connections} connection{'s' * (connections > 1)}"


def combined(
    sizes: Sequence[int],
    connections: Sequence[int],
    congestions: Sequence[str | None] = (None,),
) -> dict[str, Case]:
    """Every combination, by its title."""
    all_cases = [
        Case(size, count, congestion)
        for congestion in congestions
        for size in sizes
        for count in connections
    ]
    return {case.title(): case for case in all_cases}
