"""Speech probabilities in, turns and their pauses out. Pure: counts samples at 16 kHz, never asks the time.

Hysteresis (a threshold to begin, a lower one to go on), a minimum of speech before anything is believed, padding before the first
word, and an end-of-turn silence. Every position is a sample number of the call's microphone stream.
"""

from dataclasses import dataclass
from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field

from agent.audio import INPUT_RATE

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=60)]


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class TurnSettings:
    """How a turn is found. Seconds, but for the two probabilities."""

    threshold: Probability = 0.5
    """A window at or above this begins speech (OpenAI's server_vad default)."""

    release: Probability = 0.35
    """Speech goes on while windows stay at or above this (silero-vad's own default: threshold - 0.15)."""

    min_speech: Seconds = 0.09
    """Speech that lasts less is a click or a cough: three of Silero's windows of 32 ms."""

    padding: Seconds = 0.3
    """Audio kept from before the first speech window: word onsets are quieter than the threshold."""

    pause: Seconds = 0.15
    """Silence after which an answer is prepared in case the turn is over; so much of the silence belongs to the turn's audio."""

    silence: Seconds = 0.5
    """Silence after which the turn is over (OpenAI's server_vad default)."""

    max_turn: Seconds = 30.0
    """A turn that never ends is cut here: one window of the audio encoder."""


@dataclass(frozen=True)
class SpeechStarted:
    """The caller is speaking; `start` includes the padding."""

    start: int


@dataclass(frozen=True)
class TurnPaused:
    """The caller is silent, and may have finished: the turn reaches from `start` to `speech_end` so far."""

    start: int
    speech_end: int


@dataclass(frozen=True)
class TurnResumed:
    """The caller went on after a pause."""


@dataclass(frozen=True)
class TurnEnded:
    """The caller's turn is over: it reaches from `start` (padding included) to `end`; its last speech sample is `speech_end`."""

    start: int
    speech_end: int
    end: int


TurnEvent = SpeechStarted | TurnPaused | TurnResumed | TurnEnded


@dataclass
class TurnDetector:
    """The state of one call's microphone: silence, perhaps speech, or a turn."""

    settings: TurnSettings
    position: int = 0
    """Samples judged so far."""

    _onset: int | None = None
    """First speech sample of what may become, or is, a turn."""
    _speech_end: int = 0
    _speaking: bool = False
    _paused: bool = False

    def push(self, samples: int, probability: float) -> TurnEvent | None:
        """Judge the stream's next window of `samples` samples by its probability of speech."""
        start, self.position = self.position, self.position + samples
        if probability >= (self.settings.threshold if self._onset is None else self.settings.release):
            self._onset = start if self._onset is None else self._onset
            self._speech_end = self.position
        if self._onset is None:
            return None
        return self._in_turn(self._onset, self.position) if self._speaking else self._perhaps_speech(self._onset)

    def wait(self, now: int) -> TurnEvent | None:
        """Judge the silence at sample `now`, which may lie inside a window that is not complete yet."""
        if self._onset is None or not self._speaking:
            return None
        return self._in_turn(self._onset, now)

    def _perhaps_speech(self, onset: int) -> SpeechStarted | None:
        """Believe in speech once it has lasted, forget it when it stopped before."""
        if self._speech_end < self.position:
            self._onset = None
        elif self.position - onset >= self.settings.min_speech * INPUT_RATE:
            self._speaking = True
            return SpeechStarted(self._padded(onset))
        return None

    def _in_turn(self, onset: int, now: int) -> TurnPaused | TurnResumed | TurnEnded | None:
        """Notice a pause and its end; end the turn after enough silence, or at its greatest length."""
        silence = (now - self._speech_end) / INPUT_RATE
        if silence >= self.settings.silence or now - onset >= self.settings.max_turn * INPUT_RATE:
            self._onset, self._speaking, self._paused = None, False, False
            return TurnEnded(self._padded(onset), self._speech_end, now)
        if self._paused and silence <= 0:
            self._paused = False
            return TurnResumed()
        if not self._paused and silence >= self.settings.pause:
            self._paused = True
            return TurnPaused(self._padded(onset), self._speech_end)
        return None

    def _padded(self, onset: int) -> int:
        return max(0, onset - round(self.settings.padding * INPUT_RATE))
