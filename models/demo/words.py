"""Stage 8, fourth part: how many of the spoken words the adapter names wrongly, before the language model reads them.

Where clips that were trained on are heard better than new ones by the same voices, clips are lacking; where those are heard
better than other voices, voices are; else it was trained too little, or is too small.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random

import jiwer
import torch.nn.functional as F

from models.demo.augment import Channel
from models.demo.evaluate import cases
from models.demo.judge import Judge
from models.demo.pool import Sample, hear, load_shard
from models.demo.speech import Clip, by_espeak, by_flite
from models.demo.tokens import spoken_words
from models.demo.utterances import Utterance
from models.demo.voices import HELD_OUT, TRAINED

CLIPS = 400  # of each source, at most


def measure_words(judge: Judge, known: Path | None) -> dict[str, float]:
    """Compare clips of a shard that was trained on, where one is given, with new ones, all as they come in a call; gives word error rates by source, without flite where it is missing."""
    sources = {
        "clips that it was trained on": load_shard(known)[:CLIPS] if known else [],
        "new clips, the same voices": _spoken(lambda utterance, rng: by_espeak(utterance, TRAINED, rng)),
        "other voices": _spoken(lambda utterance, rng: by_espeak(utterance, HELD_OUT, rng)),
        "flite's other voice": _spoken(lambda utterance, rng: by_flite(utterance, HELD_OUT, rng)),
    }
    rates = {name: _error_rate(judge, samples) for name, samples in sources.items()}
    return {name: rate for name, rate in rates.items() if rate is not None}


def _spoken(say: Callable[[Utterance, Random], Clip | None]) -> Iterator[Sample]:
    asked = cases(Random("words"), 6)
    for index, case in enumerate(Random("words").sample(asked, CLIPS)):
        rng = Random(f"words {index}")
        if clip := say(case.utterances[-1], rng):
            yield hear(clip, Channel(), None, rng).sample


def _error_rate(judge: Judge, samples: Iterable[Sample]) -> float | None:
    """Give the word error rate; None where nobody could speak."""
    names = {judge.chat.word(word): word for word in spoken_words()}
    table = F.normalize(judge.model.language_model.model.embed_tokens.weight.detach().float(), dim=-1)
    said, named = list[str](), list[str]()
    for sample in samples:
        if sample.utterance.words:
            nearest = (F.normalize(judge.rows(sample).float(), dim=-1) @ table.T).argmax(-1).tolist()
            said.append(sample.utterance.words)
            named.append(" ".join(names.get(token, "?") for token in nearest if token != judge.chat.pause))
    return float(jiwer.wer(said, named)) if said else None


def word_lines(rates: Mapping[str, float]) -> Iterator[str]:
    """Write the result as a Markdown table."""
    yield "| words named wrongly | |"
    yield "| --- | ---: |"
    for name, rate in rates.items():
        yield f"| {name} | {100 * rate:.1f} % |"
