"""The voice activity detector of WebRTC, through webrtcvad: very cheap (2 µs a window), and easily taken in by noise."""

from collections import deque

import webrtcvad

from agent.audio import INPUT_RATE, Samples

_AGGRESSIVENESS = 3
"""0 to 3; 3 reports the least noise as speech."""

_MEMORY = 3
"""Windows that the probability is a share of: 60 ms, so that one odd decision out of three turns nothing on or off."""


class WebRtcVAD:
    """One stream. The detector says yes or no; the probability is the share of yes among the last three windows."""

    window = 320
    """20 ms; the detector takes 10, 20 or 30."""

    def __init__(self) -> None:
        self._detector = webrtcvad.Vad(_AGGRESSIVENESS)
        self._decisions: deque[bool] = deque([False] * _MEMORY, maxlen=_MEMORY)

    def __call__(self, window: Samples) -> float:
        """Probability, a multiple of 1/3, that [320] int16 samples hold speech."""
        self._decisions.append(self._detector.is_speech(window.tobytes(), INPUT_RATE))
        return sum(self._decisions) / _MEMORY
