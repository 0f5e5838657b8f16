"""One clip: its sound and what was said, from a manifest line or a row of a data set.

Whatever is wrong with a clip raises `BadSampleError`, whose message says what; who trains or measures counts it and goes on.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from torch import Tensor

from models.features import RATE
from models.inputs import PLACEHOLDER, InputError, waveform

TEXTS = ("transcript", "continuation", "translation", "language", "target", "question", "answer")
FIELDS = ("audio", *TEXTS, "messages", "tools", "unfinished")


class BadSampleError(ValueError):
    """A clip that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message before a clip, as chat templates take it; one that was spoken has `audio`, and a placeholder in its content."""

    message: dict[str, Any]
    audio: Path | bytes | None = None
    transcript: str = ""

    @property
    def read(self) -> dict[str, Any]:
        """The message with what was said in the place of its sound."""
        if self.audio is None:
            return self.message
        return {**self.message, "content": self.message["content"].replace(PLACEHOLDER, self.transcript)}


@dataclass(frozen=True, slots=True)
class Record:
    """A clip as it is told of; the sound is not read yet."""

    name: str  # where it stands, for messages
    audio: Path | bytes
    transcript: str = ""
    continuation: str = ""  # the language model's own, of the transcript
    translation: str = ""
    language: str = ""  # of the speech
    target: str = ""  # language of the translation
    question: str = ""  # text that goes with the sound
    answer: str | None = None  # to the letter, spaces at its ends included
    earlier: tuple[Earlier, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()  # functions that may be called, as chat templates take them
    unfinished: bool = False  # the speaker goes on: nothing is to be answered yet


def parse_line(line: str) -> dict[str, Any]:
    """Read a manifest line. Raises BadSampleError."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadSampleError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise BadSampleError("not a JSON object")
    return row


def to_record(row: Mapping[str, Any], name: str, folder: Path) -> Record:
    """Make a record of named fields, of which those that are not ours are left aside. Raises BadSampleError.

    A relative audio path is seen from the folder.
    """
    texts = {field: row[field] for field in TEXTS if row.get(field) is not None}
    for field, value in texts.items():
        if not isinstance(value, str):
            raise BadSampleError(f"{field} is not text: {value!r}")
    stripped = {field: value if field == "answer" else value.strip() for field, value in texts.items()}
    messages, tools, unfinished = row.get("messages") or (), row.get("tools") or (), row.get("unfinished") or False
    if not _objects(messages) or not _objects(tools):
        raise BadSampleError("messages and tools are lists of objects")
    if not isinstance(unfinished, bool):
        raise BadSampleError(f"unfinished is neither true nor false: {unfinished!r}")
    return Record(
        name,
        _audio(row, folder),
        **stripped,
        earlier=tuple(_earlier(message, folder) for message in messages),
        tools=tuple(dict(tool) for tool in tools),
        unfinished=unfinished,
    )


def _objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _audio(row: Mapping[str, Any], folder: Path) -> Path | bytes:
    audio = row.get("audio")
    if isinstance(audio, Mapping):  # as Hugging Face's Audio feature gives it, not decoded
        audio = audio.get("bytes") or audio.get("path")
    if not audio or not isinstance(audio, str | bytes):
        raise BadSampleError("no audio is named")
    return folder / audio if isinstance(audio, str) else audio


def _earlier(message: Mapping[str, Any], folder: Path) -> Earlier:
    told = {key: value for key, value in message.items() if key not in ("audio", "transcript")}
    if message.get("audio") is None:
        return Earlier(told)
    told.setdefault("content", PLACEHOLDER)
    transcript = message.get("transcript")
    if not isinstance(transcript, str) or told["content"].count(PLACEHOLDER) != 1:
        raise BadSampleError("a message with audio needs a transcript, and its place once in the content")
    return Earlier(told, _audio(message, folder), transcript)


def read_audio(audio: Path | bytes, max_seconds: float) -> Tensor:
    """Read a sound of any rate and any channels as float32 in ±1 at 16 kHz, [samples]. Raises BadSampleError.

    The length is looked up before anything is decoded, so that a file of hours costs nothing.
    """
    if isinstance(audio, Path) and not audio.is_file():
        raise BadSampleError(f"no such file: {audio}")
    try:
        with soundfile.SoundFile(audio if isinstance(audio, Path) else io.BytesIO(audio)) as file:
            if (seconds := file.frames / file.samplerate) > max_seconds:
                raise BadSampleError(f"audio over the limit: {seconds:.1f} s; at most {max_seconds:g} s are taken")
            samples, rate = file.read(dtype="float32", always_2d=True).mean(1), file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadSampleError(f"not a sound file that can be read: {error}") from error
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    try:
        return waveform(np.clip(samples, -1, 1))  # resampling and lossy formats overshoot
    except InputError as error:
        raise BadSampleError(str(error)) from error
