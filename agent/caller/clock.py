"""The server's clock as a caller knows it, from pings. Pure; takes and gives seconds.

The answer to a ping tells the server's time somewhere between its sending and its return; in the middle, if both ways took equally
long, and at most half the round trip beside it (as NTP has it, RFC 5905, section 8). The quickest of the last pings is believed.
"""

from collections import deque
from dataclasses import dataclass, field

REMEMBERED = 8
"""Pings; older ones are forgotten, because clocks drift apart by milliseconds in minutes."""


@dataclass
class Clock:
    """The difference of two clocks."""

    _pings: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Half the round trip, and the difference that it showed."""

    def add(self, sent: float, server: float, returned: float) -> None:
        """Take a ping: our times of its sending and its return, and the server's between them."""
        self._pings.append(((returned - sent) / 2, server - (sent + returned) / 2))

    @property
    def error(self) -> float:
        """The mapped times are right within this; infinite before the first ping."""
        return min(self._pings, default=(float("inf"), 0.0))[0]

    def at_server(self, time: float) -> float:
        """The server's time at a moment of ours. Raises ValueError before the first ping."""
        return time + min(self._pings)[1]
