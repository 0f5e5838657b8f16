"""The items of one call in order: what the engine is given, and what the caller really heard.

Values are immutable; `Conversation` replaces an item when it changes (an answer is cut to what was heard).
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from agent.audio import Samples

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Words, typed or spoken by the agent."""

    text: str


@dataclass(frozen=True, eq=False)
class Audio:
    """What the caller said: [n] int16 at 16 kHz. Equal only to itself, so that an engine may cache by identity."""

    samples: Samples


@dataclass(frozen=True)
class Message:
    """One turn of one party."""

    id: str
    role: Role
    content: tuple[Text | Audio, ...]
    interrupted: bool = False
    """The caller spoke over it: the text ends with the last word heard."""

    @property
    def text(self) -> str:
        """The typed or spoken words, audio left out."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


@dataclass
class Conversation:
    """Messages by age, the oldest dropped beyond `limit` so that a long call's memory is bounded."""

    limit: int = 200
    messages: list[Message] = field(default_factory=list)

    @property
    def last_id(self) -> str | None:
        """The newest message's id, which events give as `previous_item_id`."""
        return self.messages[-1].id if self.messages else None

    @property
    def last_answer(self) -> str:
        """The agent's words before the caller's turn; empty if it has said nothing."""
        return next((message.text for message in reversed(self.messages) if message.role == "assistant"), "")

    def append(self, message: Message) -> None:
        """Add the newest message."""
        self.messages.append(message)
        del self.messages[: -self.limit]

    def revise(self, item_id: str, text: str, *, interrupted: bool) -> None:
        """Replace a message's words; forget the message if there are none, or do nothing if it was dropped by age."""
        for index, message in enumerate(self.messages):
            if message.id == item_id:
                revised = replace(message, content=(Text(text),), interrupted=interrupted)
                self.messages[index : index + 1] = [revised] if text else []
                return
