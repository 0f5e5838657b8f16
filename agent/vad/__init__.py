"""Is this window speech? One protocol, one file per detector."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from agent.audio import Samples


class VAD(Protocol):
    """A voice activity detector with the state of one stream."""

    window: int
    """Samples per call, at 16 kHz."""

    def __call__(self, window: Samples) -> float:
        """Probability, 0 to 1, that [window] int16 samples, the next of the stream, hold speech."""


def load(name: str) -> Callable[[], VAD]:
    """Load a detector once; what is returned makes one for each call. Raises ValueError for a name it does not know."""
    match name:
        case "silero":
            from agent.vad.silero import SileroVAD, open_session

            return partial(SileroVAD, open_session())
        case "webrtc":
            from agent.vad.webrtc import WebRtcVAD

            return WebRtcVAD
        case _:
            raise ValueError(f"no VAD is named {name!r}; there are silero and webrtc")
