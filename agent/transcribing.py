"""What the caller said, in words, for those who read along. The model that hears is asked for them once it has answered.

Off the path: a turn is written down when no answer of its call is being made, at the engine's lowest priority. A model that was not
taught to repeat answers instead, so it is first asked for a sentence of the server's own voice. Where it cannot repeat that, and
where its words cannot be what was said, there is a failure, and nothing of it is shown.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from agent.audio import INPUT_RATE
from agent.conversation import Audio, Conversation, Message, Text
from agent.edge import Edge
from agent.engine import Engine, EngineError, Options, Usage
from agent.realtime.objects import Transcription
from agent.realtime.transcription import (
    InputTokenDetails,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionError,
    TranscriptionFailed,
    TranscriptionUsage,
)
from agent.stages import Stages
from agent.tts import TTSError, recording

PROMPT = "Repeat exactly what was said, word for word, in the language it was said in. Add nothing:\n"

MAX_WAITING = 16
"""Turns that wait to be written down; of more, the oldest fails."""

PAUSE = 0.1
"""Seconds in which a client may ask for the answer, and after which it is looked again whether one is still being made."""

FASTEST = 6.0
"""Words per second that can be said; fast speech has 4 to 5."""

SENTENCE = "My sister keeps seven yellow boats near the bridge."
"""What an engine is to repeat before it is believed."""

UNDERSTOOD = 0.6
"""How like the sentence, 0 to 1, is enough: synthetic voices are hard to understand."""

ALIKE = 0.9
"""How like the answer, 0 to 1, a transcript must be to be taken for it."""

ANY = Transcription()
"""A transcript of which nothing is known beforehand."""


@dataclass
class Transcribing:
    """Writes down the turns of one call."""

    edge: Edge
    stages: Stages
    conversation: Conversation
    busy: Callable[[], bool]
    """Whether an answer is being made."""
    _waiting: asyncio.Queue[tuple[Message, Transcription]] = field(default_factory=asyncio.Queue)

    def put(self, turn: Message, wanted: Transcription | None) -> None:
        """What the caller said; with None it is not written down."""
        if wanted is None:
            return
        self._waiting.put_nowait((turn, wanted))
        if self._waiting.qsize() > MAX_WAITING:
            oldest, _ = self._waiting.get_nowait()
            self._fail(oldest, "the engine has had no time for it")

    async def run(self) -> None:
        """Write down turn by turn, until cancelled."""
        while True:
            turn, wanted = await self._waiting.get()
            await asyncio.sleep(PAUSE)
            while self.busy():  # noqa: ASYNC110  answers come and go, an event for each would tell no more
                await asyncio.sleep(PAUSE)
            await self._transcribe(turn, wanted)

    async def _transcribe(self, turn: Message, wanted: Transcription) -> None:
        usage, engine = Usage(), self.stages.engine
        try:
            if not await can_repeat(self.stages):
                self._fail(turn, "this model answers what it hears, but cannot repeat it")
                return
            text = await repeated(engine, turn, wanted, usage, off_path=True)
        except (EngineError, TTSError) as error:
            self._fail(turn, str(error))
            return
        if fault := _fault(text, _seconds(turn), usage, self.conversation.answer_to(turn.id)):
            self._fail(turn, fault)
            return
        self.conversation.transcribe(turn.id, text)
        self.edge.send(TranscriptionDelta(item_id=turn.id, delta=text, model=engine.name))
        counts = TranscriptionUsage(
            total_tokens=usage.text + usage.audio + usage.output,
            input_tokens=usage.text + usage.audio,
            output_tokens=usage.output,
            input_token_details=InputTokenDetails(text_tokens=usage.text, audio_tokens=usage.audio),
        )
        self.edge.send(TranscriptionCompleted(item_id=turn.id, transcript=text, usage=counts, model=engine.name))

    def _fail(self, turn: Message, why: str) -> None:
        error = TranscriptionError(code="transcription_failed", message=f"No transcript: {why}.")
        self.edge.send(TranscriptionFailed(item_id=turn.id, error=error, model=self.stages.engine.name))


async def can_repeat(stages: Stages) -> bool:
    """Whether the engine can say what the voice said; it is tried once. Raises EngineError, TTSError."""
    if stages.ability.repeats is None:
        spoken = Audio(await recording(stages.voice, SENTENCE, INPUT_RATE))
        text = await repeated(stages.engine, Message("sentence", "user", (spoken,)), off_path=True)
        stages.ability.repeats = _likeness(text, SENTENCE) > UNDERSTOOD
    return stages.ability.repeats


async def repeated(
    engine: Engine, turn: Message, wanted: Transcription = ANY, usage: Usage | None = None, *, off_path: bool = False
) -> str:
    """What the engine says that was said. Raises EngineError."""
    options = Options(max_tokens=16 + round(2 * FASTEST * _seconds(turn)), off_path=off_path)
    async with aclosing(engine.reply(request(turn, wanted), options, usage)) as deltas:
        return "".join([delta async for delta in deltas]).strip()


def request(turn: Message, wanted: Transcription) -> tuple[Message, ...]:
    """What the engine is asked: the caller's audio after the order to repeat it, and the words that the client expects."""
    expected = Message("expected", "system", (Text(f"Words that may occur: {wanted.prompt}"),))
    audio = tuple(part for part in turn.content if isinstance(part, Audio))
    order = Message(turn.id, "user", (Text(PROMPT), *audio))
    return (expected, order) if wanted.prompt else (order,)


def _fault(text: str, seconds: float, usage: Usage, answer: str) -> str | None:
    """Why a text cannot be what was said in so many seconds; None if it can."""
    if not any(character.isalnum() for character in text):
        return "the model gave no words"
    if not usage.complete or len(text.split()) > FASTEST * seconds + 2:
        return "the model gave more words than can have been said"
    if answer and _likeness(text, answer) > ALIKE:
        return "the model answered instead of repeating"
    return None


def _likeness(text: str, other: str) -> float:
    """0 to 1, by letters and digits."""
    return SequenceMatcher(None, _plain(text), _plain(other)).ratio()


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _seconds(turn: Message) -> float:
    return sum(part.samples.size for part in turn.content if isinstance(part, Audio)) / INPUT_RATE
