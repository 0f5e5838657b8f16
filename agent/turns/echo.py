"""Is what the microphone hears the agent's own voice? Pure; levels in dBFS, one per frame of 20 ms.

An echo follows what was played: the same envelope, later by the way through the loudspeaker, the room and the network, quieter by one
factor, and fading no faster than a room does. A caller's speech does not. So over the last half second the microphone's levels are
predicted from those played, at each delay; where a prediction holds, nobody but the agent spoke.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from agent.audio import FRAME_SECONDS

AUDIBLE = -50.0
"""Level from which a frame counts as played."""

SPAN = round(0.5 / FRAME_SECONDS)
"""Frames that are compared."""

DELAYS = round(0.4 / FRAME_SECONDS)
"""Greatest delay: a loudspeaker's buffer, the network both ways, and the jitter buffers."""

ERROR = 3.5
"""Decibels, root mean square, that predictions may miss by: room and codec; two voices differ by far more."""

FADING = 3.0
"""Decibels by which a room's reverberation falls in 20 ms: 60 dB in 0.4 s."""

FLOOR = 3.0
"""Decibels above the quietest frame below which a level is noise."""


class Echo:
    """The levels of one call, both directions."""

    def __init__(self) -> None:
        self._heard: deque[float] = deque([-96.0] * (SPAN + 2), SPAN + 2)
        self._played: deque[float] = deque([-96.0] * (SPAN + DELAYS + 2), SPAN + DELAYS + 2)

    def push(self, heard: float, played: float) -> None:
        """A frame of the microphone, and the frame that left while it was captured."""
        self._heard.append(heard)
        self._played.append(played)

    def explains(self) -> bool:
        """Whether what was played explains all that is heard."""
        if max(self._played) < AUDIBLE:
            return False
        heard, played = _smooth(self._heard), _smooth(self._played)
        windows = np.lib.stride_tricks.sliding_window_view(played, SPAN)
        return any(_follows(heard, window) for window in windows)


def _follows(heard: npt.NDArray[np.float64], played: npt.NDArray[np.float64]) -> bool:
    """Whether levels [n] are those of [n] played, by one factor quieter, over a noise floor."""
    loud = played > max(AUDIBLE, float(played.max()) - 25)
    floor = float(heard.min()) + FLOOR
    if np.count_nonzero(loud) < 3:
        return False
    direct = played + float(np.median((heard - played)[loud]))
    falling = FADING * np.arange(SPAN)
    fading = np.maximum.accumulate(direct + falling) - falling
    heard = np.maximum(heard, floor)
    error = heard - np.clip(heard, np.maximum(direct, floor), np.maximum(fading, floor))
    return float(np.sqrt(np.mean(np.square(error)))) < ERROR


def _smooth(levels: deque[float]) -> npt.NDArray[np.float64]:
    """Levels of 60 ms instead of 20, so that delays between two frames do not matter: [n] to [n - 2]."""
    power = np.convolve(10 ** (np.array(levels) / 10), np.ones(3) / 3, "valid")
    smoothed: npt.NDArray[np.float64] = 10 * np.log10(power)
    return smoothed
