"""What a reply has made so far, in order: messages, calls of functions and their results.

It is shown to the client and written to the history as it comes, once the reply is open; until then it is held back, and nothing of
it exists for anybody. Characters and seconds count from the start of the reply.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from agent.audio import Speech
from agent.conversation import Conversation, FunctionCall, FunctionOutput, Message, Text, Timing, heard_text
from agent.edge import Heard
from agent.engine import Usage
from agent.items import as_item
from agent.realtime.responses import StatusDetails
from agent.response import CallEvents, MessageEvents, ResponseEvents
from agent.trace import Status

INTERRUPTED = '{"error": "the caller interrupted before there was a result"}'
"""The result of a call that was cancelled, for the model."""


@dataclass
class Part:
    """One message."""

    item_id: str
    start: int
    """Characters before it."""
    seconds: float
    """Speech before it."""
    end: int | None = None
    """Characters up to its end; None: it is being made."""
    unsent: str = ""
    heard: str | None = None
    """The words that were heard, when that was asked for."""
    cut: bool = False
    """There were more."""
    timing: Timing = field(default_factory=Timing)
    events: MessageEvents | None = None
    """None: the client does not know of it."""


@dataclass
class Call:
    """A call that is being made."""

    item_id: str
    call_id: str
    name: str
    events: CallEvents | None = None
    """None: the client does not know of it, or is not to."""


class Output:
    """The output of one reply."""

    def __init__(self, wire: ResponseEvents, conversation: Conversation, numbers: Iterator[int]) -> None:
        """`numbers` are for ids."""
        self.text = ""
        """All words."""
        self.messages: list[Message] = []
        """What is complete, as the model is given it if it goes on."""
        self.waiting: list[FunctionCall] = []
        """The calls that the server has to give a result for."""
        self._wire = wire
        self._conversation = conversation
        self._numbers = numbers
        self._held: list[Callable[[], object]] | None = []
        self._parts: list[Part] = []
        self._call: Call | None = None
        self._seconds = 0.0

    def open(self) -> None:
        """Show what there is, and from now on everything at once."""
        held, self._held = self._held or [], None
        self._wire.opened()
        for action in held:
            action()
        self._send()

    def says(self, item_id: str) -> bool:
        """Whether a message is one of this reply's."""
        return any(part.item_id == item_id for part in self._parts)

    # Messages.

    def add(self, words: str) -> None:
        """More words; the first ones open a message."""
        if not self._parts or self._parts[-1].end is not None:
            part = Part(self._new_id(), len(self.text), self._seconds)
            self._parts.append(part)
            self._show(lambda: self._open_message(part))
        self.text += words
        self._parts[-1].unsent += words
        if self._held is None:
            self._send()

    def spoke(self, speech: Speech) -> None:
        """Some of the newest message's words were said so, after everything before."""
        part = self._parts[-1]
        words = tuple(replace(word, text=word.text - part.start) for word in speech.words)
        part.timing.add(replace(speech, words=words))
        self._seconds += speech.samples.size / speech.rate

    def end_message(self, status: Status = "completed") -> None:
        """No words follow in this message. Does nothing when there is none."""
        if not self._parts or self._parts[-1].end is not None:
            return
        part = self._parts[-1]
        part.end = len(self.text)
        text = self.text[part.start :] if part.heard is None else part.heard
        self.messages.append(self._message(part, text))
        self._show(lambda: self._close_message(part, text, status))

    def _open_message(self, part: Part) -> None:
        part.events = self._wire.message(part.item_id, self._conversation.last_id)
        self._conversation.append(self._message(part, ""))

    def _message(self, part: Part, text: str) -> Message:
        return Message(part.item_id, "assistant", (Text(text),), timing=part.timing if self._wire.spoken else None)

    def _send(self) -> None:
        """Show the words that were not shown yet."""
        for part in self._parts[-1:]:
            if part.events and part.unsent:
                part.events.text(part.unsent)
                part.unsent = ""

    def _close_message(self, part: Part, text: str, status: Status) -> None:
        assert part.events
        self._send()
        self._conversation.revise(part.item_id, text, interrupted=status in {"cancelled", "failed"})
        part.events.done(text, complete=status == "completed")

    # Calls.

    def begin_call(self, name: str, *, shown: bool) -> None:
        """A function is called; the client follows it if it is one of its own."""
        self.end_message()
        call = self._call = Call(self._new_id(), f"call_{next(self._numbers)}", name)
        if shown:
            self._show(lambda: self._open_call(call))

    def add_arguments(self, delta: str) -> None:
        """More of the arguments."""
        call = self._call
        assert call

        def show() -> None:
            if call.events:
                call.events.arguments(delta)

        self._show(show)

    def end_call(self, arguments: str, *, complete: bool = True) -> FunctionCall:
        """The call is part of the history; one that is not `complete` will never be made."""
        assert self._call
        call, self._call = self._call, None
        made = FunctionCall(call.call_id, call.name, arguments)
        message = Message(call.item_id, "assistant", (made,))
        self.messages.append(message)
        self._show(lambda: self._close_call(call, message, complete=complete))
        return made

    def result(self, call: FunctionCall, output: str) -> None:
        """What a call gave that the client does not answer; it becomes part of the history."""
        self.waiting = [waiting for waiting in self.waiting if waiting is not call]
        message = Message(self._new_id(), "tool", (FunctionOutput(call.call_id, output),))
        self.messages.append(message)
        self._show(lambda: self._enter(message))

    def _open_call(self, call: Call) -> None:
        call.events = self._wire.call(call.item_id, call.call_id, call.name, self._conversation.last_id)

    def _close_call(self, call: Call, message: Message, *, complete: bool) -> None:
        if call.events is None:
            self._enter(message)
            return
        [made] = message.content
        assert isinstance(made, FunctionCall)
        self._conversation.append(message)
        call.events.done(made.arguments, complete=complete)

    def _enter(self, message: Message) -> None:
        """Put something that is complete into the history."""
        previous = self._conversation.last_id
        self._conversation.append(message)
        self._wire.entered(as_item(message), previous)

    # The end.

    def finish(self, status: Status, details: StatusDetails | None, usage: Usage) -> None:
        """Nothing more is made; what was left open is closed."""
        self.end_message(status)
        if self._call and self._call.events:
            self._call.events.done("", complete=False)
        self._call = None
        for call in self.waiting:
            self.result(call, INTERRUPTED)
        self._wire.done(status, details, usage)

    def played(self, heard: Heard, *, cut: bool) -> str:
        """So much was heard, and with `cut` no more will be: only these words are kept. Returns them, or all."""
        for part in self._parts:
            part.timing.seconds = min(part.timing.seconds, max(0.0, heard.seconds - part.seconds))
            if cut:
                text = self.text[part.start : part.end]
                part.heard = heard_text(text, max(0, heard.text - part.start))
                part.cut = part is self._parts[-1] or part.heard != text.strip()
            if part.cut:
                self._conversation.revise(part.item_id, part.heard or "", interrupted=True)
        return " ".join(part.heard or "" for part in self._parts).strip() if cut else self.text

    def cleared(self) -> None:
        """The audio that was not played yet was dropped; tell how much was played of each message that was cut."""
        self._wire.audio_cleared()
        for part in self._parts:
            if part.cut:
                self._wire.truncated(part.item_id, part.timing.seconds)

    def _show(self, action: Callable[[], object]) -> None:
        """Do something that the client or the history shows, as soon as it may."""
        if self._held is None:
            action()
        else:
            self._held.append(action)

    def _new_id(self) -> str:
        return f"item_{next(self._numbers)}"
