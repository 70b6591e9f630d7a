"""What clients and groups are called, and what they may be allowed: checks."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from allowance cimport Allowance as AllowanceC
from bucket cimport RATE_MAX_BPS
from clients cimport key_from_v4, key_from_v6
from keymap cimport KEY_NAME, Key, key_zero
from limits cimport CLIENT_ID_BYTES_MAX

import ipaddress
from hashlib import sha256
from typing import NamedTuple

from penstock.allowances import MAX_WEIGHT, MODES, UNLIMITED, Allowance

MAX_RATE_BPS = RATE_MAX_BPS
MAX_CLIENT_ID_BYTES = CLIENT_ID_BYTES_MAX


def checked_rate(object rate, str what, bint unlimited_allowed):
    """``rate`` as bytes per second, or ValueError that names ``what``."""
    lowest = 0 if unlimited_allowed else 1
    if type(rate) is not int or not lowest <= rate <= RATE_MAX_BPS:
        raise ValueError(
            f"{what}: {rate!r} is not a whole number of bytes per second "
            f"from {lowest} to {RATE_MAX_BPS}")
    return rate


def checked_id(object client_id):
    """``client_id`` as UTF-8, or ValueError."""
    if type(client_id) is not str:
        raise ValueError(f"client_id: {client_id!r} is not a string")
    raw = client_id.encode("utf-8")
    if not 0 < len(raw) <= CLIENT_ID_BYTES_MAX:
        raise ValueError(
            f"client_id: 1 to {CLIENT_ID_BYTES_MAX} bytes of UTF-8 are possible, "
            f"{client_id[:80]!r} has {len(raw)}")
    if not client_id.isprintable():
        raise ValueError(f"client_id: {client_id!r} has unprintable characters")
    return raw


def parsed_address(str client_id):
    """The packed address that ``client_id`` spells (``192.0.2.7``, ``2001:db8::/64``
    or an IPv6 address, which stands for its /64), or None. As strict as ``clientid`` is
    with the ids of headers: both must mean the same row."""
    text = client_id.removesuffix("/64")
    if "%" in text or (text != client_id and ":" not in text):
        return None
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        return None


cdef void key_of_name(Key* key, bytes raw, bytes packed) noexcept:
    """An address names the same row as the connections that come from it."""
    cdef bytes digest
    if packed is not None and len(packed) == 4:
        key_from_v4(key, PyBytes_AS_STRING(packed))
        return
    if packed is not None:
        key_from_v6(key, <const uint8_t*>PyBytes_AS_STRING(packed))
        return
    digest = sha256(raw).digest()
    key_zero(key, KEY_NAME)
    memcpy(key.bytes, PyBytes_AS_STRING(digest), 32)


def checked_allowance(allowed, str what):
    """``allowed``, or ValueError that names what is wrong with it."""
    for key in ("rate_bps", "ceil_bps", "min_bps", "burst_bytes", "peak_bps"):
        checked_rate(getattr(allowed, key), f"{what}{key}", True)
    rate = allowed.rate_bps
    if type(allowed.weight) is not int or not 1 <= allowed.weight <= MAX_WEIGHT:
        raise ValueError(
            f"{what}weight: {allowed.weight!r} is not a whole number from 1 to "
            f"{MAX_WEIGHT}")
    if allowed.mode not in MODES:
        raise ValueError(
            f"{what}mode: {allowed.mode!r} is not one of {', '.join(MODES)}")
    if allowed.ceil_bps and not 0 < rate <= allowed.ceil_bps:
        raise ValueError(
            f"{what}ceil_bps: {allowed.ceil_bps} is below the rate ({rate}), or there "
            "is no rate that it could exceed")
    if rate and allowed.min_bps > rate:
        raise ValueError(
            f"{what}min_bps: {allowed.min_bps} is more than the rate ({rate})")
    if allowed.peak_bps and not 0 < rate <= allowed.peak_bps:
        raise ValueError(
            f"{what}peak_bps: {allowed.peak_bps} is below the rate ({rate}), or there "
            "is no rate that it could exceed")
    return allowed


cdef void store_allowance(AllowanceC* into, allowed) noexcept:
    """Checked before; how deep a bucket is by default is the row's own business."""
    into.rate_bps = allowed.rate_bps
    into.ceil_bps = allowed.ceil_bps
    into.min_bps = allowed.min_bps
    into.weight = allowed.weight
    into.burst_bytes = allowed.burst_bytes
    into.peak_bps = allowed.peak_bps
    into.mode = <uint8_t>MODES.index(allowed.mode)


cdef loaded_allowance(const AllowanceC* a):
    return Allowance(
        a.rate_bps, a.ceil_bps, a.min_bps, a.weight, a.burst_bytes, a.peak_bps,
        MODES[a.mode])
