"""The way to the ear of a client that plays the audio itself: speech becomes `response.output_audio.delta` events as soon as it is made.

Takes speech at the voice's rate, resamples it once to the response's format. What was sent is all that is known here; what was heard
of it the client says with `conversation.item.truncate`.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from agent import g711
from agent.audio import Resampler, Samples, Speech
from agent.edge import Heard
from agent.realtime.events import OutputAudioDelta
from agent.realtime.objects import PCM, AudioFormat

DELTA_SECONDS = 0.2
"""Longest piece of audio in one event: 13 kB as base64, so that a client's limit for a message is never met."""

SILENCE = -96.0
"""Level in dBFS of what leaves for the ear: not known here, as nobody tells when the client plays it."""


@dataclass
class Answer:
    """What was sent of a response, and the message that it now belongs to."""

    response_id: str
    item_id: str
    output_index: int
    seconds: float = 0.0
    text: int = 0
    """Characters of the text whose words were sent."""


class DeltaSpeaker:
    """Implements `Speaker`; the edge says which answer the speech belongs to, and when its audio is complete."""

    paced = False
    level = SILENCE

    def __init__(self, send: Callable[[OutputAudioDelta], None], has_room: Callable[[], Awaitable[object]]) -> None:
        """`has_room` waits until the client has taken most of what was sent."""
        self.format: AudioFormat = PCM()
        """For answers from now on."""
        self.on_audio: Callable[[Samples, int], None] = lambda _samples, _rate: None
        self._send = send
        self._has_room = has_room
        self._answer: Answer | None = None
        self._answer_format: AudioFormat = self.format
        self._resampler: Resampler | None = None
        self._source_rate = 0
        self._started = asyncio.Event()
        self._start_time = 0.0

    def begin(self, response_id: str, item_id: str, output_index: int) -> None:
        """What is written from now on belongs to this message."""
        before = self._answer if self._answer and self._answer.response_id == response_id else None
        self._answer = Answer(response_id, item_id, output_index)
        if before:
            self._answer.seconds, self._answer.text = before.seconds, before.text
        self._answer_format = self.format

    async def write(self, speech: Speech) -> None:
        """Send speech once the client has taken most of what was sent before."""
        await self._has_room()
        assert self._answer is not None, "a response opens its content part before it speaks"
        if speech.rate != self._source_rate:
            self.flush()
            self._source_rate = speech.rate
        if self._resampler is None:
            self._resampler = Resampler(speech.rate, _rate(self._answer_format))
        self._answer.text = max((word.text for word in speech.words), default=self._answer.text)
        self._answer.seconds += speech.samples.size / speech.rate
        self._give(self._resampler(speech.samples))

    async def started(self) -> float:
        """The loop's time at which the answer's first audio was sent."""
        await self._started.wait()
        return self._start_time

    async def drained(self) -> None:
        """Wait until the client has taken most of it; how long it plays is its own affair."""
        await self._has_room()

    def duck(self, on: bool) -> None:
        """The client plays, so nothing can be held back."""

    def flush(self) -> None:
        """Send what the resampler's filter holds back: no more audio of this answer comes."""
        if self._resampler:
            self._give(self._resampler(np.zeros(0, np.int16), last=True))
        self._resampler = None

    def clear(self) -> Heard:
        """End the answer: all that was sent of it."""
        answer, self._answer = self._answer, None
        self._resampler = None
        self._started.clear()
        return Heard(answer.seconds, answer.text) if answer else Heard(0.0, 0)

    def _give(self, samples: Samples) -> None:
        """Send [n] samples at the format's rate in pieces."""
        self.on_audio(samples, _rate(self._answer_format))
        piece = round(DELTA_SECONDS * _rate(self._answer_format))
        for at in range(0, samples.size, piece):
            self._send_piece(samples[at : at + piece])

    def _send_piece(self, samples: Samples) -> None:
        assert self._answer is not None
        form = self._answer_format
        data = samples.astype("<i2").tobytes() if isinstance(form, PCM) else g711.encode(samples, form.type)
        if not self._started.is_set():
            self._start_time = asyncio.get_running_loop().time()
            self._started.set()
        self._send(
            OutputAudioDelta(
                response_id=self._answer.response_id,
                item_id=self._answer.item_id,
                output_index=self._answer.output_index,
                delta=base64.b64encode(data).decode(),
            )
        )


def _rate(audio_format: AudioFormat) -> int:
    return audio_format.rate if isinstance(audio_format, PCM) else g711.G711_RATE
