"""How much callers say when they are asked for a number, a name or an address. Pure; seconds of speech, pauses left out.

A telephone number takes everyone about as long to say, so a caller who pauses early has not finished. Lengths of answers are taken as
log-normal, and estimated for each question from the answers to it in all calls. What the length says is the hazard, the rate at which
answers end that have become so long, against the rate of pauses inside them: the log-odds that this pause is the end. An estimate of
widely different lengths, as it is in the beginning, says next to nothing.
"""

import math
from dataclasses import dataclass, field
from statistics import NormalDist

from agent.turns.estimate import Estimate

USUAL, SPREAD = 2.0, 1.0
"""Of the answers to a question that was never asked before: median seconds, and the standard deviation of the logarithm."""

LEAST_SPREAD = 0.1
"""Nobody says a thing twice in exactly the same time."""

MEMORY, CALLERS_MEMORY = 0.99, 0.9
"""The last hundred answers count, and the last ten of a caller."""

PAUSES = 0.5
"""Pauses inside an answer for each second of speech: with one every two seconds, spoken digits and spelling have at least as many."""

LIMIT = 1.0
"""Log-odds: who does not give the number at all ("I have none") waits a little longer than usual, and not for ever."""

QUESTIONS = 100
"""So many different ones are remembered."""


@dataclass
class Answers:
    """The lengths of the answers to each question."""

    _lengths: dict[str, Estimate] = field(default_factory=dict)

    def usual(self, question: str) -> Estimate:
        """What is known of a question's answers, as the logarithm of their seconds; to be changed by `add` alone."""
        return self._lengths.get(question) or Estimate(math.log(USUAL), SPREAD**2, MEMORY)

    def add(self, question: str, seconds: float) -> None:
        """A question was answered so; the one that was asked least lately is forgotten when there are too many."""
        estimate = self.usual(question)
        estimate.add(_logarithm(seconds))
        self._lengths.pop(question, None)
        self._lengths[question] = estimate
        if len(self._lengths) > QUESTIONS:
            del self._lengths[next(iter(self._lengths))]


def own(usual: Estimate) -> Estimate:
    """The lengths of one caller's answers, which begin as everyone's."""
    return Estimate(usual.mean, usual.variance, CALLERS_MEMORY)


def evidence(lengths: Estimate, seconds: float) -> float:
    """Log-odds that an answer of so many seconds is complete."""
    spread = max(math.sqrt(lengths.variance), LEAST_SPREAD)
    answers = NormalDist(lengths.mean, spread)
    length = _logarithm(seconds)
    longer = max(1 - answers.cdf(length), 1e-9)
    hazard = answers.pdf(length) / longer / math.exp(length)
    return min(max(math.log(max(hazard, 1e-9) / PAUSES), -LIMIT), LIMIT)


def _logarithm(seconds: float) -> float:
    return math.log(max(seconds, 0.05))
