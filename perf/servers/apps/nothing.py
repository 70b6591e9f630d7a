"""What granian asks for a path that is not below its folder of static files."""

from typing import Any


async def app(scope: Any, protocol: Any) -> None:
    """An RSGI application that has nothing."""
    del scope
    protocol.response_empty(404, [])
