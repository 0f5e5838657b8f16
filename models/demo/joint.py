"""Stage 6: encoder, adapter and language model are trained jointly, from the answer back to the sound.

Until here each learnt for itself: the adapter to name words, the language model to read what the adapter names. What
matters to the answer is learnt here: that a word is named in one slot and not in two, and what is meant where it is unsure.
Words and phones are still named beside it, and every step also answers imagined conversations, for what the pool has too
little of. Afterwards the language model is frozen for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from models.decoder import LanguageModel
from models.demo.adapter import Hearing, align_loss, slots
from models.demo.conversation import Mix, Setting, Turn, converse, draw_setting
from models.demo.dialogues import SPOKEN, Clips, draw_clips
from models.demo.encoder import PACE, collate
from models.demo.language import Batches, Imagined, Part, Reader, pad_rows
from models.demo.pool import Sample, stretch
from models.demo.reading import READING, maybe_stopped
from models.demo.tokens import Chat, typed_turn
from models.demo.training import Run, device, mixed, train

STRINGS = Mix(  # with what is heard worst; words to write down would else be most of what there is to learn
    weights={"digits": 45, "phone": 25, "sum": 6, "difference": 6, "date": 5, "timer": 4, "repeat": 3, "recall": 3},
    tasks={"talk": 90, "transcribe": 10},
    shortest=5,
)
JOINT = Part("joint", 2240, 0.003, 2e-4, (Mix(), STRINGS), (1, 1, 1, 2, 3), batch=48)
IMAGINED = Part("joint imagined", JOINT.steps, JOINT.muon, JOINT.adamw, READING.mixes, READING.counts, batch=32)
NAMING_WEIGHT = 0.3  # of words and phones, against the answers
KEPT = 0.36  # share that the weights from before have in the mean that the stage gives (Wortsman et al. 2022)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A conversation; what the caller says in each turn is a clip, or typed, as tokens."""

    turns: Sequence[Turn]
    setting: Setting
    said: Sequence[Sample | list[int]]

    @property
    def clips(self) -> list[Sample]:
        return [said for said in self.said if isinstance(said, Sample)]


class Joint(nn.Module):
    """All that is trained: what hears, and what reads."""

    def __init__(self, hearing: Hearing, reader: Reader) -> None:
        super().__init__()
        self.hearing = hearing
        self.reader = reader


class Answering:
    """The loss of a step: conversations of clips are to be answered, and imagined ones."""

    def __init__(self, joint: Joint, pool: Sequence[Sample]) -> None:
        self._joint, self._chat = joint, joint.reader.chat
        self._drawn = Batches(JOINT, partial(draw, Clips(pool), self._chat), _length)
        self._imagined = Imagined(joint.reader, IMAGINED)

    def __call__(self, step: int) -> dict[str, Tensor]:
        hearing, table = self._joint.hearing, self._joint.reader.model.model.embed_tokens.weight.detach()
        drawn = self._drawn(step)
        batch = collate([clip for of_one in drawn for clip in of_one.clips], torch.Generator().manual_seed(step))
        with mixed():
            encoded, rows = hearing(batch)
            aligned, tokens = align_loss(rows, batch, table, self._chat)
            naming = aligned | hearing.listener.loss(encoded, batch)
        terms = {name: NAMING_WEIGHT * value for name, value in naming.items()}
        terms |= self._answered(drawn, rows, torch.split(tokens, [slots(clip) for clip in batch.samples]))
        return terms | {f"imagined {name}": value for name, value in self._imagined(step).items()}

    def _answered(self, drawn: Sequence[Drawn], rows: Tensor, tokens: Sequence[Tensor]) -> dict[str, Tensor]:
        """Put `rows` [clips, slots, text width] where the clips stand; `tokens` are what each clip's were drawn to."""
        chat, reader = self._chat, self._joint.reader
        placed = iter(of_clip.tolist() for of_clip in tokens)
        written = []
        for of_one in drawn:
            spoken = [isinstance(said, Sample) for said in of_one.said]
            users = [next(placed) if isinstance(said, Sample) else said for said in of_one.said]
            written.append(chat.row(of_one.turns, users, spoken, of_one.setting))
        ids, labels = pad_rows(written, chat.end)
        embedded = reader.model.embed(ids).clone()
        places = ((index, start, end) for index, row in enumerate(written) for start, end in row.spoken)
        for (index, start, end), of_clip in zip(places, rows, strict=True):
            embedded[index, start:end] = of_clip[: end - start].to(embedded)
        return reader.loss(written, embedded, labels)


def draw(clips: Clips[Sample], chat: Chat, mix: Mix, count: int, rng: Random) -> Drawn:
    """Draw a conversation of the pool's clips, each at a pace of its own; some of its earlier turns are typed."""
    drawn, task = draw_clips(clips, mix, count, rng)
    if not drawn:
        return draw(clips, chat, mix, count, rng)
    drawn[-1] = maybe_stopped(drawn[-1], rng)
    drawn = [stretch(clip, rng.uniform(*PACE)) for clip in drawn]
    setting = draw_setting(task, [clip.utterance for clip in drawn], rng)
    turns = converse([clip.utterance for clip in drawn], setting, rng)
    said = [
        clip if turn is turns[-1] or rng.random() < SPOKEN else typed_turn(turn, setting, chat, rng)
        for clip, turn in zip(drawn, turns, strict=True)
    ]
    return Drawn(turns, setting, said)


def _length(drawn: Drawn) -> int:
    """Estimate the positions of a conversation: about five letters of an answer are a token."""
    asked = sum(slots(said) if isinstance(said, Sample) else len(said) for said in drawn.said)
    return asked + sum(len(turn.said) for turn in drawn.turns) // 5


def train_joint(folder: Path, pool: Sequence[Sample], hearing: Hearing, reader: Reader) -> LanguageModel:
    """Run the stage in a build folder; all go on from where they are, and the language model needs no gradients afterwards.

    What they end with is a mean of the weights before and after: a short training leaves noise in them, and takes from what it did not show.
    """
    torch.manual_seed(4)
    joint = Joint(hearing, reader).to(device())
    before = {name: value.clone() for name, value in joint.state_dict().items()}
    run = Run(folder / f"{JOINT.name}.pt", JOINT.steps, JOINT.muon, JOINT.adamw)
    train(run, joint, Answering(joint, pool))
    joint.load_state_dict({name: value.lerp(before[name], KEPT) for name, value in joint.state_dict().items()})
    joint.eval()
    return reader.model.requires_grad_(requires_grad=False)
