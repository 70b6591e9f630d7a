"""What the kernel knows of a connection: TCP_INFO of tcp(7), in part."""

import socket
import struct
from dataclasses import dataclass
from typing import Self

_BYTES = 232
# Offsets in struct tcp_info, <linux/tcp.h>, which only ever grows.
_RTT_US, _TOTAL_RETRANS, _BYTES_ACKED = 68, 100, 120
_MIN_RTT_US, _DELIVERED, _DELIVERED_CE, _DSACK_DUPS = 148, 192, 196, 216


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Of the sending side.

    Attributes:
        rtt_ns: smoothed round-trip time.
        min_rtt_ns: the shortest of late.
        bytes_acked: of the stream.
        retrans: segments that were sent again, since the beginning.
        dsack_dups: those of them that the peer said it had already.
        delivered: segments that the peer has, marked or not.
        delivered_ce: those of them that were acknowledged with an echo of congestion,
            which classic ECN repeats until the sender has slowed down: more than were
            marked. Only whether it grows says something.
    """

    rtt_ns: int
    min_rtt_ns: int
    bytes_acked: int
    retrans: int
    dsack_dups: int
    delivered: int
    delivered_ce: int

    @classmethod
    def of(cls, sock: socket.socket) -> Self:
        """Ask for it now.

        Raises:
            OSError: this is no TCP socket.
        """
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)

        def word(offset: int) -> int:
            (value,) = struct.unpack_from("=I", raw, offset)
            return int(value)

        return cls(
            rtt_ns=word(_RTT_US) * 1000,
            min_rtt_ns=word(_MIN_RTT_US) * 1000,
            bytes_acked=struct.unpack_from("=Q", raw, _BYTES_ACKED)[0],
            retrans=word(_TOTAL_RETRANS),
            dsack_dups=word(_DSACK_DUPS),
            delivered=word(_DELIVERED),
            delivered_ce=word(_DELIVERED_CE),
        )
