"""A response on the wire: its events, in the order that clients need. Says nothing about how the answer is made.

The order is OpenAI's: created; output item, item, part; deltas; audio, transcript, part, output item and item done; response done.
A call of a function has its output item and item, deltas of its arguments, and these done.
Around them, when the server plays the audio out itself, `output_audio_buffer` started, and stopped or cleared. A response without
words has no item; one that is not part of the conversation has no events of the conversation.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from agent.audio import Speech
from agent.edge import Edge
from agent.engine import Usage
from agent.realtime import events
from agent.realtime.items import AnyItem, FunctionCallItem, Item, OutputAudio, OutputText
from agent.realtime.responses import (
    AudioPart,
    CachedTokens,
    InputTokens,
    OutputTokens,
    Response,
    ResponseUsage,
    StatusDetails,
    TextPart,
)
from agent.realtime.vendor import SpokenWord, TurnTrace, WordsTimed
from agent.traces.trace import Status, Trace


@dataclass
class ResponseEvents:
    """The events of one response; those of its items come from what `message` and `call` give."""

    edge: Edge
    response: Response
    """As it begins."""
    output: list[AnyItem] = field(default_factory=list)
    """What is complete."""
    _items: int = 0

    @property
    def spoken(self) -> bool:
        """Whether the answer is speech with a transcript, or text alone."""
        return self.response.output_modalities == ("audio",)

    def opened(self) -> None:
        """The response exists."""
        self.edge.send(events.ResponseCreated(response=self.response))

    def message(self, item_id: str, previous: str | None) -> "MessageEvents":
        """An empty message exists, after another item."""
        item = Item(id=item_id, role="assistant", status="in_progress", content=())
        message = MessageEvents(self, item_id, self.add(item, previous), previous)
        part = AudioPart() if self.spoken else TextPart()
        self.edge.send(events.ContentPartAdded(**message.ids, part=part))
        return message

    def call(self, item_id: str, call_id: str, name: str, previous: str | None) -> "CallEvents":
        """A call of one of the client's functions is being made, after another item."""
        item = FunctionCallItem(id=item_id, status="in_progress", call_id=call_id, name=name, arguments="")
        return CallEvents(self, item, self.add(item, previous), previous)

    def add(self, item: AnyItem, previous: str | None) -> int:
        """An item of the response exists; returns its place in the output."""
        index, self._items = self._items, self._items + 1
        self.edge.send(events.OutputItemAdded(response_id=self.response.id, output_index=index, item=item))
        if self.response.conversation_id:
            self.edge.send(events.ItemAdded(previous_item_id=previous, item=item))
        return index

    def complete(self, item: AnyItem, index: int, previous: str | None) -> None:
        """Nothing is added to an item any more."""
        self.edge.send(events.OutputItemDone(response_id=self.response.id, output_index=index, item=item))
        if self.response.conversation_id:
            self.edge.send(events.ItemDone(previous_item_id=previous, item=item))
        self.output.append(item)

    def entered(self, item: AnyItem, previous: str | None) -> None:
        """Something that the client has nothing to do with became part of the conversation: a call that the server answers itself."""
        if self.response.conversation_id:
            self.edge.send(events.ItemAdded(previous_item_id=previous, item=item))
            self.edge.send(events.ItemDone(previous_item_id=previous, item=item))

    def done(self, status: Status, details: StatusDetails | None, usage: Usage) -> None:
        """Nothing more is made."""
        changes = {"status": status, "status_details": details, "output": tuple(self.output), "usage": _usage(usage)}
        self.edge.send(events.ResponseDone(response=self.response.model_copy(update=changes)))

    def audio(self, event: Literal["started", "stopped", "cleared"]) -> None:
        """The first sample left, the last did, or the rest was dropped."""
        if self.edge.speaker.paced:
            self.edge.send(events.OutputAudioBuffer(type=f"output_audio_buffer.{event}", response_id=self.response.id))

    def truncated(self, item_id: str, seconds: float) -> None:
        """A message is cut to what was heard."""
        if self.edge.speaker.paced and self.response.conversation_id:
            self.edge.send(events.ItemTruncated(item_id=item_id, audio_end_ms=round(1000 * seconds)))

    def traced(self, trace: Trace, heard: str) -> None:
        """The marks of the turn, and the words of it that were heard."""
        trace_event = {"response_id": self.response.id, "heard": heard, **trace.as_json()}
        self.edge.send(TurnTrace.model_validate(trace_event))


