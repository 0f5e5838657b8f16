"""One reply, from the engine's first token to the last word heard.

Nested generators, pulled: engine → chunks → voice → speaker; the only buffer is the speaker's. A reply may be started before the
caller's turn is over: until `open` it is prepared up to its first speech, and nothing of it is shown, said or recorded. Cancelling is
the only way to stop: the speaker is cleared, the history is cut to what was heard, and the events that close a response go out, each
exactly once; of a reply that was never opened nothing remains.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import pydantic
from pydantic import ConfigDict, Field

from agent.audio import Speech
from agent.chunk import chunks
from agent.conversation import Conversation, Message, Text
from agent.edge import Heard, Speaker
from agent.endpointing import Judgement
from agent.engine import Engine, EngineError
from agent.prompts import Prompts
from agent.realtime.objects import Failure, StatusDetails
from agent.response import ResponseEvents
from agent.trace import Mark, Status, Trace
from agent.traces import Traces
from agent.tts import TTS, TTSError

Judge = Callable[[float | None], None]
"""Takes the engine's probability that the turn is over, where it has one."""

Reason = Literal["turn_detected", "client_cancelled"]

_log = logging.getLogger(__name__)


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class Speculation:
    """How far answers are prepared before a turn is over."""

    tries: Annotated[int, Field(ge=0)] = 3
    """Answers begun in one turn; at later pauses the engine only hears the turn. 0: never."""

    busy: Annotated[int, Field(ge=0)] = 1
    """Replies of all calls that wait for their first word, from which on nothing is prepared: what is due comes first."""


@dataclass(frozen=True)
class Stages:
    """What answers, shared by all calls, and where the traces of its replies go."""

    engine: Engine
    voice: TTS
    speculation: Speculation = field(default_factory=Speculation)
    traces: Traces = field(default_factory=Traces)
    prompts: Prompts = field(default_factory=Prompts)
    judgement: Judgement = field(default_factory=Judgement)
    """What the engine's end-of-turn probability is worth."""
    waiting: "set[Reply]" = field(default_factory=set)
    """The replies whose first word the engine has not given yet."""


