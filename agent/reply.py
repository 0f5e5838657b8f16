"""One reply, from the engine's first token to the last word heard.

Nested generators, pulled: engine → chunks → voice → speaker; the only buffer is the speaker's. A reply may be started before the
caller's turn is over: until `open` it is prepared up to its first speech, and nothing of it is shown, said or recorded. Cancelling is
the only way to stop: the speaker is cleared, the history is cut to what was heard, and the events that close a response go out, each
exactly once; of a reply that was never opened nothing remains.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import pydantic
from pydantic import ConfigDict, Field

from agent.asking import Ask
from agent.audio import Speech
from agent.chunk import chunks
from agent.conversation import Conversation, Message, Text, Timing, heard_text
from agent.edge import Heard, Speaker
from agent.endpointing import Judgement
from agent.engine import Engine, EngineError, Usage
from agent.prompts import Prompts
from agent.realtime.responses import Failure, StatusDetails
from agent.response import ResponseEvents, words_timed
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
    agent: str = ""
    """Who answers, for the traces; empty: the server's own settings do."""
    waiting: "set[Reply]" = field(default_factory=set)
    """The replies whose first word the engine has not given yet."""


class Reply:
    """One reply of one call; `start` it once."""

    def __init__(self, stages: Stages, wire: ResponseEvents, conversation: Conversation, call: str) -> None:
        """`conversation` is what the answer becomes part of; `call` is the id in the trace."""
        self.id, self.item_id = wire.response.id, wire.item_id
        self.trace = Trace(call, self.id, model=stages.engine.name, voice=stages.voice.name)
        self.trace.agent = stages.agent
        self.generating = False
        """Between `response.created` and `response.done`."""
        self.active = False
        """Generating, or audio is still playing."""

        self._stages = stages
        self._speaker: Speaker = wire.edge.speaker
        self._wire = wire
        self._conversation = conversation
        self._usage = Usage()
        self._text = ""
        self._shown = False
        """The client knows of the message."""
        self._timing = Timing()
        self._spoken = 0
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(
        self,
        tasks: asyncio.TaskGroup,
        ask: Ask,
        judge: Judge | None = None,
        *,
        ahead: bool = True,
    ) -> None:
        """Begin to answer in a task of `tasks`.

        With `judge`, begin by a prefill; unless `ahead`, go on only once open.
        """
        self._mark("started")
        self._task = tasks.create_task(self._run(ask, judge, ahead=ahead))

    def open(self) -> None:
        """The turn is over: show and say what is prepared, and go on."""
        self._mark("turn_ended")
        self.generating = self.active = True
        self._wire.opened()
        if self._text:
            self._show(self._text)
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

    async def _run(self, ask: Ask, judge: Judge | None, *, ahead: bool) -> None:
        """Say the answer and play it to its end. An engine's or a voice's failure costs this reply; nothing else is caught."""
        try:
            async with asyncio.TaskGroup() as tasks:
                announcement = tasks.create_task(self._announce())
                failure = await self._say(ask, judge, ahead=ahead)
                await self._opened.wait()
                self._finish(*self._outcome(failure))
                if "first_audio" not in self.trace.marks:
                    announcement.cancel()
                if self._wire.spoken:
                    await self._speaker.drained()
            self._close()
        finally:
            self._close("client_cancelled")

    async def _say(self, ask: Ask, judge: Judge | None, *, ahead: bool) -> EngineError | TTSError | None:
        """Queue the whole answer as speech, or show it as text; returns the failure that cut it short, if one did."""
        engine = self._stages.engine
        try:
            if judge:
                prefill = await engine.prefill(ask.messages, ask.options, self._usage)
                self._mark("prefill_done")
                if not self._opened.is_set():
                    judge(prefill.end_of_turn)
            if not ahead:
                await self._opened.wait()
            deltas = _given(ask.words) if ask.words else engine.reply(ask.messages, ask.options, self._usage)
            async with aclosing(chunks(self._transcribe(deltas))) as pieces:
                async for piece in pieces:
                    self._mark("first_chunk")
                    if self._wire.spoken:
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
                        self._show(delta)
                    yield delta
        finally:
            self._stages.waiting.discard(self)

    def _show(self, delta: str) -> None:
        """Tell the client of more text; the first opens the message, which then has its place in the conversation."""
        if not self._shown:
            self._shown = True
            self._wire.message_opened(self._conversation.last_id)
            timing = self._timing if self._wire.spoken else None
            self._conversation.append(Message(self._wire.item_id, "assistant", (Text(""),), timing=timing))
        self._wire.text(delta)

    async def _speak(self, piece: str) -> None:
        """Queue one chunk; its words count from the start of the reply's text."""
        base, self._spoken = self._spoken, self._spoken + len(piece)
        async with aclosing(self._stages.voice.synthesize(piece)) as speeches:
            async for speech in speeches:
                if speech.samples.size:
                    self._mark("first_audio")
                await self._opened.wait()
                shifted = _shifted(speech, base)
                if self._speaker.paced and shifted.words:
                    self._wire.edge.send(words_timed(self.id, shifted, self._timing.seconds))
                await self._speaker.write(shifted)
                self._timing.add(shifted)

    async def _announce(self) -> None:
        """Tell the client when the first audio leaves."""
        await self._opened.wait()
        self.trace.mark("playout_started", await self._speaker.started())
        self._stages.traces.tell(self.trace)
        self._wire.audio_started()

    def _outcome(self, failure: EngineError | TTSError | None) -> tuple[Status, StatusDetails | None]:
        if failure:
            code = "engine_failed" if isinstance(failure, EngineError) else "voice_failed"
            return "failed", StatusDetails(type="failed", error=Failure(code=code, message=str(failure)))
        if not self._usage.complete:
            return "incomplete", StatusDetails(type="incomplete", reason="max_output_tokens")
        return "completed", None

    def _finish(self, status: Status, details: StatusDetails | None = None) -> None:
        """Close the response on the wire and write its text to the history."""
        self.generating = False
        self.trace.status = status
        self._conversation.revise(self._wire.item_id, self._text, interrupted=status in {"cancelled", "failed"})
        if self._shown:
            self._wire.message_done(status, self._text)
        self._wire.done(status, details, self._usage)

    def _close(self, reason: Reason | None = None) -> None:
        """End the reply, once: silence the speaker, cut the history to what was heard if it was stopped, hand out the trace."""
        if not self.active:
            return
        self.active = False
        heard = self._speaker.clear() if self._wire.spoken else Heard(0.0, len(self._text))  # a text was read
        self._timing.seconds = min(self._timing.seconds, heard.seconds)
        if reason or self.trace.status == "failed":
            self._text = heard_text(self._text, heard.text)
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


def _shifted(speech: Speech, base: int) -> Speech:
    return replace(speech, words=tuple(replace(word, text=word.text + base) for word in speech.words))