@dataclass(frozen=True)
class MessageEvents:
    """The events of one message of a response."""

    of: ResponseEvents
    item_id: str
    index: int
    previous: str | None

    @property
    def ids(self) -> dict[str, Any]:
        """What each of them carries."""
        return {"response_id": self.of.response.id, "item_id": self.item_id, "output_index": self.index}

    def text(self, delta: str) -> None:
        """More words."""
        kind = events.TranscriptDelta if self.of.spoken else events.TextDelta
        self.of.edge.send(kind(**self.ids, delta=delta))

    def done(self, text: str, *, complete: bool) -> None:
        """Nothing more is said in it; `text` is the whole transcript, or what was heard of it."""
        send, ids = self.of.edge.send, self.ids
        content: OutputAudio | OutputText = OutputText(text=text)
        if self.of.spoken:
            content = OutputAudio(transcript=text)
            send(events.OutputAudioDone(**ids))
            send(events.TranscriptDone(**ids, transcript=text))
            send(events.ContentPartDone(**ids, part=AudioPart(transcript=text)))
        else:
            send(events.TextDone(**ids, text=text))
            send(events.ContentPartDone(**ids, part=TextPart(text=text)))
        status: Literal["completed", "incomplete"] = "completed" if complete else "incomplete"
        item = Item(id=self.item_id, role="assistant", status=status, content=(content,))
        self.of.complete(item, self.index, self.previous)


@dataclass(frozen=True)
class CallEvents:
    """The events of one call of a client's function."""

    of: ResponseEvents
    item: FunctionCallItem
    index: int
    previous: str | None

    @property
    def ids(self) -> dict[str, Any]:
        """What each of them carries."""
        return {
            "response_id": self.of.response.id,
            "item_id": self.item.id,
            "output_index": self.index,
            "call_id": self.item.call_id,
        }

    def arguments(self, delta: str) -> None:
        """More of the arguments."""
        self.of.edge.send(events.FunctionCallArgumentsDelta(**self.ids, delta=delta))

    def done(self, arguments: str, *, complete: bool) -> None:
        """The call is made; one that is not complete is none that the client should make."""
        if complete:
            self.of.edge.send(events.FunctionCallArgumentsDone(**self.ids, name=self.item.name, arguments=arguments))
        changes = {"status": "completed" if complete else "incomplete", "arguments": arguments}
        self.of.complete(self.item.model_copy(update=changes), self.index, self.previous)


def _usage(usage: Usage) -> ResponseUsage:
    cached = CachedTokens(text_tokens=usage.cached_text, audio_tokens=usage.cached_audio)
    return ResponseUsage(
        total_tokens=usage.text + usage.audio + usage.output,
        input_tokens=usage.text + usage.audio,
        output_tokens=usage.output,
        input_token_details=InputTokens(
            text_tokens=usage.text,
            audio_tokens=usage.audio,
            cached_tokens=usage.cached_text + usage.cached_audio,
            cached_tokens_details=cached,
        ),
        output_token_details=OutputTokens(text_tokens=usage.output),
    )


def words_timed(response_id: str, speech: Speech, seconds: float) -> WordsTimed:
    """When the words of speech are said that is about to be played, after so many seconds of the response's."""
    ends = [(word.text, round(1000 * (seconds + word.sample / speech.rate))) for word in speech.words]
    words = tuple(SpokenWord(text=text, ms=ms) for text, ms in ends)
    return WordsTimed(response_id=response_id, words=words)
