"""An engine that answers from a script and remembers as the in-process one does: on the tapes of `models/tape.py`, in their memory.

A position holds one character, an audio, or the mark of a turn, written into the keys' buffers as the model's own numbers would be; so
what an engine would really know of a conversation can be read off its memory and compared with the history.
"""

import asyncio
from dataclasses import dataclass, field

import torch

from agent.conversation import Audio
from agent.engine import DEFAULTS, Prefill
from agent.engine.scripted import ScriptedEngine
from agent.transcribing import PROMPT
from models.config import TextConfig
from models.tape import Tape, Tapes

CONFIG = TextConfig("llama", 10, 8, 1, 2, 1, 1, 8, 8192)
SPEECH = 0xE000
"""The first audio's character; the others follow."""


@dataclass
class TapedEngine:
    """Implements `Engine`."""

    engine: ScriptedEngine
    name: str = "taped"
    held: list[tuple[float, str]] = field(default_factory=list)
    """When each reply began, and what its tape held of the conversation then, without the audio itself."""
    tapes: Tapes = field(
        default_factory=lambda: Tapes(CONFIG, 3, CONFIG.max_positions, torch.float32, torch.device("cpu"))
    )
    _audios: list[bytes] = field(default_factory=list)

    async def prefill(self, messages, options=DEFAULTS, usage=None) -> Prefill:
        self._let_go(self._take(messages))
        return await self.engine.prefill(messages, options, usage)

    async def reply(self, messages, options=DEFAULTS, usage=None):
        tape = self._take(messages)
        held = "".join(character for character in self.read(tape) if ord(character) < SPEECH)
        if messages[-1].text != PROMPT:  # which is about a sound alone
            self.held.append((asyncio.get_running_loop().time(), held))
        try:
            async for delta in self.engine.reply(messages, options, usage):
                self._append(tape, delta)
                yield delta
        finally:
            self._let_go(tape)

    def text(self, messages) -> str:
        """A conversation as a tape is to hold it."""
        return (
            "".join(f"\n{message.role[0]}:" + "".join(map(self._part, message.content)) for message in messages)
            + "\na:"
        )

    def read(self, tape: Tape) -> str:
        """What a tape's memory holds."""
        numbers = self.tapes.pool.buffer[0, 0, tape.slot, 0, : tape.cache.length, 0].tolist()
        return "".join(chr(int(number)) for number in numbers)

    def _part(self, part) -> str:
        if not isinstance(part, Audio):
            return part.text
        content = part.samples.tobytes()
        if content not in self._audios:
            self._audios.append(content)
        return chr(SPEECH + self._audios.index(content))

    def _take(self, messages) -> Tape:
        text = self.text(messages)
        tape = self.tapes.take([*map(ord, text)], len(text) - 1)
        assert tape, "a call has one reply and one prefill at a time"
        assert self.read(tape) == text[: tape.cache.length], "what is kept is what was said"
        tape.settled = len(self.text(messages[:-1])) - len("\na:")
        self._append(tape, text[tape.cache.length :])
        return tape

    def _append(self, tape: Tape, text: str) -> None:
        if text:
            keys = torch.tensor([*map(ord, text)], dtype=torch.float32).reshape(1, 1, -1, 1)
            tape.cache.attend(0, keys, keys, keys, [None])  # what comes out is not looked at
            tape.cache.advance(len(text))
            tape.keys += map(ord, text)

    def _let_go(self, tape: Tape) -> None:
        tape.busy = False
