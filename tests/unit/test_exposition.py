"""Numbers, labels and addresses as text: as the libraries write them that know how."""

from __future__ import annotations

import ipaddress
import math

import pytest
from hypothesis import assume, example, given, strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from penstock import _testing

V4_MAPPED = b"\0" * 10 + b"\xff\xff"


@given(st.floats(min_value=0.0, allow_subnormal=False))
@example(0.0)
@example(0.1)
@example(1e-5)
@example(0.0001)
@example(999_999.0)
@example(1_000_000.0)
@example(12_345_678.5)
@example(1e15)
@example(1e15 - 1)
@example(2.0**53 + 2)
@example(1e22)
@example(2.2250738585072014e-308)
@example(1.7976931348623157e308)
@example(math.inf)
@example(math.nan)
def test_a_number_is_written_as_prometheus_client_writes_it(value: float) -> None:
    assume(math.frexp(value)[0] != 0.5)  # the one after a power of two is twice as far
    assert _testing.number_text(abs(value)) == floatToGoString(abs(value))


@given(st.integers(-1022, 1023))
def test_a_power_of_two_is_read_as_it_was(exponent: int) -> None:
    assert float(_testing.number_text(2.0**exponent)) == 2.0**exponent


@given(st.integers(0, 1 << 62))
def test_so_is_a_whole_number(value: int) -> None:
    assert _testing.number_text(value) == floatToGoString(value)


class OneLabel(Collector):
    def __init__(self, value: str) -> None:
        self._value = value

    def collect(self) -> list[Metric]:
        family = GaugeMetricFamily("m", "M", labels=["l"])
        family.add_metric([self._value], 1)
        return [family]


@given(st.text(max_size=40))
@example('a"} 1\\n# HELP x\\')
@example("a\nb")
def test_a_label_is_escaped_as_prometheus_client_escapes_it(value: str) -> None:
    registry = CollectorRegistry()
    registry.register(OneLabel(value))
    line = b'm{l="' + _testing.label_text(value.encode()) + b'"} 1.0\n'
    assert generate_latest(registry).endswith(line)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_written_as_python_does(
    address: ipaddress.IPv4Address,
) -> None:
    assert _testing.address_text(V4_MAPPED + address.packed) == str(address)


@given(st.binary(min_size=8, max_size=8))
@example(b"\0" * 8)
@example(b"\0" * 6 + b"\0\1")
@example(b"\0\1" + b"\0" * 6)
def test_the_network_of_an_ipv6_address_is_written_as_python_does(
    prefix: bytes,
) -> None:
    key = prefix + b"\0" * 8
    assert _testing.address_text(key) == str(ipaddress.IPv6Network((key, 64)))


@pytest.mark.parametrize("key", [V4_MAPPED[:11] + b"\0" + b"\1" * 4])
def test_what_only_resembles_a_mapped_address_is_an_ipv6_address(key: bytes) -> None:
    assert _testing.address_text(key) == f"{ipaddress.IPv6Address(key)}/64"
