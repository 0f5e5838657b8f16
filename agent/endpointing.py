"""How long to wait in a pause before the turn counts as over. Pure; seconds.

The longer a caller is silent, the less probable it is that this is one of the pauses inside a turn. Those are log-normal in length
(Campione and Véronis 2002, "A large-scale multilingual study of silent pause duration"), about a median that each caller has: it is
estimated from the pauses of the call, beginning with what is usual. The turn is over when the share of pauses that would be still
longer falls below what the evidence for its end allows: `silence` is where that is without any evidence, and each factor in the
odds of the engine's end-of-turn probability moves it by the same factor. A question for a number stretches all of it.

Whether the probability is worth anything shows in the call itself: a linear discriminant between the pauses that ended a turn and
those that did not replaces the engine's own scale little by little. A probability that says nothing ends up weighing nothing, and
what is left is a voice activity detector that has learned the caller's pauses.
"""

import math
import re
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from agent.turn import TurnSettings

MEDIAN, SPREAD = 0.3, 0.6
"""Pauses inside turns: their median in seconds before anything is known of the caller, and the standard deviation of the logarithm."""

PRIOR = 3.0
"""Pauses of the call that weigh as much as that."""

MEMORY = 0.9
"""Weight of a pause relative to the next one: the last ten count."""

LOGIT = 2.0
"""Log-odds that a calibrated engine is expected to give on average when a turn is over, and of the other sign when it is not;
with a variance of twice that, the discriminant is the engine's own log-odds."""

_DICTATION = re.compile(
    r"\b(numbers?|digits?|codes?|pin|spell|spelling|e-?mail|address|date|birth(day)?|account|reference|password)\b",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(
    r"(?:\A|[,;:]\s*)(is|are|was|were|do|does|did|can|could|will|would|shall|should|have|has|may)\b[^?]*\?\s*\Z",
    re.IGNORECASE,
)
_LAST_SENTENCE = re.compile(r"[^.!?]*[.!?]*\s*\Z")

Expected = Literal["dictation", "yes_or_no", "anything"]


@dataclass
class _Normal:
    """A running estimate of a mean and a variance, `weight` observations heavy to begin with."""

    mean: float
    variance: float
    weight: float = PRIOR

    def add(self, value: float) -> None:
        """Observe a value; older ones fade, but never below the weight of the prior."""
        self.weight = max(PRIOR, MEMORY * self.weight) + 1
        step = (value - self.mean) / self.weight
        self.variance += ((value - self.mean - step) * (value - self.mean) - self.variance) / self.weight
        self.mean += step


@dataclass
class Endpointing:
    """What one call taught about its caller's pauses, and about the engine's probability."""

    expected: Expected = "anything"
    """What the agent just asked for."""
    _pauses: _Normal = field(default_factory=lambda: _Normal(math.log(MEDIAN), SPREAD**2))
    _ended: _Normal = field(default_factory=lambda: _Normal(LOGIT, 2 * LOGIT))
    _resumed: _Normal = field(default_factory=lambda: _Normal(-LOGIT, 2 * LOGIT))

    def wait(self, settings: TurnSettings, probability: float | None = None) -> float:
        """Seconds of silence that end the turn, given the engine's probability that it is over (None: unknown)."""
        if not settings.adaptive:
            return settings.silence
        longer = 1 - NormalDist(math.log(MEDIAN), SPREAD).cdf(math.log(max(settings.silence, 1e-3)))
        longer *= math.exp(settings.trust * self._evidence(probability))
        longer = min(max(longer, 1e-9), 1 - 1e-9)
        wait = math.exp(NormalDist(self._pauses.mean, SPREAD).inv_cdf(1 - longer))
        return min(
            max(wait * settings.patience * self._expectation(settings), settings.min_silence), settings.max_silence
        )

    def resumed(self, silence: float, probability: float | None) -> None:
        """The caller went on after so many seconds of silence."""
        self._pauses.add(math.log(max(silence, 0.02)))
        if probability is not None:
            self._resumed.add(_logit(probability))

    def ended(self, probability: float | None) -> None:
        """The turn was over."""
        if probability is not None:
            self._ended.add(_logit(probability))

    def _evidence(self, probability: float | None) -> float:
        """Log-odds that the turn is over, by what the engine's probability was worth so far."""
        if probability is None:
            return 0.0
        ended, resumed = self._ended, self._resumed
        slope = max(0.0, ended.mean - resumed.mean) / max(0.5, (ended.variance + resumed.variance) / 2)
        return slope * (_logit(probability) - (ended.mean + resumed.mean) / 2)

    def _expectation(self, settings: TurnSettings) -> float:
        match self.expected:
            case "dictation":
                return settings.dictation
            case "yes_or_no":
                return settings.yes_or_no
            case "anything":
                return 1.0


def expectation(text: str) -> Expected:
    """What the agent's words ask for, by the last sentence. English; other words expect anything."""
    found = _LAST_SENTENCE.search(text.strip())
    sentence = found[0].strip() if found else ""
    if _DICTATION.search(sentence):
        return "dictation"
    return "yes_or_no" if _YES_OR_NO.search(sentence) else "anything"


def _logit(probability: float) -> float:
    """Log-odds, at most 6 either way: beyond 1 in 400 an engine says no more."""
    odds = min(max(probability, 1e-6), 1 - 1e-6)
    return min(max(math.log(odds / (1 - odds)), -6.0), 6.0)
