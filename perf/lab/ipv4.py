"""The congestion mark of an IPv4 packet, with its header checksum kept right."""

_ECN_BITS = 0b11
_NOT_ECT, _CE = 0b00, 0b11  # RFC 3168, 5


def is_ipv4(packet: bytes) -> bool:
    return len(packet) >= 20 and packet[0] >> 4 == 4


def marked(packet: bytes) -> bytes | None:
    """The packet with Congestion Experienced.

    None where its sender does not understand marks, and where it is marked already.
    """
    ecn = packet[1] & _ECN_BITS
    if ecn in (_NOT_ECT, _CE):
        return None
    checksum = int.from_bytes(packet[10:12], "big")
    changed = bytearray(packet)
    changed[1] |= _CE
    # RFC 1624, equation 3: ~(~HC + ~m + m'); the word grew by m' − m, without a carry.
    total = (~checksum & 0xFFFF) + (_CE - ecn)
    total = (total & 0xFFFF) + (total >> 16)
    changed[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(changed)
