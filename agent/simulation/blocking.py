"""Real voices and engines on a virtual clock: their work is done between two of its moments, and takes the time that is asked for.

So a run is equal to every other of its kind, however fast the machine is; what is said and heard is real.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.audio import Speech
from agent.conversation import Message
from agent.engine import DEFAULTS, Engine, Options, Prefill, Usage
from agent.tts import TTS

T = TypeVar("T")


class Worker:
    """A thread with an ordinary event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "worker")
        self._runner = asyncio.Runner()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work there and wait for it, whatever loop runs here."""
        return self._thread.submit(self._runner.run, work).result()

    def close(self) -> None:
        """End the thread."""
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


@dataclass
class BlockingVoice:
    """Implements `TTS` over a real voice; each text is made once."""

    voice: TTS
    worker: Worker
    first_audio: float
    """Seconds of virtual time until a chunk's first piece."""
    name: str = ""
    rate: int = 0
    _made: dict[tuple[str, float], list[Speech]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.rate = self.voice.name, self.voice.rate

    async def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the speech of a text. Raises TTSError."""
        await asyncio.sleep(self.first_audio)
        if (text, speed) not in self._made:
            self._made[text, speed] = self.worker.do(_all(self.voice.synthesize(text, speed)))
        for speech in self._made[text, speed]:
            yield speech


@dataclass
class BlockingEngine:
    """Implements `Engine` over a real one."""

    engine: Engine
    worker: Worker
    first_token: float
    per_token: float
    judging: float
    """Seconds of virtual time that a prefill takes."""
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.engine.name

    async def reply(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> AsyncGenerator[str]:
        """Stream the answer. Raises EngineError."""
        await asyncio.sleep(self.first_token)
        for number, delta in enumerate(self.worker.do(_all(self.engine.reply(messages, options, usage)))):
            if number:
                await asyncio.sleep(self.per_token)
            yield delta

    async def prefill(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> Prefill:
        """Hear the conversation. Raises EngineError."""
        await asyncio.sleep(self.judging)
        return self.worker.do(self.engine.prefill(messages, options, usage))


async def _all(items: AsyncGenerator[T]) -> list[T]:
    async with aclosing(items):
        return [item async for item in items]
