"""The Ultravox engine in this process: hears the conversation's audio itself and streams the answer's text.

One thread computes for all calls: every answer in flight gets a token in each of its steps. It runs ahead of the voice, and what a
call has said and heard stays on the device, so that a turn costs only what is new in it.
"""

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from queue import SimpleQueue
from typing import Any

import numpy as np

from agent.audio import INPUT_RATE, Samples
from agent.conversation import Audio, FunctionCall, FunctionOutput, Message, Text
from agent.engine import DEFAULTS, EngineError, Options, Prefill, Usage
from agent.realtime.tools import FunctionChoice
from models import InputError
from models.engine import Engine, EngineFullError
from models.history import Truncation
from models.inputs import PLACEHOLDER
from models.request import Delta, Failed, Finished, Output, Prefilled, Priority, Request
from models.request import Options as EngineOptions

logger = logging.getLogger(__name__)


class Line:
    """What one request's caller hears from the engine's thread."""

    def __init__(self, usage: Usage, committed: asyncio.Event | None) -> None:
        self.request: Request | None = None
        """The engine's; None before its thread has seen it."""
        self.left = False
        """The caller does not listen any more."""
        self._committed = committed
        self._usage = usage
        self._loop = asyncio.get_running_loop()
        self._outputs: asyncio.Queue[Output] = asyncio.Queue()

    def tell(self, output: Output) -> None:
        """Pass an output on, and what it took; from any thread, and also when nobody listens."""
        if self.request:
            _count(self._usage, self.request)
        if isinstance(output, Finished):
            self._usage.output, self._usage.complete = output.tokens, output.complete
        try:
            self._loop.call_soon_threadsafe(self._outputs.put_nowait, output)
        except RuntimeError:  # the loop was closed
            self.left = True

    @property
    def wanted(self) -> bool:
        """A speculative request has come to be waited for."""
        speculative = self.request is not None and self.request.priority == Priority.SPECULATIVE
        return speculative and self._committed is not None and self._committed.is_set()

    async def hear(self) -> Output:
        """Wait for the next output. Raises EngineError when it is a failure."""
        output = await self._outputs.get()
        if isinstance(output, Failed):
            raise EngineError(f"the engine failed: {output.error}") from output.error
        return output


