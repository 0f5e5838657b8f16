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
Factor = Annotated[float, Field(gt=0, le=10)]


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class TurnSettings:
    """How a turn is found. Seconds, but for probabilities and factors."""

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
    """Silence after which the turn is over, or is when nothing else is known (OpenAI's server_vad default)."""

    adaptive: bool = True
    """Decide the silence in each pause, by the engine's probability, the caller's own pauses and what the agent asked for."""

    min_silence: Seconds = 0.25
    """However certain the end is."""

    max_silence: Seconds = 4.0
    """However doubtful it is (OpenAI's semantic_vad of medium eagerness)."""

    patience: Factor = 1.0
    """The decided silence times this."""

    dictation: Factor = 1.6
    """And times this after the agent asked for a number, a spelling or an address."""

    yes_or_no: Factor = 0.8
    """Or times this after it asked what yes or no answers."""

    trust: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Weight of the engine's end-of-turn probability; 0: none."""

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
    """The caller went on after a pause of `silence` seconds."""

    silence: float


@dataclass(frozen=True)
class TurnEnded:
    """The caller's turn is over: it reaches from `start` (padding included) to `end`; its last speech sample is `speech_end`."""

    start: int
    speech_end: int
    end: int
    silence: float = 0.0
    """Seconds of silence that were to end it."""


TurnEvent = SpeechStarted | TurnPaused | TurnResumed | TurnEnded


@dataclass
class TurnDetector:
    """The state of one call's microphone: silence, perhaps speech, or a turn."""

    settings: TurnSettings
    position: int = 0
    """Samples judged so far."""
    silence: float | None = None
    """Seconds of silence that end the turn where they are decided in the pause; None: the settings'. A pause begins without."""

    _onset: int | None = None
    """First speech sample of what may become, or is, a turn."""
    _speech_end: int = 0
    _speaking: bool = False
    _paused: bool = False

    def push(self, samples: int, probability: float) -> TurnEvent | None:
        """Judge the stream's next window of `samples` samples by its probability of speech."""
        start, self.position = self.position, self.position + samples
        if probability >= (self.settings.threshold if self._onset is None else self.settings.release):
            return self._hear(start)
        if not self._speaking:
            self._onset = None
        return self.wait(self.position)

    def wait(self, now: int) -> TurnPaused | TurnEnded | None:
        """Judge the silence at sample `now`, which may lie inside a window that is not complete yet."""
        if self._onset is None or not self._speaking:
            return None
        silence = (now - self._speech_end) / INPUT_RATE
        wanted = self.settings.silence if self.silence is None else self.silence
        if silence >= wanted:
            return self._end(self._onset, now, wanted)
        if self._paused or silence < self.settings.pause:
            return None
        self._paused = True
        return TurnPaused(self._padded(self._onset), self._speech_end)

    def _hear(self, start: int) -> SpeechStarted | TurnResumed | TurnEnded | None:
        """A window of speech: believe in it once it has lasted, and end a turn at its greatest length."""
        silence, self._speech_end = start - self._speech_end, self.position
        onset = self._onset = start if self._onset is None else self._onset
        if not self._speaking:
            self._speaking = self.position - onset >= self.settings.min_speech * INPUT_RATE
            return SpeechStarted(self._padded(onset)) if self._speaking else None
        if self.position - onset >= self.settings.max_turn * INPUT_RATE:
            return self._end(onset, self.position, 0.0)
        if not self._paused:
            return None
        self._paused, self.silence = False, None
        return TurnResumed(silence / INPUT_RATE)

    def _end(self, onset: int, now: int, silence: float) -> TurnEnded:
        self._onset, self._speaking, self._paused, self.silence = None, False, False, None
        return TurnEnded(self._padded(onset), self._speech_end, now, silence)

    def _padded(self, onset: int) -> int:
        return max(0, onset - round(self.settings.padding * INPUT_RATE))