class Reply:
    """One reply of one call; `start` it once."""

    def __init__(self, stages: Stages, speaker: Speaker, wire: ResponseEvents, conversation: Conversation) -> None:
        self.id = wire.response_id
        self.trace = Trace(wire.conversation_id, wire.response_id, model=stages.engine.name, voice=stages.voice.name)
        self.generating = False
        """Between `response.created` and `response.done`."""
        self.active = False
        """Generating, or audio is still playing."""

        self._stages = stages
        self._speaker = speaker
        self._wire = wire
        self._conversation = conversation
        self._text = ""
        self._spoken = 0
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(
        self,
        tasks: asyncio.TaskGroup,
        messages: Sequence[Message] | str,
        judge: Judge | None = None,
        *,
        ahead: bool = True,
    ) -> None:
        """Begin to answer `messages`, or to say so many words, in a task of `tasks`.

        With `judge`, begin by a prefill; unless `ahead`, go on only once open.
        """
        self._mark("started")
        self._task = tasks.create_task(self._run(messages, judge, ahead=ahead))

    def open(self) -> None:
        """The turn is over: show and say what is prepared, and go on."""
        self._mark("turn_ended")
        self.generating = self.active = True
        self._conversation.append(Message(self._wire.item_id, "assistant", (Text(""),), spoken=True))
        self._wire.opened()
        if self._text:
            self._wire.text(self._text)
        self._opened.set()

    def cancel(self, reason: Reason) -> None:
        """Stop at once: when this returns, the speaker is silent and the history is true. Does nothing after the end."""
        if self._task and not self._opened.is_set():
            self._mark("done")
            self._task.cancel()
        elif self._task and self.active:
            self._mark("interrupted")
            self.trace.reason = reason
            self._task.cancel()
            self._close(reason)

    async def _run(self, messages: Sequence[Message] | str, judge: Judge | None, *, ahead: bool) -> None:
        """Say the answer and play it to its end. An engine's or a voice's failure costs this reply; nothing else is caught."""
        try:
            async with asyncio.TaskGroup() as tasks:
                announcement = tasks.create_task(self._announce())
                failure = await self._say(messages, judge, ahead=ahead)
                await self._opened.wait()
                self._finish("failed" if failure else "completed", _failed(failure))
                if "first_audio" not in self.trace.marks:
                    announcement.cancel()
                await self._speaker.drained()
            self._close()
        finally:
            self._close("client_cancelled")

    async def _say(
        self, messages: Sequence[Message] | str, judge: Judge | None, *, ahead: bool
    ) -> EngineError | TTSError | None:
        """Queue the whole answer as speech; returns the failure that cut it short, if one did."""
        try:
            if judge and not isinstance(messages, str):
                prefill = await self._stages.engine.prefill(messages)
                self._mark("prefill_done")
                if not self._opened.is_set():
                    judge(prefill.end_of_turn)
            if not ahead:
                await self._opened.wait()
            deltas = _given(messages) if isinstance(messages, str) else self._stages.engine.reply(messages)
            async with aclosing(chunks(self._transcribe(deltas))) as pieces:
                async for piece in pieces:
                    self._mark("first_chunk")
                    await self._speak(piece)
        except (EngineError, TTSError) as error:
            _log.warning("%s: %s", self.id, error)
            return error
        return None

    async def _transcribe(self, deltas: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """Pass the text on, noting it and, once the reply is open, showing it; closes `deltas`. Until some comes, the engine is late."""
        self._stages.waiting.add(self)
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    self._stages.waiting.discard(self)
                    self._mark("first_token")
                    self._text += delta
                    if self._opened.is_set():
                        self._wire.text(delta)
                    yield delta
        finally:
            self._stages.waiting.discard(self)

    async def _speak(self, piece: str) -> None:
        """Queue one chunk; its words count from the start of the reply's text."""
        base, self._spoken = self._spoken, self._spoken + len(piece)
        async with aclosing(self._stages.voice.synthesize(piece)) as speeches:
            async for speech in speeches:
                if speech.samples.size:
                    self._mark("first_audio")
                await self._opened.wait()
                await self._speaker.write(_shifted(speech, base))

    async def _announce(self) -> None:
        """Tell the client when the first audio leaves."""
        await self._opened.wait()
        self.trace.mark("playout_started", await self._speaker.started())
        self._stages.traces.tell(self.trace)
        self._wire.audio_started()

    def _finish(self, status: Status, details: StatusDetails | None = None) -> None:
        """Close the response on the wire and write its text to the history."""
        self.generating = False
        self.trace.status = status
        self._conversation.revise(self._wire.item_id, self._text, interrupted=status != "completed")
        self._wire.done(status, self._text, details)

    def _close(self, reason: Reason | None = None) -> None:
        """End the reply, once: silence the speaker, cut the history to what was heard if it was stopped, hand out the trace."""
        if not self.active:
            return
        self.active = False
        heard = self._speaker.clear()
        if reason or self.trace.status == "failed":
            self._text = heard_text(self._text, heard)
            self._conversation.revise(self._wire.item_id, self._text, interrupted=True)
        if self.generating:
            self._finish("cancelled", StatusDetails(type="cancelled", reason=reason))
        if "playout_started" in self.trace.marks:
            self._wire.audio_cleared(heard) if reason else self._wire.audio_stopped()
        self._mark("done")
        self._stages.traces.append(self.trace)
        _log.info("%s", self.trace)
        self._wire.traced(self.trace, self._text)

    def _mark(self, name: Mark) -> None:
        self.trace.mark(name, asyncio.get_running_loop().time())


async def _given(words: str) -> AsyncGenerator[str]:
    """Words that no engine makes, as if one did."""
    yield words


def heard_text(text: str, heard: Heard) -> str:
    """The words that were played to their end, with the punctuation that closes the last of them."""
    end = heard.text
    while 0 < end < len(text) and not text[end].isspace() and not text[end].isalnum():
        end += 1
    return text[:end].strip()


def _failed(failure: EngineError | TTSError | None) -> StatusDetails | None:
    if failure is None:
        return None
    code = "engine_failed" if isinstance(failure, EngineError) else "voice_failed"
    return StatusDetails(type="failed", error=Failure(code=code, message=str(failure)))


def _shifted(speech: Speech, base: int) -> Speech:
    return replace(speech, words=tuple(replace(word, text=word.text + base) for word in speech.words))
