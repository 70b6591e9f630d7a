"""What parsers of fields give: a value, or how they refuse."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.uploads.model import Head, RefusedError

Parser = Callable[..., Any]


def refusal(parse: Parser, *arguments: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        parse(*arguments)
    return caught.value


def outcome(parse: Parser, *arguments: Any) -> Any:
    """What it returns, or how it refuses."""
    try:
        return parse(*arguments)
    except RefusedError as refused:
        return refused


def check_outcome(parse: Parser, said: Head) -> None:
    found = outcome(parse, said)
    if isinstance(found, RefusedError):
        assert 400 <= found.status < 500
        assert found.detail.isascii()
        assert found.detail.isprintable()
