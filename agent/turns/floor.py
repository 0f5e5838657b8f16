"""How loud silence is in a call: where speech ends, to the window. Pure; levels in dBFS, one per window of the detector.

A detector of speech takes what follows the last syllable for speech, too: Silero for 0 to 0.1 s, the more or less as its windows happen
to lie. The end of the turn would be awaited from there. A window as quiet as the silence between the words is none, whatever the
detector says, and where the microphone hears so much noise that the two cannot be told apart, the detector is believed.
"""

SILENT = 0.1
"""Probability of speech below which a window is silence for certain, and shows how loud that is."""

FOLLOW = 0.1
"""Share of a window's level in what is known of silence: most of it comes from the last half second."""

MARGIN = 6.0
"""Decibels above silence that are still silence."""

INAUDIBLE = -60.0
"""Level that is silence in any call: what a codec leaves after a word, over a microphone without any noise."""

BELOW = 20.0
"""Decibels that silence is below speech at least: the ends of words, s and f, are 10 to 15 below its vowels."""

FADING = 0.2
"""Decibels by which the loudest speech is forgotten with each window: 6 in a second."""


class Floor:
    """The levels of one call's microphone."""

    def __init__(self) -> None:
        self._silence: float | None = None
        """Mean level of silence; None before there was any."""
        self._speech = -96.0
        """The loudest of late."""

    def judge(self, level: float, probability: float) -> float:
        """The probability of speech of the next window: the detector's, or 0 where it is as quiet as silence."""
        self._speech -= FADING
        if probability < SILENT:
            before = level if self._silence is None else self._silence
            self._silence = before + FOLLOW * (level - before)
            return probability
        quiet = INAUDIBLE if self._silence is None else max(INAUDIBLE, self._silence + MARGIN)
        if level < min(quiet, self._speech - BELOW):
            return 0.0
        self._speech = max(self._speech, level)
        return probability
