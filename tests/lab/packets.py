"""Packets by hand, and a second opinion on checksums."""

from __future__ import annotations

import struct

NOT_ECT, ECT_1, ECT_0, CE = range(4)


def ipv4(
    payload: bytes = b"", ecn: int = ECT_0, dscp: int = 0, ident: int = 0
) -> bytes:
    """An IPv4 packet with a header of 20 bytes and a right checksum."""
    head = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, dscp << 2 | ecn, 20 + len(payload), ident, 0, 64, 6, 0),
            *(bytes([198, 18, 0, 1]), bytes([198, 19, 0, 1])),
        )
    )
    head[10:12] = struct.pack("!H", checksum(head))
    return bytes(head) + payload


def checksum(head: bytes) -> int:
    """RFC 791 over a whole header: 0 if the checksum in it is right."""
    total = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
