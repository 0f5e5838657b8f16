"""What to say. One protocol, one file per engine."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.conversation import Message
from agent.engine import notes
from agent.realtime.tools import FunctionTool, ToolChoice

SMALL = 100e6
"""Parameters below which one thread is best: two must meet after every small step, which takes up to 100 times longer when cores are shared."""


@dataclass(frozen=True)
class Prefill:
    """What an engine makes of a conversation before it says anything."""

    end_of_turn: float | None = None
    """Probability, 0 to 1, that the caller has finished; None where the engine cannot tell."""


@dataclass(frozen=True)
class Truncation:
    """What is forgotten of a conversation that is too long, oldest turns first."""

    retention: float | None = 0.75
    """The part of the room that is kept at least, so that not every turn forgets something; None: nothing, the answer fails."""
    limit: int | None = None
    """Tokens of the conversation after its instructions, where that is less than what the model holds."""


@dataclass(frozen=True)
class Options:
    """How one answer is wanted."""

    max_tokens: int | None = None
    """Longest answer; None, or more than the engine's own limit: that."""
    off_path: bool = False
    """Nobody waits for it: it rests while there is other work."""
    truncation: Truncation = Truncation()
    tools: tuple[FunctionTool, ...] = ()
    """The functions that it may call."""
    tool_choice: ToolChoice = "auto"
    """`none`: the model is not told of the functions. To call one of them, or this one, is begun for it, so that it cannot but go on."""
    committed: asyncio.Event | None = field(default=None, compare=False)
    """The answer is prepared in case it is wanted, and goes after those that are, until this is set; None: a `reply` is wanted."""


DEFAULTS = Options()


@dataclass
class Usage:
    """What an answer took, in tokens; the engine counts while it answers."""

    text: int = 0
    audio: int = 0
    cached_text: int = 0
    """How much of `text` an earlier request had computed."""
    cached_audio: int = 0
    output: int = 0
    complete: bool = True
    """False: it was cut at `max_tokens`."""

    def add(self, more: "Usage") -> None:
        """What came after it belongs to the same answer."""
        self.text, self.audio = self.text + more.text, self.audio + more.audio
        self.cached_text, self.cached_audio = self.cached_text + more.cached_text, self.cached_audio + more.cached_audio
        self.output, self.complete = self.output + more.output, more.complete


def gpu_memory() -> dict[str, int]:
    """Bytes that this process holds of each GPU, by its number; empty where no engine brought torch, or there is none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {str(number): torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count())}


class Engine(Protocol):
    """A language model that hears, shared by all calls."""

    name: str
    """What the start-up line and the session object call it."""

    def reply(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> AsyncGenerator[str]:
        """Stream the text of the next assistant message; closing the generator stops decoding within one token.

        A call of a function is text, in the model's own form: `agent.tools.recognise` reads it. `messages` is the whole conversation, instructions first as a system message; audio parts are 16 kHz.
        Counts in `usage`. Raises EngineError when the engine fails.
        """

    async def prefill(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> Prefill:
        """Hear the conversation now, so that a `reply` to the same messages and options begins sooner. Raises EngineError.

        What it counts as cached stays so in a `reply` with the same `usage`.
        """


class EngineError(RuntimeError):
    """The engine failed; the message says what and, where that is known, what to do. Costs the turn, not the call."""


def load(model: str | Path, name: str, device: str, max_new_tokens: int, quantize: str | None = None) -> Engine:
    """The in-process engine on a checkpoint: a folder, or a hub id. Raises CheckpointError (a ValueError) when it cannot be loaded."""
    import torch

    from agent.engine.ultravox import UltravoxEngine
    from models import load as load_model
    from models.engine import Engine as BatchingEngine

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(model, device=device, quantize=quantize)
    if loaded.device.type == "cpu":
        torch.set_num_threads(1 if loaded.parameters < SMALL else len(os.sched_getaffinity(0)))
    numbers = ", ".join(filter(None, (str(loaded.dtype).removeprefix("torch."), quantize)))
    placed = f"{name} on {loaded.device}, {numbers}"
    return UltravoxEngine(BatchingEngine(loaded), placed, max_new_tokens, notes.read(str(model)).conversation)
