"""PCM values and sample arithmetic. Everything inside is mono int16.

A call's input is 16 kHz (what Silero and Whisper were trained on), cut into frames of 20 ms; its output keeps the voice's own
rate until the edge resamples it, once.
"""

import math
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

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
    """A stream at one rate as a stream at another, with no shift in time: output sample n is of moment n / target.

    It holds back 1 ms at 16 kHz, 16 samples of the lower rate (libraries that filter by blocks hold back up to 40 ms, which a
    conversation hears), and attenuates what would alias by 70 dB, from 1.1 times half of the lower rate on.
    """

    def __init__(self, source: int, target: int) -> None:
        """Rates in samples per second."""
        divisor = math.gcd(source, target)
        self._up, self._down = target // divisor, source // divisor
        self._filters = _polyphase(self._up, self._down)
        self._held = np.zeros(self._filters.shape[1] // 2 - 1, np.float32)  # silence before the first sample
        self._position = 0  # of the next output, in input samples / up, from the start of the filter's first window

    def __call__(self, samples: Samples, *, last: bool = False) -> Samples:
        """Resample [n] to about [n * target / source]; `last` gives what was held back and ends the stream."""
        if self._up == self._down:
            return samples
        if last:
            samples = np.concatenate([samples, np.zeros(self._filters.shape[1] // 2, np.int16)])
        block = 8192  # bounds the memory of the filter's windows, whatever length comes
        return np.concatenate([self._filter(samples[at : at + block]) for at in range(0, len(samples) or 1, block)])

    def _filter(self, samples: Samples) -> Samples:
        length = self._filters.shape[1]
        waiting = np.concatenate([self._held, samples], dtype=np.float32)
        room = (len(waiting) - length + 1) * self._up - self._position
        positions = self._position + self._down * np.arange(max(0, -(-room // self._down)))
        self._position += self._down * len(positions)
        self._held = waiting[self._position // self._up :]
        self._position %= self._up
        if not len(positions):
            return np.zeros(0, np.int16)
        windows = np.lib.stride_tricks.sliding_window_view(waiting, length)[positions // self._up]
        filtered = np.einsum("nk,nk->n", windows, self._filters[positions % self._up])
        result: Samples = np.clip(np.rint(filtered), -32768, 32767).astype(np.int16)
        return result


@lru_cache(maxsize=16)
def _polyphase(up: int, down: int) -> npt.NDArray[np.float32]:
    """Filters [up, taps], one for each position of an output between two inputs: a sinc under a Kaiser window.

    16 zero crossings to each side, beta 7 and a cut-off at 0.95 of half the lower rate; J. O. Smith, Digital Audio Resampling.
    """
    crossings, beta, cutoff = 16, 7.0, 0.95
    stretch = max(1.0, down / up)
    half = math.ceil(crossings * stretch)
    time = (np.arange(1 - half, half + 1) - np.arange(up)[:, None] / up) / stretch
    window = np.i0(beta * np.sqrt(np.maximum(0, 1 - (time / crossings) ** 2)))
    filters = np.sinc(cutoff * time) * window
    result: npt.NDArray[np.float32] = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def dbfs(samples: Samples) -> float:
    """Level of [n] samples relative to full scale, in decibels; -96 for silence (16-bit quantisation floor)."""
    if samples.size == 0:
        return -96.0
    scaled = samples.astype(np.float32)
    power = float(scaled @ scaled) / samples.size
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


class TimeLine:
    """Pieces of sound at 16 kHz, each in its place, with silence between them."""

    NEAR = 0.05
    """Seconds that a piece may be late and still follows the one before without a gap: jitter."""

    def __init__(self) -> None:
        self.end = 0
        """Samples from the start to the end of the last piece."""
        self.taken = 0
        """Samples that were taken off the start."""
        self._line: Samples = np.zeros(0, np.int16)

    def add(self, samples: Samples, time: float) -> None:
        """Put [n] samples where so many seconds are over, or at the end where that is later."""
        gap = round(time * INPUT_RATE) - self.end
        silence = np.zeros(gap if gap > self.NEAR * INPUT_RATE else 0, np.int16)
        self._line = np.concatenate([self._line, silence, samples])
        self.end = self.taken + self._line.size

    def cut(self, time: float) -> None:
        """Drop what lies beyond so many seconds."""
        self._line = self._line[: max(0, round(time * INPUT_RATE) - self.taken)]
        self.end = self.taken + self._line.size

    def take(self, count: int) -> Samples:
        """The next [count] samples, silence where there is nothing."""
        taken, self._line = self._line[:count], self._line[count:]
        self.taken += count
        self.end = max(self.end, self.taken)
        return np.pad(taken, (0, count - taken.size))


def onset(samples: Samples) -> int:
    """Index of the first of [n] samples louder than 32, -60 dBFS; n if all are quiet."""
    loud = (samples > 32) | (samples < -32)
    return int(np.argmax(loud)) if loud.any() else len(samples)