class UltravoxEngine:
    """Implements `Engine` over one that batches, which it takes for its own."""

    def __init__(self, engine: Engine, name: str, max_new_tokens: int, conversation: int | None = None) -> None:
        """Answers once, so that no caller waits for the warm-up.

        `conversation` is how many tokens after the instructions the model copes with; None: as many as it holds.
        """
        self.name = name
        self._engine = engine
        self._max_new_tokens = max_new_tokens
        self._conversation = conversation
        self._lines: dict[Request, Line] = {}
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # for the thread; None: end
        self._stopped = False
        self._warm_up()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    async def reply(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> AsyncGenerator[str]:
        """Stream the answer to the newest turn. Raises EngineError."""
        longest = min(options.max_tokens or self._max_new_tokens, self._max_new_tokens)
        priority = Priority.OFF_PATH if options.off_path else Priority.COMMITTED
        async with aclosing(self._ask(messages, options, self._wanted(options, longest, priority), usage)) as outputs:
            async for output in outputs:
                if isinstance(output, Delta):
                    yield output.text

    async def prefill(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> Prefill:
        """Hear the conversation now; what is computed serves the next reply, and the next prefill up to the newest audio."""
        wanted = self._wanted(options, 0, Priority.SPECULATIVE)
        async with aclosing(self._ask(messages, options, wanted, usage)) as outputs:
            async for output in outputs:
                if isinstance(output, Prefilled):
                    return Prefill(output.end_of_turn)
        raise EngineError("the engine gave nothing")

    def close(self) -> None:
        """Let the thread end; requests that are in flight fail."""
        self._jobs.put(None)
        self._thread.join()

    def _wanted(self, options: Options, tokens: int, priority: Priority) -> EngineOptions:
        """Say it in the engine's terms."""
        if options.committed:
            priority = Priority.COMMITTED if options.committed.is_set() else Priority.SPECULATIVE
        limits = (options.truncation.limit, self._conversation)
        limit = min((limit for limit in limits if limit is not None), default=None)
        truncation = Truncation(options.truncation.retention, limit)
        if options.tool_choice == "none" or not options.tools:
            return EngineOptions(tokens, priority, truncation=truncation)
        functions = tuple({"type": "function", "function": tool.model_dump(exclude={"type"})} for tool in options.tools)
        match options.tool_choice:
            case FunctionChoice(name=name):
                call: str | None = name
            case choice:
                call = "" if choice == "required" else None
        return EngineOptions(tokens, priority, truncation=truncation, tools=functions, call=call)

    async def _ask(
        self, messages: Sequence[Message], options: Options, wanted: EngineOptions, usage: Usage | None
    ) -> AsyncGenerator[Output]:
        """Hand a request to the thread and yield what comes of it; leaving cancels it within a step."""
        line = Line(usage or Usage(), options.committed)
        self._jobs.put(lambda: self._begin(line, messages, wanted))
        if self._stopped:
            raise EngineError("the engine has stopped")
        try:
            while True:
                output = await line.hear()
                yield output
                if not isinstance(output, Delta):
                    return
        finally:
            line.left = True
            self._jobs.put(lambda: self._end(line))

    # On the engine's thread.

    def _work(self) -> None:
        """Do what is asked, and step while there is anything in flight."""
        try:
            while True:
                while self._engine.idle or not self._jobs.empty():
                    job = self._jobs.get()
                    if job is None:
                        return
                    job()
                self._step()
        finally:  # a bug ends the thread loudly, and nobody is left waiting
            self._stopped = True
            while not self._jobs.empty():
                if job := self._jobs.get():
                    job()
            for line in self._lines.values():
                line.tell(Failed(EngineError("the engine has stopped")))

    def _step(self) -> None:
        """Step once, with what was speculative and is wanted now among what is waited for."""
        for request, line in self._lines.items():
            if line.wanted:
                request.priority = Priority.COMMITTED
        for request, output in self._engine.step():
            self._lines[request].tell(output)
            if isinstance(output, Failed) and not isinstance(output.error, InputError):
                logger.error("a request failed, the others go on: %s", output.error)

    def _begin(self, line: Line, messages: Sequence[Message], options: EngineOptions) -> None:
        if line.left:
            return
        try:
            line.request = self._engine.ask(*as_chat(messages), options)
        except (InputError, EngineFullError) as error:
            line.tell(Failed(error))
        else:
            self._lines[line.request] = line

    def _end(self, line: Line) -> None:
        if line.request and self._lines.pop(line.request, None):
            self._engine.cancel(line.request)

    def _warm_up(self) -> None:
        second = Message("warm-up", "user", (Audio(np.zeros(INPUT_RATE, np.int16)),))
        self._engine.ask(*as_chat([second]), EngineOptions(2))
        while not self._engine.idle:
            self._engine.step()


def _count(usage: Usage, request: Request) -> None:
    """What a request has taken so far. What a prefill of the same answer computed is not cached for it."""
    cached, cached_audio = request.cached, request.audio(request.cached)
    if not usage.text + usage.audio:
        usage.cached_text, usage.cached_audio = cached - cached_audio, cached_audio
    usage.audio = request.audio(request.prompt)
    usage.text = request.prompt - usage.audio
    usage.output = len(request.made)


def as_chat(messages: Sequence[Message]) -> tuple[list[dict[str, Any]], list[Samples]]:
    """Messages in chat form and their audios, in order of their placeholders.

    What the system said in the middle of a conversation moves to its start, where chat templates expect it, and a placeholder that
    somebody typed is not one. The result of a call that was forgotten is left out.
    """
    system = [message for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    names = {part.call_id: part.name for turn in turns for part in turn.content if isinstance(part, FunctionCall)}
    chat = [{"role": "system", "content": "\n\n".join(_content(message) for message in system)}] if system else []
    for message in turns:
        match message.content:
            case (FunctionCall() as call,):
                chat.append(_call(call))
            case (FunctionOutput(call_id, output),):
                if name := names.get(call_id):
                    result = {"content": _data(output), "tool_call_id": _short(call_id), "name": name}
                    chat.append({"role": "tool", **result})
            case _:
                chat.append({"role": message.role, "content": _content(message)})
    audios = [part.samples for message in (*system, *turns) for part in message.content if isinstance(part, Audio)]
    return chat, audios


def _content(message: Message) -> str:
    return "".join(
        part.text.replace(PLACEHOLDER, "") if isinstance(part, Text) else PLACEHOLDER for part in message.content
    )


def _call(call: FunctionCall) -> dict[str, Any]:
    """A call in the form of chat templates; the arguments as an object, which they write as the model does."""
    try:
        arguments = json.loads(_data(call.arguments))
    except ValueError:
        arguments = call.arguments
    function = {"name": call.name, "arguments": arguments}
    calls = [{"id": _short(call.call_id), "type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _data(text: str) -> str:
    """Text from elsewhere, which must not hold the tokens that mark turns and audio."""
    return re.sub(r"<\|\w+\|>", "", text)


def _short(call_id: str) -> str:
    """An id of nine letters and digits, as Mistral's templates demand them."""
    return hashlib.blake2b(call_id.encode(), digest_size=5).hexdigest()[:9]
