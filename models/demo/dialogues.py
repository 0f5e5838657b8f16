"""Stage 7, first part: conversations made of the pool's clips, as manifests for `models train`.

A conversation is drawn as for the language model (`conversation.py`), but each turn is a clip; the newest is heard, most
of those before it too. Some of the newest are ended in one of their pauses. One manifest holds what is answered, one what is
noise, because training asks differently about it.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Generic, Protocol, TextIO, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.demo import rules
from models.demo.conversation import TALK, Mix, Setting, Turn, converse, draw_setting, draw_utterances
from models.demo.pool import load_shard, sound_path
from models.demo.tokens import NOISE_READ
from models.demo.utterances import WORDLESS, Utterance, break_off, draw_break
from models.features import RATE
from models.inputs import PLACEHOLDER

COUNT = 40_000  # conversations
TURNS = (1, 1, 1, 2, 3)
STOPPED = 0.25  # share of conversations whose newest clip is ended in one of its pauses
SPOKEN = 0.8  # share of earlier turns that are heard instead of read
ANSWERED, NOISE = "dialogues.jsonl", "noise.jsonl"


@dataclass(frozen=True, slots=True)
class Voiced:
    """A clip of the pool: what is said, where the sound lies, and when each word ends, in seconds."""

    utterance: Utterance
    path: Path
    ends: Sequence[float]


class Said(Protocol):
    """A clip that says something."""

    @property
    def utterance(self) -> Utterance: ...


Clip = TypeVar("Clip", bound=Said)


class Clips(Generic[Clip]):
    """Clips by what they say."""

    def __init__(self, clips: Iterable[Clip]) -> None:
        self._by_kind: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._by_kind[_key(clip.utterance)].append(clip)

    def like(self, utterance: Utterance, rng: Random) -> Clip | None:
        """Draw a clip of an utterance's kind, if there is one."""
        found = self._by_kind.get(_key(utterance))
        return rng.choice(found) if found else None


def _key(utterance: Utterance) -> str:
    """Name what clips stand for one another: of a kind, and of strings of digits those that are as long."""
    return f"digits {len(utterance.numbers)}" if utterance.kind == "digits" else utterance.kind


def voiced(shards: Sequence[Path]) -> Iterator[Voiced]:
    """Give the clips of the pool's shards."""
    for shard in shards:
        for index, sample in enumerate(load_shard(shard)):
            yield Voiced(sample.utterance, sound_path(shard, index), sample.ends)


def write_dialogues(folder: Path, shards: Sequence[Path], count: int = COUNT) -> None:
    """Write both manifests and the sounds that were cut into a build folder, unless they are there."""
    if (folder / ANSWERED).exists():
        return
    clips, rng = Clips(voiced(shards)), Random("dialogues")
    (folder / "cut").mkdir(exist_ok=True)
    partial = folder / f"{ANSWERED}.partial"
    with partial.open("w") as answered, (folder / NOISE).open("w") as noise:
        for index in range(count):
            _write_one(folder, clips, f"{index:05}", rng, answered, noise)
    partial.replace(folder / ANSWERED)


def _write_one(folder: Path, clips: Clips[Voiced], name: str, rng: Random, answered: TextIO, noise: TextIO) -> None:
    """Draw one conversation and write its line; none for what the pool cannot say."""
    voiced, task = draw_clips(clips, Mix(), rng.choice(TURNS), rng)
    if not voiced:
        return
    if len(voiced[-1].utterance.words.split()) > 1 and rng.random() < STOPPED:
        voiced[-1] = _cut(voiced[-1], folder / "cut" / f"{name}.flac", rng)
    setting = draw_setting(task, [clip.utterance for clip in voiced], rng)
    turns = converse([clip.utterance for clip in voiced], setting, rng)
    row = write_row(voiced, turns, setting, folder, rng)
    is_noise = turns[-1].utterance.kind in WORDLESS and turns[-1].answer == rules.NOISE
    (noise if is_noise else answered).write(json.dumps(row, ensure_ascii=False) + "\n")


def draw_clips(clips: Clips[Clip], mix: Mix, count: int, rng: Random) -> tuple[list[Clip], str]:
    """Draw the clips of a conversation and what the model is there for; no clips where the pool lacks a kind."""
    task = rng.choices(list(mix.tasks), list(mix.tasks.values()))[0]
    drawn = [clips.like(utterance, rng) for utterance in draw_utterances(mix, task, count, rng)]
    return ([clip for clip in drawn if clip], task) if all(drawn) else ([], task)


def _cut(voiced: Voiced, path: Path, rng: Random) -> Voiced:
    """End a clip in a pause after some of its words, or all."""
    spoken = len(voiced.utterance.words.split())
    words = spoken if rng.random() < 0.3 else draw_break(voiced.utterance, rng)
    pcm, _ = soundfile.read(voiced.path, dtype="int16")
    soundfile.write(path, stop_sound(pcm, voiced.ends, words, rng), RATE)
    return replace(voiced, utterance=break_off(voiced.utterance, words), path=path)


def stop_sound(pcm: NDArray[np.int16], ends: Sequence[float], words: int, rng: Random) -> NDArray[np.int16]:
    """End samples in a pause of 0.08 to 0.6 s after so many words; the pause is the clip's own last silence, drawn out."""
    silence = pcm[round((ends[-1] + 0.05) * RATE) :]
    if len(silence) < 0.08 * RATE:
        return pcm
    end = round((ends[words - 1] + rng.uniform(0, 0.04)) * RATE)
    pause = np.resize(np.concatenate((silence, silence[::-1])), round(rng.uniform(0.08, 0.6) * RATE))
    return np.concatenate((pcm[:end], pause))


def write_row(
    voiced: Sequence[Voiced], turns: Sequence[Turn], setting: Setting, folder: Path, rng: Random
) -> dict[str, Any]:
    """Write a conversation as a line of a manifest that lies in the folder."""
    last = turns[-1]
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in setting.opening]
    for clip, turn in zip(voiced[:-1], turns[:-1], strict=True):
        messages += [_asked(clip, setting, folder, heard=rng.random() < SPOKEN), *_called(turn)]
        messages.append({"role": "assistant", "content": turn.said})
    row: dict[str, Any] = {
        "audio": os.path.relpath(voiced[-1].path, folder),
        "transcript": last.utterance.words,
        "question": setting.before + PLACEHOLDER,
        "messages": messages,
        "tools": [function.described() for function in setting.functions],
        "kind": last.utterance.kind if setting.task == TALK else setting.task,
    }
    if not last.utterance.over:
        row["unfinished"] = True
    if last.utterance.over or last.answer:
        row["answer"] = last.call or last.answer
    return row


def _asked(clip: Voiced, setting: Setting, folder: Path, heard: bool) -> dict[str, Any]:
    said = clip.utterance.words or NOISE_READ
    if not heard:
        return {"role": "user", "content": setting.before + said}
    sound = {"audio": os.path.relpath(clip.path, folder), "transcript": said}
    return {"role": "user", "content": setting.before + PLACEHOLDER, **sound}


def _called(turn: Turn) -> list[dict[str, Any]]:
    if not turn.call:
        return []
    call = json.loads(turn.call)
    function = {"name": call["name"], "arguments": call["parameters"]}
    calls = [{"type": "function", "function": function}]
    return [{"role": "assistant", "content": "", "tool_calls": calls}, {"role": "tool", "content": turn.result}]
