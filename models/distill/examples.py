"""Records -> examples: log-mel frames, the ids that the student and the teacher see, and the answer that both are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.config import UltravoxConfig
from models.distill.forms import exchange
from models.distill.records import BadSampleError, Record, read_audio
from models.distill.settings import DataSettings, Settings, SettingsError
from models.distill.sources import Source
from models.features import HOP, log_mel
from models.inputs import InputError, Messages, expand
from models.tokenizer import Tokenizer

_GROUPS = 4  # in which the sounds of a batch are encoded
_TRIES = 16  # draws from a source before the next source is asked
Bad = tuple[str, str]  # which clip, and why


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound in a conversation, and where its rows go among the ids of the student."""

    mel: Tensor  # [mels, frames], an even number of frames
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Example:
    """One clip with its question and answer."""

    name: str
    sounds: list[Sound]  # the clip's is the last
    heard: list[int]  # the question with fillers for the sounds
    read: list[int]  # the question with the transcript
    answer: list[int]  # the assistant's header, the answer and, unless it is cut, the end of the turn; empty: none yet
    over: bool | None  # whether the speaker has finished; None where nobody speaks
    end: int  # the token that ends a turn


@dataclass(frozen=True, slots=True)
class Drawn:
    """An example, and the clips that were to be it and could not be used."""

    example: Example
    bad: list[Bad]


