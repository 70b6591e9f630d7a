"""The one exception that the harness shows to its user as a line, not a traceback."""


class PerfError(Exception):
    """The run cannot go on; the message says what was found and what to do."""
