"""What a reply has made so far, in order: messages, calls of functions and their results.

Characters and seconds count from the start of the reply.
"""

from agent.audio import Speech
from agent.conversation import FunctionCall, FunctionOutput, Message
from agent.edge import Heard
from agent.engine import Usage
from agent.realtime.responses import StatusDetails
from agent.replies.parts import Call, Part, Record
from agent.traces.trace import Status

INTERRUPTED = '{"error": "the caller interrupted before there was a result"}'
"""The result of a call that was cancelled, for the model."""


class Output:
    """The output of one reply."""

    def __init__(self, record: Record) -> None:
        self.text = ""
        """All words."""
        self.messages: list[Message] = []
        """What is complete, as the model is given it if it goes on."""
        self.waiting: list[FunctionCall] = []
        """The calls that the server has to give a result for."""
        self._record = record
        self._parts: list[Part] = []
        self._call: Call | None = None
        self._seconds = 0.0

    def open(self) -> None:
        """Show what there is, and from now on everything at once."""
        self._record.open()

    def says(self, item_id: str) -> bool:
        """Whether a message is one of this reply's."""
        return any(part.item_id == item_id for part in self._parts)

    def add(self, words: str) -> None:
        """More words; the first ones open a message."""
        if not self._parts or self._parts[-1].ended:
            self._parts.append(Part(self._record, len(self.text), self._seconds))
        self.text += words
        self._parts[-1].add(words)

    def spoke(self, speech: Speech) -> None:
        """Some of the newest message's words were said so, after everything before."""
        self._parts[-1].spoke(speech)
        self._seconds += speech.samples.size / speech.rate

    def end_message(self, status: Status = "completed") -> None:
        """No words follow in this message. Does nothing when there is none."""
        if self._parts and not self._parts[-1].ended:
            self._parts[-1].end(status)
            self.messages.append(self._parts[-1].message)

    def begin_call(self, name: str, *, shown: bool) -> Call:
        """A function is called; the client sees it if it is one of its own."""
        self.end_message()
        self._call = Call(self._record, name, shown=shown)
        return self._call

    def end_call(self, call: Call, arguments: str, *, complete: bool = True) -> FunctionCall:
        """The call is part of the history; one that is not `complete` will never be made."""
        message = call.end(arguments, complete=complete)
        self._call = None
        self.messages.append(message)
        [made] = message.content
        assert isinstance(made, FunctionCall)
        return made

    def result(self, call: FunctionCall, output: str) -> None:
        """What a call gave that the client does not answer; it becomes part of the history."""
        self.waiting = [waiting for waiting in self.waiting if waiting is not call]
        message = Message(self._record.new_id(), "tool", (FunctionOutput(call.call_id, output),))
        self.messages.append(message)
        self._record.enter(message)

    def finish(self, status: Status, details: StatusDetails | None, usage: Usage) -> None:
        """Nothing more is made; what was left open is closed."""
        self.end_message(status)
        if self._call:
            self._call.drop()
        for call in self.waiting:
            self.result(call, INTERRUPTED)
        self._record.wire.done(status, details, usage)

    def played(self, heard: Heard, *, cut: bool) -> str:
        """So much was heard, and with `cut` no more will be: only these words are kept. Returns them, or all."""
        for part in self._parts:
            part.played(heard)
            if cut:
                part.keep(heard, last=part is self._parts[-1])
        return (
            self.text
            if len(self._parts) == 1 and not cut
            else " ".join(part.text.strip() for part in self._parts).strip()
        )

    def cleared(self) -> None:
        """The audio that was not played yet was dropped; tell how much was played of each message that was cut."""
        self._record.wire.audio("cleared")
        for part in self._parts:
            if part.cut:
                self._record.wire.truncated(part.item_id, part.timing.seconds)
