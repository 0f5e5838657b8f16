"""The microphone of one call: frames in, turns out, and the audio between any two of its samples.

Cuts frames of 20 ms into the detector's own windows, decides in each pause how long to wait, keeps the last seconds for the turn's
audio, and follows the capture clock, so that a sample's number can be told as the loop's time.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_RATE, Frame, SampleHistory, Samples, dbfs
from agent.realtime.objects import EventError
from agent.traces.trace import Pause
from agent.turns.echo import AUDIBLE, Echo
from agent.turns.endpointing import Endpointing, Experience
from agent.turns.floor import Floor
from agent.turns.turn import (
    OverlapEnded,
    OverlapPaused,
    OverlapStarted,
    SpeechStarted,
    TurnDetector,
    TurnEnded,
    TurnEvent,
    TurnPaused,
    TurnResumed,
    TurnSettings,
)
from agent.vad import VAD

LEAST_COMMIT = 0.1
"""Seconds of audio below which a commit is refused, as OpenAI does."""


CUT_OFF = 1.0
"""Seconds: a caller who speaks again so soon after the last word of a turn had not finished it."""


class Hearing:
    """A call's ear; `push` it every frame."""

    def __init__(self, vad: VAD, settings: TurnSettings, experience: Experience | None = None) -> None:
        """`vad` is fresh: it keeps the state of one stream. `experience` is shared by all calls of an engine; None: begin anew."""
        self.configured = settings
        """What the call began with."""
        self._detector: TurnDetector | None = TurnDetector(settings)
        """None while the client commits turns itself (push-to-talk)."""
        self._vad = vad
        self.endpointing = Endpointing(experience or Experience(calibrated=settings.calibrated))
        self.end_of_turn: float | None = None
        """The engine's probability in this pause, or the last one."""
        self.pauses: list[Pause] = []
        """Those of this turn, or the last one, and what was decided in each."""
        self._last_word = -math.inf
        """Last speech sample of the turn before."""
        self._silent_since = 0
        """Last speech sample before this pause."""
        self._speech = 0.0
        """Seconds of speech of this turn, or the last one, without its pauses."""
        self._history = SampleHistory(settings.max_turn + settings.padding + settings.max_silence + 1)
        self._windowed: Samples = np.zeros(0, np.int16)
        self._uncommitted = 0
        self._captured = 0.0
        self._echo = Echo()
        self._floor = Floor()
        self._agent_spoke = 0.0
        """Seconds, in this call."""
        self.told = False
        """Whether somebody tells, with `settle`, which short sounds over the agent's speech interrupt it."""

    def push(self, frame: Frame, played: float = -96.0, *, guarded: bool = False) -> Iterator[TurnEvent]:
        """Hear 20 ms, while a frame of `played` dBFS left for the caller; `guarded`: the agent speaks, and can be interrupted."""
        self._history.append(frame.samples)
        self._echo.push(dbfs(frame.samples), played)
        self._agent_spoke += FRAME_SECONDS * (played > AUDIBLE)
        if self._detector:
            grace = 1.5 if self._agent_spoke < self._detector.settings.echo_grace else 1.0
            settings = self._detector.settings
            interrupt = settings.interrupt_surely if self.told else settings.interrupt
            self._detector.interrupts = grace * interrupt if guarded else None
            self._detector.told = self.told
        self._captured = frame.time - self._history.end / INPUT_RATE
        self._windowed = np.concatenate([self._windowed, frame.samples])
        while self._windowed.size >= self._vad.window:
            window, self._windowed = np.split(self._windowed, [self._vad.window])
            probability = self._floor.judge(dbfs(window), self._vad(window))
            if (
                self._detector
                and self._detector.listening
                and probability >= self.configured.release
                and self._echo.explains()
            ):
                probability = 0.0
            if self._detector and (event := self._detector.push(window.size, probability)):
                self._learn(self._detector, event)
                yield event
        if self._detector and (event := self._detector.wait(self._history.end)):
            self._learn(self._detector, event)
            yield event

    def judge(self, end_of_turn: float | None) -> None:
        """In a pause: the engine's probability that the turn is over, which decides how long to wait."""
        self.end_of_turn = end_of_turn
        if self._detector:
            pause = self.pauses[-1] if self.pauses and self.pauses[-1].length is None else None
            at = (self._history.end - self._silent_since) / INPUT_RATE if pause else 0.0
            self._detector.silence, decision = self.endpointing.decide(
                self._detector.settings, end_of_turn, self._speech, at
            )
            if pause:
                wait = self._detector.silence
                self.pauses[-1] = replace(pause, wait=wait, end_of_turn=end_of_turn, decision=decision)

    def _learn(self, detector: TurnDetector, event: TurnEvent) -> None:
        """Take an event for what it says of the caller's pauses; a pause begins with what is known without the engine."""
        match event:
            case SpeechStarted(start=start):
                self.pauses.clear()
                gap = start / INPUT_RATE + detector.settings.padding - self._last_word / INPUT_RATE
                if 0 < gap < CUT_OFF:
                    self.endpointing.cut_off(gap, self.end_of_turn)
            case TurnPaused(start=start, speech_end=speech_end):
                self._silent_since = speech_end
                silences = detector.settings.padding + sum(pause.length or 0.0 for pause in self.pauses)
                self._speech = max(0.0, (speech_end - start) / INPUT_RATE - silences)
                self.pauses.append(Pause(self.time(speech_end), 0.0, None, self.endpointing.expected))
                self.judge(None)
            case TurnResumed(silence=silence):
                self.pauses[-1] = replace(self.pauses[-1], length=silence)
                self.endpointing.resumed(silence, self.end_of_turn)
            case TurnEnded(speech_end=speech_end):
                self._last_word = speech_end
                self.endpointing.ended(self.end_of_turn, self._speech)
            case OverlapStarted() | OverlapPaused() | OverlapEnded():
                pass

    def detect(self, settings: TurnSettings | None) -> None:
        """Find turns with other settings from now on, also in the middle of one; None leaves it to the client."""
        if settings is None:
            self._detector, self._uncommitted = None, self._history.end
        elif self._detector is None:
            self._detector = TurnDetector(settings, position=self._history.end - self._windowed.size)
        else:
            self._detector.settings = settings

    def time(self, sample: int) -> float:
        """The loop's time at which a sample was captured."""
        return self._captured + sample / INPUT_RATE

    def settle(self, *, interrupts: bool) -> SpeechStarted | None:
        """The words of a sound over the agent's speech are known; gives a turn's beginning if they interrupt and it is not over."""
        event = self._detector.settle(interrupts=interrupts) if self._detector else None
        if self._detector and event:
            self._learn(self._detector, event)
        return event

    def audio(self, turn: OverlapPaused | TurnPaused | TurnEnded) -> Samples:
        """A turn's or sound's [n] int16 samples at 16 kHz: padding, speech, and the first pause after it, the same for both events."""
        return self._history.between(turn.start, turn.speech_end + round(self.configured.pause * INPUT_RATE))

    def commit(self) -> TurnEnded:
        """What was heard since the last commit or clear, as a turn of push-to-talk. Raises EventError if that is too little."""
        start, end = self._uncommitted, self._history.end
        if end - start < LEAST_COMMIT * INPUT_RATE:
            raise EventError(
                "input_audio_buffer_commit_empty",
                f"Error committing input audio buffer: buffer too small. Expected at least {1000 * LEAST_COMMIT:.0f}ms of audio.",
            )
        self._uncommitted = end
        return TurnEnded(start=start, speech_end=end, end=end)

    @property
    def position(self) -> int:
        """Samples heard so far."""
        return self._history.end

    def latest(self, seconds: float = 1.0) -> TurnEnded:
        """The last moments, of a silence that nobody spoke in, as a turn."""
        return TurnEnded(max(0, self.position - round(seconds * INPUT_RATE)), self.position, self.position)

    def clear(self) -> None:
        """Forget what was not committed."""
        self._uncommitted = self._history.end
