"""PCM values and sample arithmetic. Everything inside is mono int16.

A call's input is 16 kHz (what Silero and Whisper were trained on), cut into frames of 20 ms; its output keeps the voice's own
rate until the edge resamples it, once.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.int16]

INPUT_RATE = 16_000
"""Samples per second of what a call hears."""

FRAME_SECONDS = 0.02
"""Length of a frame in both directions: one Opus packet (RFC 7587 recommends 20 ms)."""

INPUT_FRAME = round(INPUT_RATE * FRAME_SECONDS)


@dataclass(frozen=True)
class Frame:
    """20 ms of the caller's microphone."""

    samples: Samples
    """[320] int16 at 16 kHz."""

    time: float
    """The loop's time, in seconds, at which the last of the samples was captured, as well as the edge can tell."""


@dataclass(frozen=True)
class Word:
    """A word's end inside a piece of speech: once the sample is played, the text up to `text` was heard."""

    sample: int
    """Samples from the start of the piece to the end of the word; the piece's length when it ends with the word."""

    text: int
    """Characters of the synthesised text that are spoken when the word ends."""


@dataclass(frozen=True)
class Speech:
    """A piece of synthesised speech, as a voice streams it."""

    samples: Samples
    """[n] int16 at `rate`."""

    rate: int
    """Samples per second."""

    words: tuple[Word, ...] = ()
    """Words that end inside this piece, in order."""


class Resampler:
    """A stream at one rate as a stream at another; keeps its filter's state between calls (soxr, high quality)."""

    def __init__(self, source: int, target: int) -> None:
        """Rates in samples per second."""
        self._stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality="HQ")

    def __call__(self, samples: Samples, *, last: bool = False) -> Samples:
        """Resample [n] to about [n * target / source]; `last` flushes what the filter holds back and ends the stream."""
        out: Samples = self._stream.resample_chunk(samples, last=last)
        return out


def dbfs(samples: Samples) -> float:
    """Level of [n] samples relative to full scale, in decibels; -96 for silence (16-bit quantisation floor)."""
    if samples.size == 0:
        return -96.0
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(-96.0, 10 * float(np.log10(max(power, 1e-9) / 32768.0**2)))


class SampleHistory:
    """The last `seconds` of a 16 kHz stream, addressed by sample number from the stream's start."""

    def __init__(self, seconds: float) -> None:
        self.end = 0
        """Samples received so far."""
        self._limit = round(seconds * INPUT_RATE)
        self._pieces: deque[Samples] = deque()
        self._held = 0

    def append(self, samples: Samples) -> None:
        """Take the next samples of the stream and forget what is too old."""
        self._pieces.append(samples)
        self.end += samples.size
        self._held += samples.size
        while self._held - self._pieces[0].size >= self._limit:
            self._held -= self._pieces.popleft().size

    def between(self, start: int, end: int) -> Samples:
        """Copy of samples [start, end); what was forgotten, or has not come yet, is left out."""
        oldest = self.end - self._held
        held = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        return held[max(start - oldest, 0) : max(end - oldest, 0)].copy()
