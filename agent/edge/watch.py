"""Whether anything comes from the caller. While nothing does he hears nothing either, so nothing is said to him.

What left since his last datagram is taken back and said again once he is there, so that what counts as heard was heard.
"""

import asyncio
from collections.abc import Callable

from agent.edge.microphone import STALL_SECONDS
from agent.edge.speaker import PacedSpeaker

WATCH_SECONDS = 0.5
"""Between two looks."""

SILENT_SECONDS = 1.5
"""Without any datagram: even a caller whose microphone sends nothing answers two consent checks in that time."""


class Watch:
    """Looks until `stop`."""

    def __init__(self, speaker: PacedSpeaker, heard: Callable[[], float]) -> None:
        """`heard` gives the loop's time of the caller's last datagram."""
        self._loop = asyncio.get_running_loop()
        self._speaker = speaker
        self._heard = heard
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _arm(self) -> None:
        due = self._loop.time() + WATCH_SECONDS
        self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now, heard = self._loop.time(), self._heard()
        if now - heard <= SILENT_SECONDS:
            self._speaker.go_on()
        elif now - due < STALL_SECONDS:  # else the loop stood still, and what came waits in the socket
            self._speaker.hold(heard)
        self._arm()
