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

BACKCHANNELS = (
    *("mm", "mhm", "hm", "hmm", "uh", "huh", "ah", "aha", "oh", "wow", "okay", "ok", "yeah", "yes", "yep", "right"),
    *("sure", "i", "see", "got", "it", "good", "great", "nice", "cool", "fine", "exactly", "really", "true", "indeed"),
)
STOPS = ("stop", "no", "nope", "wait", "hey", "hold", "what", "quiet", "enough", "pause", "cancel", "sorry", "but")

OVERLAP_PAUSE = 0.1
"""Seconds of silence after a short sound over the agent's speech at which its words are asked for."""

WORDS_AFTER = 0.25
"""Seconds beyond `overlap_end` for which the agent stays silent while they have not come."""


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

    min_silence: Seconds = 0.3
    """However certain the end is."""

    max_silence: Seconds = 4.0
    """However doubtful it is (OpenAI's semantic_vad of medium eagerness)."""

    patience: Factor = 1.0
    """The decided silence times this."""

    dictation: Factor = 1.6
    """And times this after the agent asked for a number, a spelling or an address."""

    yes_or_no: Factor = 0.8
    """Or times this after it asked what yes or no answers."""

    calibrated: bool | None = None
    """Take the engine's end-of-turn probability as it is; off: only as it proves itself in the pauses of all calls; unset: what the checkpoint's `parley.json` says."""

    overlap: Seconds = 0.06
    """Speech over the agent's after which the agent falls silent, for now: two of Silero's windows."""

    overlap_threshold: Probability = 0.6
    """A window at or above this begins such speech; it takes more than while the agent listens."""

    overlap_end: Seconds = 0.25
    """Silence after which it was no interruption (a backchannel, a cough, an echo), and the agent goes on: longer than from word to word."""

    interrupt: Seconds = 0.34
    """Speech over the agent's that interrupts it; "mm-hm" and "okay" last 0.15 to 0.3 s."""

    interrupt_surely: Seconds = 0.7
    """The same where the engine can write down what it hears: then what is shorter interrupts by its words."""

    backchannels: tuple[str, ...] = BACKCHANNELS
    """Words that do not interrupt, alone or together."""

    stops: tuple[str, ...] = STOPS
    """Words that interrupt in less than `interrupt`."""

    echo_grace: Seconds = 1.0
    """The agent's first seconds of speech in a call, in which half as much again is needed: echo cancellers are learning."""

    max_turn: Seconds = 30.0
    """A turn that never ends is cut here: one window of the audio encoder."""


@dataclass(frozen=True)
class SpeechStarted:
    """The caller is speaking; `start` includes the padding."""

    start: int


@dataclass(frozen=True)
class OverlapStarted:
    """The caller makes a sound while the agent speaks: an interruption, which SpeechStarted then confirms, or nothing of it."""


@dataclass(frozen=True)
class OverlapPaused:
    """That sound has stopped, for now: it reaches from `start` to `speech_end`, and its words may tell what it is."""

    start: int
    speech_end: int
    speech: float
    """Seconds of it that are speech."""


@dataclass(frozen=True)
class OverlapEnded:
    """It was no interruption."""


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


TurnEvent = OverlapStarted | OverlapPaused | OverlapEnded | SpeechStarted | TurnPaused | TurnResumed | TurnEnded


@dataclass
class TurnDetector:
    """The state of one call's microphone: silence, perhaps speech, or a turn."""

    settings: TurnSettings
    position: int = 0
    """Samples judged so far."""
    silence: float | None = None
    """Seconds of silence that end the turn where they are decided in the pause; None: the settings'. A pause begins without."""

    interrupts: float | None = None
    """Seconds of speech that begin a turn while the agent speaks; None: it does not."""

    told: bool = False
    """Whether somebody tells, with `settle`, if a short sound over the agent's speech interrupts it."""

    _onset: int | None = None
    """First speech sample of what may become, or is, a turn."""
    _speech_end: int = 0
    _speech: int = 0
    """Samples of speech since the onset, until the turn begins."""
    _overlap: bool = False
    _speaking: bool = False
    _paused: bool = False
    _awaited: bool = False
    """It is to be told whether a sound over the agent's speech interrupts."""

    @property
    def listening(self) -> bool:
        """Nothing is being said, as far as is known yet."""
        return not self._speaking and not self._overlap

    def push(self, samples: int, probability: float) -> TurnEvent | None:
        """Judge the stream's next window of `samples` samples by its probability of speech."""
        start, self.position = self.position, self.position + samples
        if probability >= self._threshold():
            return self._hear(start)
        return self.wait(self.position) if self._speaking else self._forget()

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

    def _hear(self, start: int) -> TurnEvent | None:
        """A window of speech: believe in it once it has lasted, and end a turn at its greatest length."""
        silence, self._speech_end = start - self._speech_end, self.position
        onset = self._onset = start if self._onset is None else self._onset
        if not self._speaking:
            self._paused = self._awaited = False
            self._speech += self.position - start
            return self._perhaps_speech(onset)
        if self.position - onset >= self.settings.max_turn * INPUT_RATE:
            return self._end(onset, self.position, 0.0)
        if not self._paused:
            return None
        self._paused, self.silence = False, None
        return TurnResumed(silence / INPUT_RATE)

    def _perhaps_speech(self, onset: int) -> OverlapStarted | SpeechStarted | None:
        """Begin a turn when its speech has lasted; before that, tell of speech over the agent's."""
        needed = self.settings.min_speech if self.interrupts is None else self.interrupts
        if self._speech >= needed * INPUT_RATE:
            return self._begin(onset)
        if self.interrupts is None or self._overlap or self._speech < self.settings.overlap * INPUT_RATE:
            return None
        self._overlap = True
        return OverlapStarted()

    def settle(self, *, interrupts: bool) -> SpeechStarted | None:
        """Whether the sound over the agent's speech interrupts it is known; nothing happens if that is over, or did already."""
        self._awaited = False
        return self._begin(self._onset) if interrupts and self._overlap and self._onset is not None else None

    def _begin(self, onset: int) -> SpeechStarted:
        self._speaking, self._overlap, self._speech = True, False, 0
        self._paused = self._awaited = False
        return SpeechStarted(self._padded(onset))

    def _forget(self) -> OverlapPaused | OverlapEnded | None:
        """What began was no turn: at once, or over the agent's speech after a gap longer than those between syllables."""
        silence = (self.position - self._speech_end) / INPUT_RATE
        if self._overlap and self._onset is not None:
            if not self._paused and silence >= OVERLAP_PAUSE:
                self._paused, self._awaited = True, self.told
                return OverlapPaused(self._padded(self._onset), self._speech_end, self._speech / INPUT_RATE)
            if silence < self.settings.overlap_end + (WORDS_AFTER if self._awaited else 0.0):
                return None
        ended, self._overlap = self._overlap, False
        self._onset, self._speech, self._paused, self._awaited = None, 0, False, False
        return OverlapEnded() if ended else None

    def _threshold(self) -> float:
        """The probability that is speech: less once it has begun, more over the agent's."""
        if self._onset is None:
            return self.settings.threshold if self.interrupts is None else self.settings.overlap_threshold
        return self.settings.release if self._speaking or self.interrupts is None else self.settings.threshold

    def _end(self, onset: int, now: int, silence: float) -> TurnEnded:
        self._onset, self._speaking, self._paused, self.silence = None, False, False, None
        return TurnEnded(self._padded(onset), self._speech_end, now, silence)

    def _padded(self, onset: int) -> int:
        return max(0, onset - round(self.settings.padding * INPUT_RATE))
