"""Say it. One protocol, one file per synthesiser."""

from collections.abc import AsyncGenerator
from typing import Protocol

from agent.audio import Speech


class TTS(Protocol):
    """A voice, shared by all calls."""

    name: str
    """What the start-up line and the session object call it."""

    rate: int
    """Samples per second of its speech."""

    def synthesize(self, text: str) -> AsyncGenerator[Speech]:
        """Stream the speech of a text with the ends of its words; closing the generator stops the synthesis.

        Raises TTSError when the voice fails.
        """


class TTSError(RuntimeError):
    """The voice failed; the message says what and, where that is known, what to do. Costs the turn, not the call."""
