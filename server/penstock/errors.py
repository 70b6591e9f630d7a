"""What penstock refuses, in words for the person who runs it."""

from dataclasses import dataclass

Key = tuple[int | str, ...]  # where in the file: ("clients", "a", "rate")
EXIT_REFUSED = 2  # wrong command, configuration or environment
EXIT_CRASHED = 1  # something that ran before has failed


class PenstockError(Exception):
    """A refusal: each problem is one line that names its remedy."""

    exit_code = EXIT_REFUSED

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CrashError(PenstockError):
    """A part failed while the server was running."""

    exit_code = EXIT_CRASHED


@dataclass(frozen=True)
class Problem:
    """What is wrong with a setting, and with which."""

    key: Key
    text: str

    @property
    def line(self) -> str:
        return f"{dotted(self.key)}: {self.text}" if self.key else self.text


def dotted(key: Key) -> str:
    words = [f"[{p}]" if isinstance(p, int) else f".{shown_word(p)}" for p in key]
    return "".join(words).removeprefix(".")


def shown_word(part: str) -> str:
    """What a terminal would obey is shown, not sent."""
    return part if part.isprintable() else repr(part)
