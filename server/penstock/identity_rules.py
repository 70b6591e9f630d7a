"""How clients are told apart, as the engine takes it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

# How somebody is found, and which field says whom a trusted proxy serves.
Method = Literal["token", "header", "network", "address"]
Forwarded = Literal["auto", "forwarded", "x-forwarded-for", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
HEADER_NAME_BYTES_MAX = 63  # the engine's own bound; a test holds them together

# First address (16 bytes, v4 as v4-mapped) and prefix, of 128 bits.
WideNetwork = tuple[bytes, int]


class IdentityRules(NamedTuple):
    """
    Args:
        methods: in their order; "address" is the last.
        header: name of the field that names clients; "": none.
        proxies: networks that are trusted.
        clients: networks that are one client each, with its id.
        groups: networks whose clients belong to a group, with its name.
    """

    methods: Sequence[Method] = METHODS
    forwarded: Forwarded = "auto"
    header: str = ""
    proxies: Sequence[WideNetwork] = ()
    clients: Sequence[tuple[WideNetwork, str]] = ()
    groups: Sequence[tuple[WideNetwork, str]] = ()
