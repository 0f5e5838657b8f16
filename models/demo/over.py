"""Stage 7, second part: whether the model knows when a caller has not finished.

Clips of held-out voices are ended in the pause after one of their words. What is measured is how well the probability
of the end-of-turn token, at the last position of the audio, tells those that are all there from those that go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import median

import torch

from models.demo.augment import Channel
from models.demo.conversation import draw_utterance
from models.demo.evaluate import Judge
from models.demo.pool import Sample, hear, stop_after
from models.demo.speech import by_espeak
from models.demo.voices import HELD_OUT

KINDS = ("fixed", "sum", "digits")


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
        utterance = draw_utterance(kind, rng)
        words = len(utterance.words.split())
        sample = hear(by_espeak(utterance, HELD_OUT, rng), Channel(), None, rng)
        if words > 1:
            whole.append(_over(judge, stop_after(sample, words, rng)))
            cut.append(_over(judge, stop_after(sample, rng.randrange(1, words), rng)))
    return Separation(tuple(whole), tuple(cut))


@torch.inference_mode()
def _over(judge: Judge, sample: Sample) -> float:
    """Probability of the end-of-turn token after the audio of a first turn."""
    chat, language = judge.chat, judge.model.language_model
    before = torch.tensor([chat.begin, *chat.message("user", [])[:-1]])
    hidden = language(torch.cat((language.embed(before), judge.rows(sample)))[None])
    return float(language.head(hidden[:, -1]).softmax(-1)[0, chat.end])


def lines(measured: dict[str, Separation]) -> Iterator[str]:
    """Write the result as a Markdown table."""
    yield "| turn is over? | AUC | median, whole | median, cut |"
    yield "| --- | ---: | ---: | ---: |"
    for kind, found in measured.items():
        yield f"| {kind} | {found.auc:.2f} | {median(found.whole):.2f} | {median(found.cut):.2f} |"
