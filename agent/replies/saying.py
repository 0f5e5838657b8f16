"""What a reply says: the engine's text becomes words and calls of functions, and the words become speech.

After the results of calls the model goes on. Pulled: the engine is asked for more when the speaker has room for more; the only buffer is the speaker's.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from agent.audio import Speech
from agent.chunk import Chunker
from agent.engine import Prefill, Usage
from agent.replies.asking import Ask
from agent.replies.calling import ROUNDS, Calling
from agent.replies.output import Output
from agent.replies.response import ResponseEvents, words_timed
from agent.stages import Stages
from agent.tools import Remind
from agent.tools.recognise import Noise, Piece, recognise
from agent.traces.trace import Mark
from agent.tts import TTS, TTSError

_log = logging.getLogger(__name__)


@dataclass
class Saying:
    """What is said in one reply."""

    stages: Stages
    wire: ResponseEvents
    voice: TTS
    output: Output
    opened: asyncio.Event
    """Set when the caller may hear it."""
    mark: Callable[[Mark], None]
    remind: Remind
    after: asyncio.Event | None = None
    """Set when the audio of another reply has been played, which comes first."""
    speed: float = 1.0
    """How fast it is said, of what is usual."""
    usage: Usage = field(default_factory=Usage)
    """Of all rounds."""
    _given: int = 0
    """Characters of the text that the voice was given."""
    _seconds: float = 0.0
    """Speech that it made of them."""
    _filling: bool = False

    async def hear(self, ask: Ask) -> Prefill:
        """Let the engine hear what is to be answered. Raises EngineError."""
        return await self.stages.engine.prefill(ask.messages, self._calling(ask).options(0), self.usage)

    async def say(self, words: str) -> None:
        """Say words that no engine makes. Raises TTSError."""
        await self._utter(_given(words), None)

    async def answer(self, ask: Ask) -> None:
        """Say the engine's answer, and make its calls. Raises EngineError, TTSError."""
        for number in range(ROUNDS):
            calling, usage = self._calling(ask), self.usage if number == 0 else Usage()
            messages = (*ask.messages, *self.output.messages)
            try:
                await self._utter(
                    recognise(self.stages.engine.reply(messages, calling.options(number), usage)), calling
                )
            finally:
                if number:
                    self.usage.add(usage)
            if not self.output.waiting:
                return
            await self.opened.wait()
            self.output.end_message()
            await self._call(calling)
            if calling.asks_client:
                return

    def _calling(self, ask: Ask) -> Calling:
        options = replace(ask.options, committed=self.opened)
        return Calling(self.stages.toolbox, options, self.output, self.remind)

    async def _utter(self, pieces: AsyncGenerator[Piece], calling: Calling | None) -> None:
        """Say the words as they come, and note the calls; closes `pieces`. Until the first comes, the engine is late."""
        chunker = Chunker()
        self.stages.waiting.add(self.output)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    self.stages.waiting.discard(self.output)
                    self.mark("first_token")
                    words = self.stages.prompts.not_understood if isinstance(piece, Noise) else piece
                    if words == "":
                        continue
                    if isinstance(words, str):
                        self.output.add(words)
                        await self._speak(chunker.push(words))
                    elif calling:
                        await self._speak(chunker.flush())
                        calling.take(words)
        finally:
            self.stages.waiting.discard(self.output)
        await self._speak(chunker.flush())

    async def _speak(self, chunks: list[str]) -> None:
        """Queue words as speech."""
        for chunk in chunks:
            self.mark("first_chunk")
            if self.wire.spoken:
                await self._voice(chunk)

    async def _voice(self, chunk: str) -> None:
        """Queue one chunk; its words count from the start of the reply's text."""
        base, self._given = self._given, self._given + len(chunk)
        async with aclosing(self.voice.synthesize(chunk, self.speed)) as speeches:
            async for speech in speeches:
                if speech.samples.size:
                    self.mark("first_audio")
                await self.opened.wait()
                if self.after:
                    await self.after.wait()
                shifted = _shifted(speech, base)
                edge = self.wire.edge
                if edge.speaker.paced and shifted.words:
                    edge.send(words_timed(self.wire.response.id, shifted, self._seconds))
                await edge.speaker.write(shifted)
                self.output.spoke(shifted)
                self._seconds += speech.samples.size / speech.rate

    async def _call(self, calling: Calling) -> None:
        """Run what was called, and say something if that takes long."""
        async with asyncio.TaskGroup() as tasks:
            filler = tasks.create_task(self._fill())
            results = await calling.run()
            if not self._filling:
                filler.cancel()
        calling.tell(results)

    async def _fill(self) -> None:
        """Say that it takes a moment, unless something was said in this reply already."""
        prompts = self.stages.prompts
        if not prompts.filler or self.output.text or not self.wire.spoken:
            return
        await asyncio.sleep(prompts.filler_after)
        self._filling = True
        self.output.add(prompts.filler)
        try:
            await self._speak([prompts.filler])
        except TTSError as error:
            _log.warning("%s: no filler: %s", self.wire.response.id, error)
        self.output.end_message()


async def _given(words: str) -> AsyncGenerator[Piece]:
    """Words that no engine makes, as if one did."""
    yield words


def _shifted(speech: Speech, base: int) -> Speech:
    return replace(speech, words=tuple(replace(word, text=word.text + base) for word in speech.words))
