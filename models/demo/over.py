"""Stage 8, second part: whether the model knows when a caller has not finished.

Clips of held-out voices are ended in the pause after one of their words. What is measured is how well the probability
of the end-of-turn token, at the last position of the audio, tells those that are all there from those that go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import median

from models.demo.augment import Channel
from models.demo.conversation import Setting, Turn
from models.demo.judge import Asked, Judge
from models.demo.pool import hear, stop_after
from models.demo.speech import by_espeak
from models.demo.utterances import Utterance, draw_digits, draw_utterance, spell
from models.demo.voices import HELD_OUT

KINDS = (
    "fixed",
    "sum",
    "difference",
    "timer",
    "light",
    "phone",
    "digits",
)  # a number is cut after 3 or 6 of its 10 digits


@dataclass(frozen=True, slots=True)
class Separation:
    """Probabilities that the turn is over, of clips that were whole and of clips that were cut."""

    whole: tuple[float, ...]
    cut: tuple[float, ...]

    @property
    def auc(self) -> float:
        """How often a whole clip has the higher probability of a pair: 1 always, 0.5 by chance."""
        pairs = [(a > b) + (a == b) / 2 for a in self.whole for b in self.cut]
        return sum(pairs) / len(pairs)


def measure_separation(judge: Judge, each: int = 40) -> dict[str, Separation]:
    """Ask with so many clips of each kind, whole and cut."""
    return {kind: _separation(judge, kind, each) for kind in KINDS}


def _separation(judge: Judge, kind: str, each: int) -> Separation:
    whole, cut = list[float](), list[float]()
    rng = Random(f"over {kind}")
    while len(whole) < each:
        utterance = _draw(kind, rng)
        words = len(utterance.words.split())
        if words < 2:
            continue
        sample = hear(by_espeak(utterance, HELD_OUT, rng), Channel(), None, rng).sample
        kept = words - rng.choice((4, 7)) if kind == "phone" else rng.randrange(1, words)
        for found, count in ((whole, words), (cut, kept)):
            heard = stop_after(sample, count, rng)
            found.append(judge.over(Asked([Turn(heard.utterance, "")], Setting()), [heard]))
    return Separation(tuple(whole), tuple(cut))


def _draw(kind: str, rng: Random) -> Utterance:
    if kind != "phone":
        return draw_utterance(kind, rng)
    digits = draw_digits(rng, 10)
    return Utterance(kind, f"my number is {spell(digits)}", digits)


def over_lines(measured: dict[str, Separation]) -> Iterator[str]:
    """Write the result as a Markdown table."""
    yield "| turn is over? | AUC | median, whole | median, cut |"
    yield "| --- | ---: | ---: | ---: |"
    for kind, found in measured.items():
        yield f"| {kind} | {found.auc:.2f} | {median(found.whole):.2f} | {median(found.cut):.2f} |"
