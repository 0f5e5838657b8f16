"""The parts of a reply: its messages and its calls of functions, as the client and the history have them.

Both are written through a `Record`, which holds everything back until the reply is open: before, nothing of it exists for anybody.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from agent.audio import Speech
from agent.conversation import Conversation, FunctionCall, Message, Text, Timing, heard_text
from agent.edge import Heard
from agent.items import as_item
from agent.replies.response import CallEvents, MessageEvents, ResponseEvents
from agent.traces.trace import Status


@dataclass
class Record:
    """The client and the history, as one reply writes to them."""

    wire: ResponseEvents
    conversation: Conversation
    numbers: Iterator[int]
    """For ids."""
    _held: list[Callable[[], None]] | None = field(default_factory=list)

    def open(self) -> None:
        """Write what was held back, and from now on everything at once."""
        held, self._held = self._held or [], None
        self.wire.opened()
        for action in held:
            action()

    def write(self, action: Callable[[], None]) -> None:
        """Do something that the client or the history shows, as soon as it may be."""
        if self._held is None:
            action()
        else:
            self._held.append(action)

    def enter(self, message: Message) -> None:
        """Put something that is complete into the history."""

        def entered() -> None:
            previous = self.conversation.last_id
            self.conversation.append(message)
            self.wire.entered(as_item(message), previous)

        self.write(entered)

    def new_id(self) -> str:
        """An id for an item."""
        return f"item_{next(self.numbers)}"


class Part:
    """One message, from its first words on. Its words and its speech come after those of the reply's messages before."""

    def __init__(self, record: Record, start: int, seconds: float) -> None:
        """So many characters, and seconds of speech, are before it."""
        self.item_id = record.new_id()
        self.text = ""
        """Its words; once it was cut, those that were heard."""
        self.ended = False
        """No words follow."""
        self.cut = False
        """There were more words than were heard."""
        self.timing = Timing()
        self._record = record
        self._start = start
        self._seconds = seconds
        self._unsent = ""
        self._events: MessageEvents | None = None
        record.write(self._open)

    @property
    def message(self) -> Message:
        """As it is now."""
        timing = self.timing if self._record.wire.spoken else None
        return Message(self.item_id, "assistant", (Text(self.text),), timing=timing)

    def add(self, words: str) -> None:
        """More words."""
        self.text += words
        self._unsent += words
        if self._events:
            self._send()

    def spoke(self, speech: Speech) -> None:
        """Some of its words were said so."""
        words = tuple(replace(word, text=word.text - self._start) for word in speech.words)
        self.timing.add(replace(speech, words=words))

    def end(self, status: Status) -> None:
        """No words follow. Does nothing the second time."""
        if self.ended:
            return
        self.ended, text = True, self.text

        def close() -> None:
            assert self._events
            self._send()
            self._record.conversation.revise(self.item_id, text, interrupted=status in {"cancelled", "failed"})
            self._events.done(text, complete=status == "completed")

        self._record.write(close)

    def played(self, heard: Heard) -> None:
        """So much of the reply was heard, or is known to be up to now."""
        self.timing.seconds = min(self.timing.seconds, max(0.0, heard.seconds - self._seconds))

    def keep(self, heard: Heard, *, last: bool) -> None:
        """Nothing more will be heard: only what was is kept. The `last` message was interrupted even if it was heard to its end."""
        words = heard_text(self.text, max(0, heard.text - self._start))
        self.cut = last or words != self.text.strip()
        self.text = words
        if self.cut:
            self._record.conversation.revise(self.item_id, words, interrupted=True)

    def _open(self) -> None:
        conversation = self._record.conversation
        self._events = self._record.wire.message(self.item_id, conversation.last_id)
        conversation.append(replace(self.message, content=(Text(""),)))
        self._send()

    def _send(self) -> None:
        """Show the words that were not shown yet."""
        if self._events and self._unsent:
            self._events.text(self._unsent)
            self._unsent = ""


class Call:
    """One call, from the name of its function on."""

    def __init__(self, record: Record, name: str, *, shown: bool) -> None:
        """The client sees it being made if it is one of its own functions: `shown`."""
        self.name = name
        self._record = record
        self._item_id = record.new_id()
        self._call_id = f"call_{next(record.numbers)}"
        self._events: CallEvents | None = None
        if shown:
            record.write(self._open)

    def add(self, delta: str) -> None:
        """More of its arguments."""

        def show() -> None:
            if self._events:
                self._events.arguments(delta)

        self._record.write(show)

    def end(self, arguments: str, *, complete: bool) -> Message:
        """It is part of the history; one that is not `complete` will not be made by the client. Returns its message."""
        message = Message(self._item_id, "assistant", (FunctionCall(self._call_id, self.name, arguments),))

        def close() -> None:
            if self._events:
                self._record.conversation.append(message)
                self._events.done(arguments, complete=complete)
            else:
                self._record.enter(message)

        self._record.write(close)
        return message

    def drop(self) -> None:
        """Nothing comes of it."""
        if self._events:
            self._events.done("", complete=False)

    def _open(self) -> None:
        previous = self._record.conversation.last_id
        self._events = self._record.wire.call(self._item_id, self._call_id, self.name, previous)
