"""How long to wait in a pause before the turn counts as over. Pure; seconds.

The longer a caller is silent, the less probable it is that this is one of the pauses inside a turn. Those are log-normal in length
(Campione and Véronis 2002, "A large-scale multilingual study of silent pause duration"), about a median that each caller has: it is
estimated from the pauses of the call, beginning with what is usual. The turn is over when the share of pauses that would be still
longer falls below what the evidence for its end allows: `silence` is where that is without any evidence, and each factor in the
odds of the engine's end-of-turn probability moves it by the same factor. A question for a number stretches all of it.

Whether the probability is worth anything, the pauses themselves show: a linear discriminant between those that ended a turn and those
that did not puts it on a scale of its own. It begins as one that says nothing, unless the checkpoint is known to be calibrated, and
so an engine that cannot tell leaves a voice activity detector that has learned the caller's pauses.
"""

import math
import re
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from agent.traces.trace import Decision
from agent.turns.turn import TurnSettings

MEDIAN, SPREAD = 0.3, 0.6
"""Pauses inside turns: their median in seconds before anything is known of the caller, and the standard deviation of the logarithm."""

PRIOR = 3.0
"""Observations that weigh as much as what was assumed before them."""

CALLERS_MEMORY, ENGINES_MEMORY = 0.9, 0.99
"""Weight of an observation relative to the next one: the last ten pauses of a caller count, and the last hundred of an engine."""

LOGIT = 2.0
"""Mean log-odds of a calibrated probability when a turn is over, and of the other sign when it is not. With a variance of twice that,
the discriminant is the log-odds themselves."""

LIMIT = 16.0
"""Log-odds beyond which no difference is made, 1 in 10 million."""

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
    """A running estimate of a mean and a variance, and how many observations it weighs."""

    mean: float
    variance: float
    memory: float
    weight: float = PRIOR

    def add(self, value: float) -> None:
        """Observe a value; older ones fade, though never below the weight that was assumed."""
        self.weight = max(PRIOR, self.memory * self.weight) + 1
        step = (value - self.mean) / self.weight
        self.variance += ((value - self.mean - step) * (value - self.mean) - self.variance) / self.weight
        self.mean += step


class Judgement:
    """What an engine's end-of-turn probability has been worth in all calls so far."""

    def __init__(self, *, calibrated: bool | None = None) -> None:
        """`calibrated`: the probability can be taken as it is until it proves otherwise."""
        self._means = (_engine(LOGIT), _engine(-LOGIT)) if calibrated else None
        """Log-odds in pauses that ended a turn, and in those that did not; None before the first."""

    def evidence(self, probability: float | None) -> float:
        """Log-odds that a turn is over."""
        if probability is None or self._means is None:
            return 0.0
        ended, resumed = self._means
        slope = max(0.0, ended.mean - resumed.mean) / ((ended.variance + resumed.variance) / 2)
        return slope * (_logit(probability) - (ended.mean + resumed.mean) / 2)

    def learn(self, probability: float | None, *, ended: bool) -> None:
        """A pause of this probability did end its turn, or did not."""
        if probability is not None:
            odds = _logit(probability)
            self._means = self._means or (_engine(odds), _engine(odds))
            self._means[0 if ended else 1].add(odds)


def _engine(mean: float) -> _Normal:
    return _Normal(mean, 2 * LOGIT, ENGINES_MEMORY)


@dataclass
class Endpointing:
    """What one call taught about its caller's pauses."""

    judgement: Judgement = field(default_factory=Judgement)
    expected: Expected = "anything"
    """What the agent just asked for."""
    _pauses: _Normal = field(default_factory=lambda: _Normal(math.log(MEDIAN), SPREAD**2, CALLERS_MEMORY))

    def wait(self, settings: TurnSettings, probability: float | None = None) -> float:
        """Seconds of silence that end the turn, given the engine's probability that it is over (None: unknown)."""
        return self.decide(settings, probability)[0]

    def decide(
        self, settings: TurnSettings, probability: float | None = None, at: float = 0.0
    ) -> tuple[float, Decision | None]:
        """The same after `at` seconds of silence, with what it was computed from; None: it is the settings' own."""
        if not settings.adaptive:
            return settings.silence, None
        decision = Decision(
            at=at,
            median=math.exp(self._pauses.mean) * settings.patience * self._expectation(settings),
            spread=SPREAD,
            evidence=min(self.judgement.evidence(probability), LIMIT),
            allowed=1 - NormalDist(math.log(MEDIAN), SPREAD).cdf(math.log(max(settings.silence, 1e-3))),
        )
        longer = min(max(decision.allowed * math.exp(decision.evidence), 1e-9), 1 - 1e-9)
        wait = math.exp(NormalDist(math.log(decision.median), SPREAD).inv_cdf(1 - longer))
        return min(max(wait, settings.min_silence), settings.max_silence), decision

    def resumed(self, silence: float, probability: float | None) -> None:
        """The caller went on after so many seconds of silence."""
        self._pauses.add(math.log(max(silence, 0.02)))
        self.judgement.learn(probability, ended=False)

    def ended(self, probability: float | None) -> None:
        """The turn was over."""
        self.judgement.learn(probability, ended=True)

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
    """Log-odds, within the limit."""
    odds = min(max(probability, 1e-9), 1 - 1e-9)
    return min(max(math.log(odds / (1 - odds)), -LIMIT), LIMIT)
