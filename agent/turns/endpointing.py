"""How long to wait in a pause before the turn counts as over. Pure; seconds.

The longer a caller is silent, the less probable it is that this is one of the pauses inside a turn. Those are log-normal in length
(Campione and Véronis 2002, "A large-scale multilingual study of silent pause duration"), about a median that each caller has: it is
estimated from the pauses of the call, beginning with what is usual. The turn is over when the share of pauses that would be still
longer falls below what the evidence for its end allows: `silence` is where that is without any evidence, and each factor in the
odds of the engine's end-of-turn probability moves it by the same factor. A question for a number stretches all of it, and there the
length of the answer so far is evidence, too.

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
from agent.turns import answers
from agent.turns.answers import Answers
from agent.turns.estimate import Estimate
from agent.turns.turn import TurnSettings

MEDIAN, SPREAD = 0.3, 0.6
"""Pauses inside turns: their median in seconds before anything is known of the caller, and the standard deviation of the logarithm."""

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


def _engine(mean: float) -> Estimate:
    return Estimate(mean, 2 * LOGIT, ENGINES_MEMORY)


class Experience:
    """What all calls so far taught about the ends of turns."""

    def __init__(self, *, calibrated: bool | None = None) -> None:
        """`calibrated`: as in `Judgement`; numbers have ends that no engine can be trusted to tell before it has shown it."""
        self.answers = Answers()
        self._judgement, self._dictation = Judgement(calibrated=calibrated), Judgement()

    def judgement(self, expected: Expected) -> Judgement:
        """What the engine's probability is worth for such answers."""
        return self._dictation if expected == "dictation" else self._judgement


@dataclass
class Endpointing:
    """What one call taught about its caller's pauses."""

    experience: Experience = field(default_factory=Experience)
    expected: Expected = "anything"
    """What the agent just asked for."""
    _question: str = ""
    _pauses: Estimate = field(default_factory=lambda: Estimate(math.log(MEDIAN), SPREAD**2, CALLERS_MEMORY))
    _lengths: dict[str, Estimate] = field(default_factory=dict)
    """Of this caller's answers to each question for a number."""
    _answered: float | None = None
    """Seconds of speech of the last answer to such a question, until it is known that the caller had finished."""
    _continues: bool = False
    """This turn is the rest of one that was cut off."""

    def expect(self, words: str) -> None:
        """The caller answers these words of the agent now, and so had finished the turn before."""
        if self._answered:
            self._own().add(math.log(self._answered))
            self.experience.answers.add(self._question, self._answered)
            self._answered = None
        self._question, self.expected = last_sentence(words), expectation(words)

    def wait(self, settings: TurnSettings, probability: float | None = None, speech: float = 0.0) -> float:
        """Seconds of silence that end the turn after so many of speech, given the engine's probability that it is over (None: unknown)."""
        return self.decide(settings, probability, speech)[0]

    def decide(
        self, settings: TurnSettings, probability: float | None = None, speech: float = 0.0, at: float = 0.0
    ) -> tuple[float, Decision | None]:
        """The same after `at` seconds of silence, with what it was computed from; None: it is the settings' own."""
        if not settings.adaptive:
            return settings.silence, None
        decision = Decision(
            at=at,
            median=math.exp(self._pauses.mean) * settings.patience * self._expectation(settings),
            spread=SPREAD,
            evidence=min(self._evidence(probability, speech), LIMIT),
            allowed=1 - NormalDist(math.log(MEDIAN), SPREAD).cdf(math.log(max(settings.silence, 1e-3))),
        )
        longer = min(max(decision.allowed * math.exp(decision.evidence), 1e-9), 1 - 1e-9)
        wait = math.exp(NormalDist(math.log(decision.median), SPREAD).inv_cdf(1 - longer))
        return min(max(wait, settings.min_silence), settings.max_silence), decision

    def resumed(self, silence: float, probability: float | None) -> None:
        """The caller went on after so many seconds of silence."""
        self._pauses.add(math.log(max(silence, 0.02)))
        self.experience.judgement(self.expected).learn(probability, ended=False)

    def ended(self, probability: float | None, speech: float = 0.0) -> None:
        """The turn was over, after so many seconds of speech."""
        self.experience.judgement(self.expected).learn(probability, ended=True)
        self._answered = speech if self.expected == "dictation" and not self._continues else None
        self._continues = False

    def cut_off(self, silence: float, probability: float | None) -> None:
        """The caller went on so soon after a turn that it was not over: neither part is as long as an answer."""
        self._answered, self._continues = None, True
        self.resumed(silence, probability)

    def _evidence(self, probability: float | None, speech: float) -> float:
        """Log-odds that the turn is over."""
        told = self.experience.judgement(self.expected).evidence(probability)
        return told + answers.evidence(self._own(), speech) if self.expected == "dictation" and speech else told

    def _own(self) -> Estimate:
        """The lengths of this caller's answers to the question."""
        usual = self.experience.answers.usual(self._question)
        return self._lengths.setdefault(self._question, answers.own(usual))

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
    sentence = last_sentence(text)
    if _DICTATION.search(sentence):
        return "dictation"
    return "yes_or_no" if _YES_OR_NO.search(sentence) else "anything"


def last_sentence(text: str) -> str:
    """What the caller was asked last."""
    found = _LAST_SENTENCE.search(text.strip())
    return found[0].strip() if found else ""


def _logit(probability: float) -> float:
    """Log-odds, within the limit."""
    odds = min(max(probability, 1e-9), 1 - 1e-9)
    return min(max(math.log(odds / (1 - odds)), -LIMIT), LIMIT)
