"""The Ultravox engine in this process: hears the conversation's audio itself and streams the answer's text.

One thread decodes for all calls, one answer at a time, in the order of their requests. It runs ahead of the voice, so a long story
that is being spoken holds nobody up.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import numpy as np

from agent.audio import INPUT_RATE, Samples
from agent.conversation import Audio, Message, Text
from agent.engine import EngineError, Prefill
from agent.threads import iterate
from models import InputError, Model
from models.history import Chat, fit
from models.inputs import PLACEHOLDER, Messages


class UltravoxEngine:
    """Implements `Engine` over a loaded model."""

    def __init__(self, model: Model, name: str, max_new_tokens: int) -> None:
        """Take the model for its own: it serves one thread at a time. Answers once, so that no caller waits for its warm-up."""
        self.name = name
        self._model = model
        self._max_new_tokens = max_new_tokens
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._executor.submit(self._warm_up).result()

    async def reply(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Stream the answer to the newest turn. Raises EngineError."""
        try:
            async with aclosing(iterate(self._executor, lambda: self._generate(messages))) as deltas:
                async for delta in deltas:
                    yield delta
        except (InputError, RuntimeError) as error:  # RuntimeError is what torch raises, out of memory included
            raise EngineError(f"the engine failed: {error}") from error

    async def prefill(self, messages: Sequence[Message]) -> Prefill:  # noqa: ARG002
        """Nothing yet: the model keeps no cache between requests."""
        return Prefill()

    def close(self) -> None:
        """Let the thread end; requests that wait are dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _generate(self, messages: Sequence[Message]) -> Iterator[str]:
        chat, audios = self._fit(*as_chat(messages))
        return self._model.generate(chat, audios, self._max_new_tokens)

    def _fit(self, chat: Messages, audios: Sequence[Samples]) -> Chat:
        """Forget the oldest turns of a conversation that leaves no room for the answer, or for a quarter of the window."""
        window = self._model.window
        return fit(chat, audios, self._length, window - min(self._max_new_tokens, window // 4))

    def _length(self, chat: Messages, audios: Sequence[Samples]) -> int:
        return len(self._model.plan(self._model.prompt(chat), [len(samples) for samples in audios]).ids)

    def _warm_up(self) -> None:
        second = Message("warm-up", "user", (Audio(np.zeros(INPUT_RATE, np.int16)),))
        next(self._generate([second]), None)


def as_chat(messages: Sequence[Message]) -> tuple[list[dict[str, str]], list[Samples]]:
    """Messages in chat form and their audios, in order of their placeholders.

    What the system said in the middle of a conversation moves to its start, where chat templates expect it, and a placeholder that
    somebody typed is not one.
    """
    system = [message for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    chat = [{"role": "system", "content": "\n\n".join(_content(message) for message in system)}] if system else []
    chat += [{"role": message.role, "content": _content(message)} for message in turns]
    audios = [part.samples for message in (*system, *turns) for part in message.content if isinstance(part, Audio)]
    return chat, audios


def _content(message: Message) -> str:
    return "".join(
        part.text.replace(PLACEHOLDER, "") if isinstance(part, Text) else PLACEHOLDER for part in message.content
    )
