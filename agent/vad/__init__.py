"""Is this window speech? One protocol, one file per detector."""

from typing import Protocol

from agent.audio import Samples


class VAD(Protocol):
    """A voice activity detector with the state of one stream."""

    window: int
    """Samples per call, at 16 kHz."""

    def __call__(self, window: Samples) -> float:
        """Probability, 0 to 1, that [window] int16 samples, the next of the stream, hold speech."""
