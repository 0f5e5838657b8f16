"""Keys that a caller presses: telephone events in RTP (RFC 4733). Pure.

A phone sends several packets while a key is down and repeats the last one; all have the timestamp of the moment it was pressed.
"""

from collections import deque
from typing import Protocol

KEYS = "0123456789*#ABCD"
"""By event code (RFC 4733, table 3)."""

MIME_TYPE = "audio/telephone-event"

REMEMBERED = 8
"""Keys of which late packets are recognised."""


class RTPPacket(Protocol):
    """What is used of aiortc's RtpPacket."""

    timestamp: int
    payload: bytes


class Keypad:
    """One stream's events → keys, each once."""

    def __init__(self) -> None:
        self._pressed: deque[int] = deque(maxlen=REMEMBERED)

    def add(self, packet: RTPPacket) -> str | None:
        """The key that this packet is the first to tell of; None for further ones and for other events, such as a hook flash."""
        if len(packet.payload) < 4 or packet.payload[0] >= len(KEYS) or packet.timestamp in self._pressed:
            return None
        self._pressed.append(packet.timestamp)
        return KEYS[packet.payload[0]]
