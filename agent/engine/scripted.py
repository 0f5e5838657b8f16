"""An engine that answers from a script, on time: for simulations, demonstrations and load tests. It hears nothing.

Delays are in seconds of the running loop's time, so that a virtual clock makes them free and exact.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from agent.audio import INPUT_RATE
from agent.conversation import Audio, Message
from agent.engine import DEFAULTS, EngineError, Options, Prefill, Usage

AUDIO_TOKEN = round(0.16 * INPUT_RATE)
"""Samples per token of audio, as Ultravox has them; a token of text is a word."""

Script = Sequence[str] | Callable[[Sequence[Message]], str]


@dataclass
class ScriptedEngine:
    """Streams scripted answers word by word; keeps no state, so equal conversations get equal answers."""

    script: Script
    """Texts, of which the caller's n-th message gets the n-th, cyclically; or a function from the messages to the answer."""

    first_token: float = 0.1
    """Seconds from the request to the first word."""

    per_token: float = 0.02
    """Seconds from each word to the next."""

    fail_after: int | None = None
    """Words after which every answer fails; 0 fails in place of the first."""

    end_of_turn: Callable[[Sequence[Message]], float] | None = None
    """How probable it is, of some messages, that the caller has finished; None: the engine cannot tell."""

    judging: float = 0.0
    """Seconds that `prefill` takes."""

    name: str = "scripted"

    async def reply(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> AsyncGenerator[str]:
        """Stream the next answer, each word with the space before it. Raises EngineError where `fail_after` says so."""
        usage = usage or Usage()
        _count(messages, usage)
        tokens = _tokens(self._answer(messages))[: self.fail_after]
        await asyncio.sleep(self.first_token)
        for index, token in enumerate(tokens[: options.max_tokens]):
            if index:
                await asyncio.sleep(self.per_token)
            usage.output += 1
            yield token
        usage.complete = usage.output == len(tokens)
        if self.fail_after is not None:
            raise EngineError(f"scripted failure after {self.fail_after} words")

    async def prefill(
        self, messages: Sequence[Message], _options: Options = DEFAULTS, _usage: Usage | None = None
    ) -> Prefill:
        """Judge the messages; that makes no answer come sooner."""
        await asyncio.sleep(self.judging)
        return Prefill(self.end_of_turn(messages) if self.end_of_turn else None)

    def _answer(self, messages: Sequence[Message]) -> str:
        if callable(self.script):
            return self.script(messages)
        asked = sum(message.role == "user" for message in messages)
        return self.script[max(asked - 1, 0) % len(self.script)]


def _tokens(text: str) -> list[str]:
    """Words with the whitespace before them, as language models stream them; joined they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _count(messages: Sequence[Message], usage: Usage) -> None:
    usage.text = sum(len(_tokens(message.text)) for message in messages)
    audios = [part for message in messages for part in message.content if isinstance(part, Audio)]
    usage.audio = sum(-(-audio.samples.size // AUDIO_TOKEN) for audio in audios)
