"""WAV files: any of them in as mono samples at the rate that is wanted, 16-bit mono out."""

import io
from pathlib import Path

import numpy as np
import soundfile

from agent.audio import Resampler, Samples

MIN_RATE, MAX_RATE = 8_000, 192_000
"""Samples per second of the files that are read: telephone to studio."""

MAX_SECONDS = 600.0
"""Longest file that is read; a recorded turn has seconds."""


class WAVError(ValueError):
    """A file that cannot be used; the message names it and says why."""


def read(path: Path, rate: int) -> Samples:
    """Mono samples [n] at `rate` of a file with any number of channels, 8 to 192 kHz, integers or floats.

    Raises WAVError when it cannot be read, is no sound file, is empty, too long, or of another rate.
    """
    try:
        return _read(path, str(path), rate)
    except OSError as error:
        raise WAVError(f"{path}: {error.strerror or error}.") from error
    except soundfile.SoundFileError as error:
        if not path.is_file():
            raise WAVError(f"{path}: no such file, or not readable.") from error
        raise WAVError(f"{path}: not a WAV file that can be read.") from error


def decode(data: bytes, rate: int) -> Samples:
    """As `read`, from a file's bytes: WAV, or what else libsndfile knows (MP3, FLAC, Ogg). Raises WAVError."""
    try:
        return _read(io.BytesIO(data), "the audio", rate)
    except soundfile.SoundFileError as error:
        raise WAVError("the audio: not a sound file that can be read.") from error


def _read(source: Path | io.BytesIO, name: str, rate: int) -> Samples:
    with soundfile.SoundFile(source) as file:
        if not MIN_RATE <= file.samplerate <= MAX_RATE:
            raise WAVError(f"{name}: {file.samplerate} Hz; only {MIN_RATE} to {MAX_RATE} Hz can be read.")
        if file.frames > MAX_SECONDS * file.samplerate:
            raise WAVError(f"{name}: longer than {MAX_SECONDS:g} s.")
        channels = file.read(dtype="float32", always_2d=True)
        original = file.samplerate
    if not channels.size:
        raise WAVError(f"{name}: holds no samples.")
    mono = np.nan_to_num(channels.mean(axis=1), nan=0.0, posinf=1.0, neginf=-1.0)
    samples = np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16)
    return Resampler(original, rate)(samples, last=True)


def write(path: Path, samples: Samples, rate: int) -> None:
    """Write [n] samples as a 16-bit mono WAV file. Raises OSError when it cannot be written."""
    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
