"""What a short sound over the agent's speech said: "stop" interrupts, "okay" does not, and both last as long.

While the agent holds its voice, the engine is asked to write down what was heard. Whether an engine can do that (see
`agent.transcribing`) is found out at the first such sound; until then, and where it cannot, length alone decides.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.conversation import Audio, Message
from agent.engine import EngineError
from agent.stages import Stages
from agent.tools.recognise import NOISE
from agent.transcribing import can_repeat, repeated
from agent.tts import TTSError
from agent.turns.hearing import Hearing
from agent.turns.turn import OverlapEnded, OverlapPaused, OverlapStarted, SpeechStarted, TurnSettings


@dataclass
class Overhearing:
    """The sounds over the agent's speech of one call, of which the newest is judged."""

    stages: Stages
    hearing: Hearing
    tasks: asyncio.TaskGroup
    hold: Callable[[bool], None]
    """Lets the agent fall silent, or go on."""
    interrupt: Callable[[SpeechStarted], None]
    """Takes a sound that interrupts as the beginning of a turn."""
    _judging: asyncio.Task[None] | None = None
    _trying: bool = False

    def take(self, event: OverlapStarted | OverlapPaused | OverlapEnded) -> None:
        """Hold the agent's voice during a sound, and ask what it said."""
        match event:
            case OverlapStarted():
                self.hold(True)
                self._find_out()
            case OverlapPaused():
                if self.hearing.told:
                    self.forget()
                    self._judging = self.tasks.create_task(self._judge(event))
            case OverlapEnded():
                self.forget()
                self.hold(False)

    def forget(self) -> None:
        """It is decided what the sound is."""
        if self._judging:
            self._judging.cancel()
            self._judging = None

    def _find_out(self) -> None:
        """Know whether the engine can write down what it hears; if nobody knows, try."""
        self.hearing.told = bool(self.stages.ability.repeats)
        if self.stages.ability.repeats is None and not self._trying:
            self._trying = True
            self.tasks.create_task(self._try())

    async def _try(self) -> None:
        with suppress(EngineError, TTSError):
            self.hearing.told = await can_repeat(self.stages)
        self._trying = False

    async def _judge(self, event: OverlapPaused) -> None:
        sound, words = Message("overlap", "user", (Audio(self.hearing.audio(event)),)), ""
        with suppress(EngineError):
            words = await repeated(self.stages.engine, sound)
        self._judging = None
        decided = interrupts(words, event.speech, self.hearing.configured)
        if began := self.hearing.settle(interrupts=decided):
            self.interrupt(began)


def interrupts(text: str, seconds: float, settings: TurnSettings) -> bool:
    """Whether words that were said over the agent's speech, in so many seconds, interrupt it."""
    words = set() if NOISE in text else set(re.findall(r"\w+", text.casefold()))
    known = settings.stops if seconds < settings.interrupt else words - {*settings.backchannels}
    return not words.isdisjoint(known)
