"""The way to the caller's ear for a transport that sends audio in real time: `Speaker` over a `Playout`.

Takes speech at the voice's rate, resamples it once, and gives frames of 20 ms to whoever keeps the pace: a WebRTC track, or a
simulated edge on a virtual clock. Everything happens on one event loop; nothing here keeps a task.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from agent.audio import FRAME_SECONDS, Resampler, Samples, Speech, Word, dbfs
from agent.edge import Heard
from agent.playout import KEPT_FRAMES, Playout

OUTPUT_RATE = 48_000
"""Samples per second of a WebRTC track: Opus's own rate (RFC 7587)."""


class PacedSpeaker:
    """Implements `Speaker`; `pull` is its other end."""

    paced = True

    def __init__(self, rate: int = OUTPUT_RATE, ahead_seconds: float = 2.0) -> None:
        """Give frames at `rate` samples per second; writers wait while more than `ahead_seconds` are queued."""
        self.rate = rate
        self.on_speech: Callable[[], None] = lambda: None
        """Called when there may be something to pull."""
        self.on_audio: Callable[[Samples, int], None] = lambda _samples, _rate: None
        self.level = -96.0
        """Level in dBFS of the frame that left last; -96 for silence."""
        self._ahead = round(ahead_seconds * rate)
        self._playout = Playout(round(rate * FRAME_SECONDS))
        self._held = False
        self._times: deque[float] = deque(maxlen=KEPT_FRAMES)
        """When the last frames of this reply were pulled."""
        self._started = asyncio.Event()
        self._start_time = 0.0
        self._pulled = asyncio.Event()
        self._resampler: Resampler | None = None
        self._source_rate = rate
        self._source_samples = 0
        self._source_start = 0

    @property
    def underruns(self) -> int:
        """Gaps inside speech since the start of the call."""
        return self._playout.underruns

    async def write(self, speech: Speech) -> None:
        """Queue speech once fewer than `ahead_seconds` wait."""
        while self._playout.buffered > self._ahead:
            await _next(self._pulled)
        if speech.rate != self._source_rate:
            self._flush()
            self._source_rate = speech.rate
        if self._source_samples == 0:
            self._source_start = self._playout.pushed
            self._resampler = Resampler(speech.rate, self.rate) if speech.rate != self.rate else None
        words = [Word(self._position(word.sample) - self._playout.pushed, word.text) for word in speech.words]
        self._source_samples += speech.samples.size
        self._playout.push(self._resampler(speech.samples) if self._resampler else speech.samples, words)
        self.on_speech()

    async def started(self) -> float:
        """The loop's time at which the reply's first frame was pulled."""
        await self._started.wait()
        return self._start_time

    async def drained(self) -> None:
        """Wait until all was pulled. Called after a reply's last write, so it also flushes the resampler."""
        self._flush()
        self._playout.end()
        self.on_speech()
        while self._playout.buffered:
            await _next(self._pulled)

    def clear(self) -> Heard:
        """Drop what waits; the next write begins another reply."""
        heard = Heard(seconds=self._playout.played / self.rate, text=self._playout.text)
        self._playout.clear()
        self._times.clear()
        self._resampler = None
        self._source_samples = 0
        self._started.clear()
        self._pulled.set()
        return heard

    def duck(self, on: bool) -> None:
        """Fade to silence within a frame and hold the place, or go on from there."""
        self._playout.duck(on)
        self.on_speech()

    def hold(self, since: float) -> None:
        """Nobody has heard what left after a moment: go back to there, and say nothing until `go_on`."""
        self._held = True
        unheard = sum(time > since for time in self._times)
        self._playout.put_back(unheard)
        for _ in range(unheard):
            self._times.pop()

    def go_on(self) -> None:
        """Somebody hears again."""
        self._held = False
        self.on_speech()

    def pull(self) -> Samples | None:
        """The next 20 ms, [rate / 50] int16; None for silence."""
        frame = None if self._held else self._playout.pull()
        self.level = -96.0 if frame is None else dbfs(frame)
        if frame is not None:
            self.on_audio(frame, self.rate)
            now = asyncio.get_running_loop().time()
            self._times.append(now)
            if not self._started.is_set():
                self._start_time = now
                self._started.set()
            self._pulled.set()
        return frame

    def _position(self, sample: int) -> int:
        """Where in the reply, at the output's rate, a sample of the piece that is being written lies."""
        return self._source_start + round((self._source_samples + sample) * self.rate / self._source_rate)

    def _flush(self) -> None:
        """Play what the resampler's filter holds back and end its stream."""
        if self._resampler and self._source_samples:
            self._playout.push(self._resampler(np.empty(0, dtype=np.int16), last=True))
        self._resampler = None
        self._source_samples = 0


async def _next(event: asyncio.Event) -> None:
    """Wait until it is set again."""
    event.clear()
    await event.wait()
