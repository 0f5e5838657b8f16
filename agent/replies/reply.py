"""One reply, from the engine's first token to the last word heard.

A reply may be started before the caller's turn is over: until `open` it is prepared up to its first speech, and nothing of it is
shown, said, called or recorded. Cancelling is the only way to stop: the speaker is cleared, the history is cut to what was heard, and
the events that close a response go out, each exactly once; of a reply that was never opened nothing remains.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Literal

from agent.conversation import Conversation
from agent.edge import Heard
from agent.engine import EngineError, Usage
from agent.realtime.responses import Failure, Response, StatusDetails
from agent.replies.asking import Ask
from agent.replies.output import Output
from agent.replies.parts import Record
from agent.replies.response import ResponseEvents
from agent.replies.saying import Saying
from agent.stages import Stages
from agent.tools import Remind
from agent.traces.trace import Mark, Status, Trace
from agent.tts import TTS, TTSError

Judge = Callable[[float | None], None]
"""Takes the engine's probability that the turn is over, where it has one."""

Reason = Literal["turn_detected", "client_cancelled"]

_log = logging.getLogger(__name__)


class Reply:
    """One reply of one call; `start` it once."""

    def __init__(
        self,
        stages: Stages,
        wire: ResponseEvents,
        conversation: Conversation,
        numbers: Iterator[int],
        call: str,
        remind: Remind,
    ) -> None:
        """`conversation` is what the answer becomes part of, `numbers` are for ids, `call` is the id in the trace."""
        self.id = wire.response.id
        voice = _voice(stages, wire.response)
        self.trace = Trace(call, self.id, model=stages.engine.name, voice=voice.name)
        self.trace.agent = stages.agent
        self.generating = False
        """Between `response.created` and `response.done`."""
        self.active = False
        """Generating, or audio is still playing."""
        self.ended = asyncio.Event()
        """Its audio has been played, or dropped."""
        self.output = Output(Record(wire, conversation, numbers))
        self.wire = wire
        self.after: Reply | None = None
        """What plays before it."""

        self._stages = stages
        self._speaker = wire.edge.speaker
        self._opened = asyncio.Event()
        self._saying = Saying(stages, wire, voice, self.output, self._opened, self._mark, remind)
        self._task: asyncio.Task[None] | None = None

    @property
    def audible(self) -> bool:
        """It is being heard, or what it comes after is."""
        return (self.active and "playout_started" in self.trace.marks) or bool(self.after and self.after.audible)

    def says(self, item_id: str) -> bool:
        """Whether a message is one of its own, or of what it comes after."""
        return self.output.says(item_id) or bool(self.after and self.after.says(item_id))

    def start(
        self,
        tasks: asyncio.TaskGroup,
        ask: Ask,
        judge: Judge | None = None,
        *,
        ahead: bool = True,
        after: "Reply | None" = None,
    ) -> None:
        """Begin to answer in a task of `tasks`.

        With `judge`, begin by a prefill; unless `ahead`, go on only once open. What plays of `after` is heard first.
        """
        self.after = after
        self.trace.unasked = bool(ask.words)
        self._saying.after, self._saying.speed = after.ended if after else None, ask.speed
        self._mark("started")
        self._task = tasks.create_task(self._run(ask, judge, ahead=ahead))

    def open(self) -> None:
        """The turn is over: show and say what is prepared, and go on."""
        self._mark("turn_ended")
        self.generating = self.active = True
        self.output.open()
        self._opened.set()

    def cancel(self, reason: Reason) -> None:
        """Stop at once: when this returns, the speaker is silent and the history is true. Does nothing after the end."""
        if self.after:
            self.after.cancel(reason)
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
                self._finish(*_outcome(failure, self._saying.usage))
                if "first_audio" not in self.trace.marks:
                    announcement.cancel()
                if self.after:
                    await self.after.ended.wait()
                if self.wire.spoken:
                    await self._speaker.drained()
            self._close()
        finally:
            self._close("client_cancelled")

    async def _say(self, ask: Ask, judge: Judge | None, *, ahead: bool) -> EngineError | TTSError | None:
        """Queue the whole answer as speech, or show it as text; returns the failure that cut it short, if one did."""
        try:
            if judge:
                prefill = await self._saying.hear(ask)
                self._mark("prefill_done")
                if not self._opened.is_set():
                    judge(prefill.end_of_turn)
            if not ahead:
                await self._opened.wait()
            await (self._saying.say(ask.words) if ask.words else self._saying.answer(ask))
        except (EngineError, TTSError) as error:
            _log.warning("%s: %s", self.id, error)
            return error
        return None

    async def _announce(self) -> None:
        """Tell the client when the first audio leaves."""
        await self._opened.wait()
        if self.after:
            await self.after.ended.wait()
        self.trace.mark("playout_started", await self._speaker.started())
        self._stages.traces.tell(self.trace)
        self.wire.audio("started")

    def _finish(self, status: Status, details: StatusDetails | None = None) -> None:
        """Close the response on the wire and write its text to the history."""
        self.generating = False
        self.trace.status = status
        self.output.finish(status, details, self._saying.usage)

    def _close(self, reason: Reason | None = None) -> None:
        """End the reply, once: silence the speaker, cut the history to what was heard if it was stopped, hand out the trace."""
        if not self.active:
            return
        self.active = False
        heard = self._speaker.clear() if self.wire.spoken else Heard(0.0, len(self.output.text))  # a text was read
        self.ended.set()
        words = self.output.played(heard, cut=reason is not None or self.trace.status == "failed")
        if self.generating:
            self._finish("cancelled", StatusDetails(type="cancelled", reason=reason))
        if "playout_started" in self.trace.marks:
            self.output.cleared() if reason else self.wire.audio("stopped")
        self._mark("done")
        self.trace.tokens = _tokens(self._saying.usage)
        self._stages.traces.append(self.trace)
        _log.info("%s", self.trace)
        self.wire.traced(self.trace, words)

    def _mark(self, name: Mark) -> None:
        self.trace.mark(name, asyncio.get_running_loop().time())


def repeat(reply: Reply) -> None:
    """Tell a client that came back to the call what is being made and heard."""
    if reply.after:
        repeat(reply.after)
    if reply.generating:
        reply.wire.opened()
    if reply.active and "playout_started" in reply.trace.marks:
        reply.wire.audio("started")


def _voice(stages: Stages, response: Response) -> TTS:
    """The voice that a response names, or else the call's own."""
    name = response.audio.output.voice if response.audio else None
    return stages.voices.get(name or "", stages.voice)


def _tokens(usage: Usage) -> dict[str, int]:
    """What an answer took, for its trace."""
    cached = usage.cached_text + usage.cached_audio
    return {"prompt": usage.text + usage.audio, "cached": cached, "output": usage.output}


def _outcome(failure: EngineError | TTSError | None, usage: Usage) -> tuple[Status, StatusDetails | None]:
    if failure:
        code = "engine_failed" if isinstance(failure, EngineError) else "voice_failed"
        return "failed", StatusDetails(type="failed", error=Failure(code=code, message=str(failure)))
    if not usage.complete:
        return "incomplete", StatusDetails(type="incomplete", reason="max_output_tokens")
    return "completed", None
