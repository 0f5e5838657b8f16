"""The items of one call in order: what the engine is given, and what the caller really heard.

Values are immutable; `Conversation` replaces an item when it changes (an answer is cut to what was heard).
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from agent.audio import Samples, Speech

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Text:
    """Words, typed or spoken by the agent."""

    text: str


@dataclass(frozen=True, eq=False)
class Audio:
    """What the caller said: [n] int16 at 16 kHz. Equal only to itself, so that an engine may cache by identity."""

    samples: Samples


@dataclass(frozen=True)
class FunctionCall:
    """The only content of an assistant's message that calls a function."""

    call_id: str
    name: str
    arguments: str
    """A JSON object as text, as the model wrote it."""


@dataclass(frozen=True)
class FunctionOutput:
    """The only content of a tool's message: what a call gave, as text."""

    call_id: str
    output: str


@dataclass(frozen=True)
class Message:
    """One turn of one party, a function's call, or its result."""

    id: str
    role: Role
    content: tuple[Text | Audio | FunctionCall | FunctionOutput, ...]
    interrupted: bool = False
    """The caller spoke over it: the text ends with the last word heard."""
    timing: "Timing | None" = field(default=None, compare=False, repr=False)
    """When its words end; None: the agent did not say it."""

    transcript: str | None = field(default=None, compare=False)
    """The words of its audio, where they are known."""

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return sum(part.samples.nbytes if isinstance(part, Audio) else len(str(part)) for part in self.content)

    @property
    def text(self) -> str:
        """The typed or spoken words, audio left out."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


def told(message: Message, mark: str) -> Message:
    """A message as the model is given it: an answer that was cut ends with a mark."""
    if not (message.interrupted and mark):
        return message
    return replace(message, content=(*message.content, Text(mark)))


def heard_text(text: str, end: int) -> str:
    """The words of a text that were played to their end at character `end`, with the punctuation that closes the last of them."""
    while 0 < end < len(text) and not text[end].isspace() and not text[end].isalnum():
        end += 1
    return text[:end].strip()


@dataclass
class Timing:
    """When the words of a spoken answer end; grows while it is made."""

    seconds: float = 0.0
    """Speech so far; in the end, what was played of it."""
    words: list[tuple[float, int]] = field(default_factory=list)
    """When each word ends, in seconds, and the characters of the text up to it."""

    def add(self, speech: Speech) -> None:
        """More of it, whose words count from the start of the answer's text."""
        self.words += [(self.seconds + word.sample / speech.rate, word.text) for word in speech.words]
        self.seconds += speech.samples.size / speech.rate

    def heard(self, seconds: float) -> tuple[float, int]:
        """How many of the first so many seconds there are, and the characters that they hold."""
        return min(seconds, self.seconds), max((text for end, text in self.words if end <= seconds), default=0)


ROOT = "root"
"""In the place of an id: before the first message."""


@dataclass
class Conversation:
    """Messages in order, the first dropped beyond `limit`, and beyond so many bytes, so that a long call's memory is bounded."""

    limit: int = 200
    bytes: int = 64 * 1024 * 1024
    """Half an hour of audio."""
    messages: list[Message] = field(default_factory=list)

    @property
    def last_id(self) -> str | None:
        """The newest message's id, which events give as `previous_item_id`."""
        return self.messages[-1].id if self.messages else None

    @property
    def last_answer(self) -> str:
        """The agent's words before the caller's turn; empty if it has said nothing."""
        return next(
            (message.text for message in reversed(self.said) if message.role == "assistant" and message.text), ""
        )

    @property
    def said(self) -> tuple[Message, ...]:
        """The messages that hold something: what an engine is given."""
        return tuple(message for message in self.messages if message.content)

    def append(self, message: Message) -> None:
        """Add the newest message."""
        self.insert(message, None)

    def insert(self, message: Message, previous: str | None) -> str | None:
        """Add a message after that of the id `previous`, at the start ("root") or, with None, at the end.

        Returns the id of the message before it. Raises LookupError when there is no such message.
        """
        ids = [before.id for before in self.messages]
        if previous not in {None, ROOT, *ids}:
            raise LookupError(f"there is no item {previous!r}")
        at = len(ids) if previous is None else 0 if previous == ROOT else ids.index(previous) + 1
        self.messages.insert(at, message)
        excess = sum(message.size for message in self.messages) - self.bytes
        while len(self.messages) > self.limit or (excess > 0 and len(self.messages) > 1):
            excess -= self.messages.pop(0).size
        return ids[at - 1] if at else None

    def find(self, item_id: str) -> Message | None:
        """The message of that id, unless it was forgotten."""
        return next((message for message in self.messages if message.id == item_id), None)

    def answer_to(self, item_id: str) -> str:
        """The agent's words right after a message; empty if it has said nothing there."""
        ids = [message.id for message in self.messages]
        after = self.messages[ids.index(item_id) + 1 :][:1] if item_id in ids else []
        return "".join(message.text for message in after if message.role == "assistant")

    def transcribe(self, item_id: str, text: str) -> None:
        """Note what was said in a message, unless it was forgotten."""
        self.messages = [
            replace(message, transcript=text) if message.id == item_id else message for message in self.messages
        ]

    def remove(self, item_id: str) -> None:
        """Forget the message of that id."""
        self.messages = [message for message in self.messages if message.id != item_id]

    def revise(self, item_id: str, text: str, *, interrupted: bool) -> None:
        """Replace a message's words, or do nothing if it was dropped. One without words was not said, but has its place.

        What was cut is not made longer again.
        """
        for index, message in enumerate(self.messages):
            if message.id == item_id and not (message.interrupted and len(text) > len(message.text)):
                content = (Text(text),) if text else ()
                self.messages[index] = replace(message, content=content, interrupted=interrupted)
                return
