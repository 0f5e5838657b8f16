"""Text and audio as the user has them -> what the network takes: ids with fillers, mel windows, and where they belong.

Audio is one array of samples at 16 kHz, float in ±1 or int16; everything that is not that is refused with a reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.config import UltravoxConfig
from models.features import RATE, frame_count

PLACEHOLDER = "<|audio|>"
LONGEST = 600  # seconds of one audio
_FRAMES_PER_POSITION = 2  # mel frames per encoder frame; times the projector's stack: per row
ROLES = ("system", "user", "assistant", "tool")

Messages = Sequence[dict[str, Any]]


class InputError(ValueError):
    """Text, messages or audio that the model cannot take; the message says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One prompt. The lists have one entry per window, in order: an audio over 30 s has several."""

    input_ids: Tensor  # [T] int64; filler ids where audio goes
    mel: list[Tensor]  # [mels, frames] each
    audio_lens: list[int]  # mel frames
    audio_token_len: list[int]  # positions
    audio_token_start_idx: list[int]  # position of the first filler


@dataclass(frozen=True, slots=True)
class Window:
    """Up to 30 s of an audio, which are encoded together, and the positions that their rows take."""

    audio: int  # index of the audio
    number: int  # of the window within the audio
    frames: int  # mel frames
    start: int  # first position
    count: int  # positions


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands where in a prompt; nothing is computed yet."""

    ids: list[int]  # filler ids where audio goes
    windows: list[Window]


def plan(
    prompt: str, lengths: Sequence[int], encode: Callable[[str], list[int]], filler: int, config: UltravoxConfig
) -> Plan:
    """Lay out a prompt (text with one placeholder per audio) and audios of so many samples.

    Raises InputError when placeholders and audios are not equally many.
    """
    per_row = _FRAMES_PER_POSITION * config.projector.stack
    cuts = [window_lengths(frame_count(samples), config.audio.max_mel_frames) for samples in lengths]
    counts = [[-(-frames // per_row) for frames in frames_of] for frames_of in cuts]
    ids, starts = expand(prompt, counts, encode, filler)
    places = [
        (audio, number, frames) for audio, frames_of in enumerate(cuts) for number, frames in enumerate(frames_of)
    ]
    windows = [
        Window(audio, number, frames, start, -(-frames // per_row))
        for (audio, number, frames), start in zip(places, starts, strict=True)
    ]
    return Plan(ids, windows)


def check_length(planned: Plan, positions: int) -> None:
    """Refuse a prompt that is longer than so many positions; raises InputError."""
    if (length := len(planned.ids)) > positions:
        of_audio = sum(window.count for window in planned.windows)
        raise InputError(
            f"the prompt takes {length} tokens ({of_audio} of them audio); the model's window holds {positions}"
        )


def waveform(audio: Any, rate: int = RATE) -> Tensor:
    """Check one audio and give it as float32 in ±1, [samples]. Raises InputError."""
    if rate != RATE:
        raise InputError(f"audio at {rate} Hz: resample it to {RATE} Hz")
    samples = np.asarray(audio)
    if samples.ndim != 1:
        raise InputError(f"audio of shape {samples.shape}: one channel is wanted, as [samples]; mix stereo down")
    if samples.size == 0:
        raise InputError("audio is empty")
    if samples.size > LONGEST * RATE:
        raise InputError(f"audio of {samples.size / RATE:.0f} s: at most {LONGEST} s are taken")
    if samples.dtype == np.int16:
        return torch.from_numpy(samples.astype(np.float32)) / 32768
    if samples.dtype not in (np.float32, np.float64):
        raise InputError(f"audio of type {samples.dtype}: float32 in -1 to 1, or int16, is wanted")
    if not np.isfinite(samples).all():
        raise InputError("audio holds NaN or infinite samples")
    if (peak := np.abs(samples).max()) > 1:
        raise InputError(f"audio reaches {peak:.3g}, which would clip: float samples must lie in -1 to 1")
    return torch.from_numpy(samples.astype(np.float32))


def read_wav(path: Path) -> Tensor:
    """Read a mono sound file at 16 kHz as float32 samples. Raises InputError, naming the file."""
    import soundfile

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: not a sound file that can be read ({error})") from error
    try:
        return waveform(np.clip(samples, -1, 1), rate)  # a float file may overshoot by rounding
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def window_lengths(frames: int, longest: int) -> list[int]:
    """Cut so many mel frames into windows: full ones, then the rest."""
    return [min(longest, frames - start) for start in range(0, frames, longest)]


def expand(
    prompt: str, counts: Sequence[Sequence[int]], encode: Callable[[str], list[int]], filler: int
) -> tuple[list[int], list[int]]:
    """Tokenize the prompt with each placeholder replaced by fillers: (ids, position of each window's first filler).

    `counts` holds, per audio, the positions of each of its windows. The text between placeholders is tokenized part by
    part, without special tokens added. Raises InputError when placeholders and audios are not equally many.
    """
    parts = prompt.split(PLACEHOLDER)
    if len(parts) - 1 != len(counts):
        raise InputError(f"the prompt has {len(parts) - 1} {PLACEHOLDER} but there are {len(counts)} audios")
    ids, starts = encode(parts[0]), []
    for windows, part in zip(counts, parts[1:], strict=True):
        for count in windows:
            starts.append(len(ids))
            ids += [filler] * count
        ids += encode(part)
    return ids, starts


def check_messages(messages: Messages) -> None:
    """Refuse messages that no chat template can make sense of; raises InputError naming the message."""
    if not messages:
        raise InputError("there are no messages")
    before = None
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise InputError(f"message {index} has role {role!r}; it must be one of {', '.join(ROLES)}")
        if not isinstance(content, str) and not (content is None and message.get("tool_calls")):
            raise InputError(f"message {index} has content of type {type(content).__name__}; it must be a string")
        if role == "system" and index > 0:
            raise InputError(f"message {index} is from the system, which may only come first")
        if role == "tool" and before in (None, "system"):
            raise InputError(f"message {index} is a tool's result, but nobody can have called one before it")
        before = role
    if before in ("assistant", "system"):
        raise InputError(f"the last message is from the {before}: there is nothing to answer")
