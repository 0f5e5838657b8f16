"""Whether anything comes from the caller. While nothing does he hears nothing either, so nothing is said to him.

What left since his last datagram is taken back and said again once he is there, so that what counts as heard was heard.
"""

import asyncio
from typing import Protocol

from agent.edge.microphone import STALL_SECONDS
from agent.edge.speaker import PacedSpeaker

WATCH_SECONDS = 0.5
"""Between two looks."""

SILENT_SECONDS = 1.5
"""Without any datagram: even a caller whose microphone sends nothing answers two consent checks in that time."""


class Line(Protocol):
    """What is known of the caller's connection."""

    @property
    def heard(self) -> float:
        """The loop's time of the caller's last datagram; 0 before the first."""

    @property
    def reached(self) -> float:
        """What left before this moment had arrived when he sent that."""


class Watch:
    """Looks until `stop`."""

    def __init__(self, speaker: PacedSpeaker, line: Line) -> None:
        self._loop = asyncio.get_running_loop()
        self._speaker = speaker
        self._line = line
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _arm(self) -> None:
        due = self._loop.time() + WATCH_SECONDS
        self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now = self._loop.time()
        if now - self._line.heard <= SILENT_SECONDS:
            self._speaker.go_on()
        elif now - due < STALL_SECONDS:  # else the loop stood still, and what came waits in the socket
            self._speaker.hold(self._line.reached)
        self._arm()