def interleave(shares: Sequence[float], total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order `total` draws so that all sources are equally far along at any time: (source, position within it) of each.

    The draws of a longer order begin with those of a shorter one.
    """
    parts = np.asarray(shares, dtype=np.float64) / sum(shares)
    counts = np.ceil(parts * total).astype(np.int64) + 1
    source = np.repeat(np.arange(len(parts)), counts)
    position = np.concatenate([np.arange(count) for count in counts])
    due = (position + 0.5) / np.repeat(parts, counts)
    order = np.argsort(due, kind="stable")[:total]
    return source[order], position[order]


class Composer:
    """Writes questions and answers as a model's chat template and tokenizer have them."""

    def __init__(self, tokenizer: Tokenizer, config: UltravoxConfig, settings: Settings) -> None:
        if tokenizer.template is None:
            raise SettingsError("the language model has no chat template: an instruction-tuned one is wanted")
        self._tokenizer = tokenizer
        self._template = tokenizer.template
        self._config = config
        self._settings = settings

    def __call__(self, record: Record, data: DataSettings) -> Example:
        """Make the example of one clip. Raises BadSampleError."""
        language, target = record.language or data.language or "", record.target or data.target or ""
        transcript = record.transcript.capitalize() if data.capitals else record.transcript
        told = replace(record, transcript=transcript, language=language, target=target)
        asked = exchange(told, data.form, self._settings.run.name_language)
        mels = [self._mel(audio) for audio in (*(each.audio for each in told.earlier), told.audio) if audio is not None]
        counts = [-(-mel.shape[-1] // (2 * self._config.projector.stack)) for mel in mels]
        question = self._write(told, [each.message for each in told.earlier], asked.heard)
        heard, starts = expand(question, [[count] for count in counts], self._tokenizer.encode, self._tokenizer.eos)
        read = self._tokenizer.encode(self._write(told, [each.read for each in told.earlier], asked.read))
        header = self._write(told, [each.message for each in told.earlier], asked.heard, opened=True)[len(question) :]
        answer = [] if asked.answer is None else self._answer(header, asked.answer)
        longest = max(len(heard), len(read)) + len(answer)
        if longest > (window := self._config.text.max_positions):
            raise BadSampleError(f"too long: {longest} tokens; the model's window holds {window}")
        sounds = [Sound(*sound) for sound in zip(mels, starts, counts, strict=True)]
        over = not told.unfinished if told.transcript and data.form != "noise" else None
        return Example(record.name, sounds, heard, read, answer, over, self._tokenizer.eos)

    def _mel(self, audio: Path | bytes) -> Tensor:
        samples = read_audio(audio, self._settings.run.max_seconds)
        # Whole encoder frames: then the clip's rows do not depend on the padding that a batch puts after it.
        return log_mel(F.pad(samples, (0, -len(samples) % (2 * HOP))), self._config.audio.mels)

    def _write(self, record: Record, earlier: Messages, question: str, opened: bool = False) -> str:
        messages = [*earlier, {"role": "user", "content": question}]
        try:
            return self._template.render(messages, list(record.tools) or None, opening=opened)
        except (InputError, KeyError) as error:
            raise BadSampleError(f"messages that the chat template does not take: {error}") from error

    def _answer(self, header: str, text: str) -> list[int]:
        ids, most = self._tokenizer.encode(text), self._settings.loss.max_answer_tokens
        cut = most is not None and len(ids) > most
        return [*self._tokenizer.encode(header), *ids[:most], *([] if cut else [self._tokenizer.eos])]


class Examples(Dataset[Drawn]):
    """All draws of a run by their number: what each is depends on the settings alone."""

    def __init__(self, sources: Sequence[Source], settings: Settings, composer: Composer, total: int) -> None:
        self._sources = sources
        self._data = settings.data
        self._composer = composer
        shares = [source.size * data.weight for source, data in zip(sources, settings.data, strict=True)]
        self._source, self._position = interleave(shares, total)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> Drawn:
        """Give a draw; where it cannot be used the next one of its source, or else one of the other sources.

        Raises SettingsError when no source has anything of use.
        """
        first, position = int(self._source[number]), int(self._position[number])
        bad = list[Bad]()
        for turn in range(len(self._sources)):
            which = (first + turn) % len(self._sources)
            source = self._sources[which]
            for attempt in range(_TRIES):
                try:
                    record = source.record(position + attempt)
                    return Drawn(self._composer(record, self._data[which]), bad)
                except BadSampleError as error:
                    bad.append((source.name(position + attempt), str(error)))
        name, reason = bad[-1]
        raise SettingsError(f"no source has a clip of use; the last that was tried is {name}: {reason}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples side by side, each followed by padding. Masks mark positions: bool, of the shape of the ids."""

    mel: Tensor  # [sounds of all, mels, frames], zeros after a sound
    frames: Tensor  # [sounds]
    rows: Tensor  # [sounds] how many each gives
    alike: list[list[int]]  # which sounds are encoded together: those of similar length, so that little padding is
    heard: Tensor  # [batch, positions] ids of the student
    fillers: Tensor  # where the sounds go
    heard_labels: Tensor
    read: Tensor  # [batch, positions] ids of the teacher
    read_labels: Tensor
    labels: Tensor  # [labels of all] ids, example after example
    turns: Tensor  # where the newest sound ends, of the examples in which somebody speaks
    over: Tensor  # [those] bool: whether the speaker has finished
    end: int  # the token that says so
    names: list[str]
    bad: list[Bad]

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """Move to a device."""
        moved: dict[str, Any] = {}
        for name in self.__slots__:
            if isinstance(value := getattr(self, name), Tensor):
                moved[name] = value.to(device, non_blocking=non_blocking)
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Positions of the student, padding included."""
        return self.heard.numel()


def collate(drawn: Sequence[Drawn]) -> Batch:
    """Join examples."""
    examples = [each.example for each in drawn]
    sounds = [sound for example in examples for sound in example.sounds]
    heard, heard_labels = _pad([(example.heard, example.answer) for example in examples])
    read, read_labels = _pad([(example.read, example.answer) for example in examples])
    fillers, turns = torch.zeros_like(heard, dtype=torch.bool), torch.zeros_like(heard, dtype=torch.bool)
    for row, example in enumerate(examples):
        for sound in example.sounds:
            fillers[row, sound.start : sound.start + sound.count] = True
        turns[row, example.sounds[-1].start + example.sounds[-1].count - 1] = example.over is not None
    longest = max(sound.mel.shape[-1] for sound in sounds)
    return Batch(
        mel=torch.stack([F.pad(sound.mel, (0, longest - sound.mel.shape[-1])) for sound in sounds]),
        frames=torch.tensor([sound.mel.shape[-1] for sound in sounds]),
        rows=torch.tensor([sound.count for sound in sounds]),
        alike=_alike([sound.mel.shape[-1] for sound in sounds], min(len(examples), _GROUPS)),
        heard=heard,
        fillers=fillers,
        heard_labels=heard_labels,
        read=read,
        read_labels=read_labels,
        labels=torch.tensor([token for example in examples for token in example.answer], dtype=torch.int64),
        turns=turns,
        over=torch.tensor([example.over for example in examples if example.over is not None], dtype=torch.bool),
        end=examples[0].end,
        names=[example.name for example in examples],
        bad=[bad for each in drawn for bad in each.bad],
    )


def _alike(lengths: Sequence[int], groups: int) -> list[list[int]]:
    """Cut what is sorted by length into so many groups; as many in every process, which sharded towers need."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cuts = [round(len(order) * group / groups) for group in range(groups + 1)]
    return [order[start:end] for start, end in pairwise(cuts)]


def _pad(pairs: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Put questions and answers into one table of ids: (ids, mask of the answers). Attention is causal: padding is not seen."""
    width = max(len(question) + len(answer) for question, answer in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.int64)
    mask = torch.zeros(len(pairs), width, dtype=torch.bool)
    for row, (question, answer) in enumerate(pairs):
        end = len(question) + len(answer)
        ids[row, :end] = torch.tensor(question + answer)
        mask[row, len(question) : end] = True
    return ids, mask
