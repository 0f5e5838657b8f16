"""Text deltas of a model in, what they mean out: words to say, functions to call, noise. Pure; given as early as it is certain.

A model that is given functions calls them in its text. Recognised are the forms of Llama 3 (`{"name": …, "parameters": …}`, which
`<|python_tag|>` may open), of Qwen (`<tool_call>{"name": …, "arguments": …}</tool_call>`) and of Mistral (`[TOOL_CALLS][{…}, …]`), and
`((noise))`, with which Ultravox from v0.6 on answers what is not speech. Nothing that may become one of these is given as words.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from agent.tools.call import CallReader, NotACallError

NOISE = "((noise))"
_TAGS = ("<|python_tag|>", "<tool_call>", "[tool_calls]")
_CLOSING = "</tool_call>"
_OPENINGS = (NOISE, *_TAGS, _CLOSING, "{")
_LONGEST = max(map(len, _OPENINGS))
_OPENING = re.compile("|".join(map(re.escape, _OPENINGS)), re.IGNORECASE)
_AFTER_CALL = " \t\r\n;,]}"
"""What follows a call without meaning; the brace is one too many, which models write."""


@dataclass(frozen=True)
class CallStarted:
    """A function is being called."""

    name: str


@dataclass(frozen=True)
class CallArguments:
    """More of its arguments."""

    delta: str


@dataclass(frozen=True)
class CallEnded:
    """The call is complete."""

    arguments: str
    """JSON, as the model wrote it: all deltas together. Not checked."""


@dataclass(frozen=True)
class CallBroken:
    """What began as a call, or was marked as one, cannot be read. `CallStarted` may have come before."""

    text: str
    reason: str


@dataclass(frozen=True)
class Noise:
    """The model heard no speech."""


Piece = str | CallStarted | CallArguments | CallEnded | CallBroken | Noise


class Recogniser:
    """The text that has arrived and has not been understood yet."""

    def __init__(self) -> None:
        self._text = ""
        self._call: CallReader | None = None
        self._marked = False
        """A tag says that a call follows, so that nothing is words."""
        self._called = False
        """A call has just ended."""
        self._lost = False
        """A call was broken; what comes after it belongs to it."""

    def push(self, delta: str) -> list[Piece]:
        """Add text; returns what has become certain."""
        self._text = "" if self._lost else self._text + delta
        pieces: list[Piece] = []
        while self._text and (found := self._next()) is not None:
            pieces += found
        return pieces

    def end(self) -> list[Piece]:
        """The text is complete: return what is left of it."""
        if self._call:
            return self._read(self._call, last=True)
        text, self._text = self._text, ""
        if self._lost:
            return []
        if self._marked:
            return [CallBroken(text, "a call is a JSON object")]
        return [text] if text else []

    def _next(self) -> list[Piece] | None:
        """Understand the beginning of the waiting text, and drop it; None: only more text will tell."""
        if self._call:
            return self._read(self._call)
        if self._marked or self._called:
            self._text = self._text.lstrip("[ \t\r\n" if self._marked else _AFTER_CALL)
        opening = _OPENING.search(self._text)
        if self._marked:
            return self._begin() if self._text.startswith("{") else None
        end = opening.start() if opening else _certain(self._text)
        if end:
            words, self._text, self._called = self._text[:end], self._text[end:], False
            return [words]
        return self._open(opening[0].lower()) if opening else None

    def _open(self, opening: str) -> list[Piece]:
        """Something begins that is not words."""
        if opening == "{":
            return self._begin()
        self._text = self._text[len(opening) :]
        self._marked = opening in _TAGS
        return [Noise()] if opening == NOISE else []

    def _begin(self) -> list[Piece]:
        self._call = CallReader()
        return []

    def _read(self, call: CallReader, *, last: bool = False) -> list[Piece]:
        """Let a call read the waiting text."""
        text, known, named, before = self._text, len(call.text), call.name, call.streamed
        try:
            self._text = call.push(text)
            if last and not call.ended:
                call.close()
        except NotACallError as error:
            self._text = text[len(call.text) - known :]
            return self._refuse(call, str(error))
        pieces: list[Piece] = [] if named or not call.name else [CallStarted(call.name)]
        if delta := call.streamed[len(before) :]:
            pieces.append(CallArguments(delta))
        if call.ended:
            self._call, self._marked, self._called = None, False, True
            pieces.append(CallEnded(call.arguments))
        return pieces

    def _refuse(self, call: CallReader, reason: str) -> list[Piece]:
        """Braces that hold no call are words, unless it was one as far as it came. A broken call goes on to the end of the text."""
        self._call = None
        if not (self._marked or call.begun):
            return [call.text]
        text, self._text, self._lost = call.text + self._text, "", True
        return [CallBroken(text, reason)]


async def recognise(deltas: AsyncGenerator[str]) -> AsyncGenerator[Piece]:
    """Understand a model's text as it comes; closes `deltas` when closed."""
    recogniser = Recogniser()
    async with aclosing(deltas):
        async for delta in deltas:
            for piece in recogniser.push(delta):
                yield piece
    for piece in recogniser.end():
        yield piece


def _certain(text: str) -> int:
    """How many characters of a text cannot be the beginning of something else."""
    lower = text.lower()
    starts = range(max(0, len(text) - _LONGEST + 1), len(text))
    return next((at for at in starts if any(opening.startswith(lower[at:]) for opening in _OPENINGS)), len(text))
