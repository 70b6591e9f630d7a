"""Field types of the settings: TOML value or flag in, plain number out.

Each accepts one spelling for people and the plain number; booleans, which Python
counts as integers, are refused.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, PlainSerializer

from penstock.addresses import Address, parse_address
from penstock.durations import (
    DURATION_EXAMPLES,
    SECOND_NS,
    format_duration,
    parse_duration,
)
from penstock.networks import NETWORK_EXAMPLES, Network, parse_network
from penstock.rates import (
    RATE_EXAMPLES,
    SIZE_EXAMPLES,
    check_rate,
    format_rate,
    parse_rate,
    parse_size,
)

CPU_MAX = 8191  # Linux' largest NR_CPUS on x86-64, minus one
_SHA256_BYTES = 32
ENCODINGS = ("br", "zstd", "gzip")  # that a sidecar can have


def between(
    low: float, high: float, show: Callable[[Any], str] = str
) -> AfterValidator:
    """Refuses numbers outside of ``low`` to ``high``, both allowed."""

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"{show(value)} is not from {show(low)} to {show(high)}")
        return value

    return AfterValidator(check)


def printable(what: str, most: int) -> AfterValidator:
    """Refuses text that can not be a label's value in the metrics: 1 to ``most``
    characters, all of them printable."""

    def check(text: str) -> str:
        if not 1 <= len(text) <= most or not text.isprintable():
            raise ValueError(f"{what} has 1 to {most} printable characters")
        return text

    return AfterValidator(check)


def _reader(
    parse: Callable[[str], int], number: Callable[[int], int], kind: str, examples: str
) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return number(value)
        raise ValueError(f"{spelled(value)} is not a {kind}; {examples}")

    return read


def spelled(value: object) -> str:
    """As the file would spell it, or nearly so."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str | list | dict) else str(value)


def _seconds(value: object) -> int:
    return parse_duration(repr(value)) if isinstance(value, float) else _whole(value)


_whole = _reader(
    parse_duration, lambda seconds: seconds * SECOND_NS, "duration", DURATION_EXAMPLES
)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{spelled(value)} is not a number")


def _cpus(value: object) -> object:
    """``"0,2-3"`` as a list; anything else unchanged."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    cpus: list[int] = []
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(
                f"{value!r} is not a list of CPUs; write it like 0,1 or 0-3"
            )
        low, high = int(first), int(last or first)
        if max(low, high) > CPU_MAX:
            raise ValueError(f"CPUs end at {CPU_MAX}")
        if low > high:
            raise ValueError(f"{part.strip()!r} has no CPU: write the lower one first")
        cpus.extend(range(low, high + 1))
    return tuple(cpus)


def _encodings(value: object) -> object:
    """``"br,gzip"`` or a list of them; each once."""
    if isinstance(value, str):
        return _known([part.strip() for part in value.split(",")])
    if isinstance(value, list | tuple):
        return _known(list(value))
    raise ValueError('must be a list, like ["br", "gzip"]')


def _known(names: list[object]) -> tuple[object, ...]:
    for name in names:
        if name not in ENCODINGS:
            known = ", ".join(ENCODINGS)
            raise ValueError(f"{spelled(name)} is not one of {known}")
        if names.count(name) > 1:
            raise ValueError(f"{name} is listed twice")
    return tuple(names)


def _address(value: object) -> Address:
    if isinstance(value, str):
        return parse_address(value)
    raise ValueError("an address is a string, like '127.0.0.1:8000'")


def _network(value: object) -> Network:
    if isinstance(value, str):
        return parse_network(value)
    if isinstance(value, Network):
        return value
    raise ValueError(f"{spelled(value)} is not a network; {NETWORK_EXAMPLES}")


def _path(value: object) -> Path:
    if isinstance(value, str | Path) and str(value) and "\0" not in str(value):
        return Path(value)
    raise ValueError("a path is a string that is not empty and has no NUL")


def _digest(value: object) -> bytes:
    """The value is never repeated in an error: it may be the token itself."""
    text = value if isinstance(value, str) else ""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _SHA256_BYTES or len(text) != 2 * _SHA256_BYTES:
        raise ValueError(
            "a SHA-256 has 64 hexadecimal digits; make one with "
            "`printf %s TOKEN | sha256sum`"
        )
    return digest


def listed(example: str) -> BeforeValidator:
    """A tuple from a list of the file; ``example`` is an element."""

    def read(value: object) -> object:
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, tuple):
            return value
        raise ValueError(f"must be a list, like [{example}]")

    return BeforeValidator(read)


Count = Annotated[int, Field(strict=True)]
Decimal = Annotated[float, BeforeValidator(_number)]
Rate = Annotated[
    int,
    BeforeValidator(_reader(parse_rate, check_rate, "rate", RATE_EXAMPLES)),
    PlainSerializer(format_rate, return_type=str),
]
Size = Annotated[int, BeforeValidator(_reader(parse_size, int, "size", SIZE_EXAMPLES))]
Duration = Annotated[
    int,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration, return_type=str),
]
Cpus = Annotated[tuple[int, ...], BeforeValidator(_cpus)]
Encodings = Annotated[tuple[str, ...], BeforeValidator(_encodings)]
ListenAddress = Annotated[
    InstanceOf[Address],
    BeforeValidator(_address),
    PlainSerializer(str, return_type=str),
]
ListenAddresses = Annotated[tuple[ListenAddress, ...], listed('"127.0.0.1:8000"')]
IpNetwork = Annotated[
    InstanceOf[IPv4Network] | InstanceOf[IPv6Network],
    BeforeValidator(_network),
    PlainSerializer(str),
]
Networks = Annotated[tuple[IpNetwork, ...], listed('"10.0.0.0/8"')]
Folder = Annotated[InstanceOf[Path], BeforeValidator(_path), PlainSerializer(str)]
Digest = Annotated[bytes, BeforeValidator(_digest)]
Digests = Annotated[tuple[Digest, ...], listed('"64 hexadecimal digits"')]
