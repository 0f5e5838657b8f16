"""What to say. One protocol, one file per engine."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from agent.conversation import Message


class Engine(Protocol):
    """A language model that hears, shared by all calls."""

    name: str
    """What the start-up line and the session object call it."""

    def reply(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Stream the text of the next assistant message; closing the generator stops decoding within one token.

        `messages` is the whole conversation, instructions first as a system message; audio parts are 16 kHz.
        Raises EngineError when the engine fails.
        """


class EngineError(RuntimeError):
    """The engine failed; the message says what and, where that is known, what to do. Costs the turn, not the call."""
