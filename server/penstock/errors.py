"""What penstock refuses, in words for the person who runs it."""

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
