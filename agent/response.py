"""A response on the wire: its events, in the order that clients need. Says nothing about how the answer is made.

The order is OpenAI's: created; output item, item, part; deltas; audio, transcript, part, output item and item done; response done.
Around them, when the server plays the audio out itself, `output_audio_buffer` started, and stopped or cleared. A response without
words has no item; one that is not part of the conversation has no events of the conversation.
"""

from dataclasses import dataclass, field
from typing import Literal

from agent.audio import Speech
from agent.edge import Edge, Heard
from agent.engine import Usage
from agent.realtime import events
from agent.realtime.items import AnyItem, Item, OutputAudio, OutputText
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
from agent.trace import Status, Trace


@dataclass
class ResponseEvents:
    """The events of one response with at most one message."""

    edge: Edge
    response: Response
    """As it begins."""
    item_id: str
    """The message's."""
    output: list[AnyItem] = field(default_factory=list)
    """What is complete."""
    _previous: str | None = None

    @property
    def spoken(self) -> bool:
        """Whether the answer is speech with a transcript, or text alone."""
        return self.response.output_modalities == ("audio",)

    def opened(self) -> None:
        """The response exists."""
        self.edge.send(events.ResponseCreated(response=self.response))

    def message_opened(self, previous_item_id: str | None) -> None:
        """The empty message exists, after another."""
        self._previous = previous_item_id
        item, part = self._item("in_progress"), AudioPart() if self.spoken else TextPart()
        self.edge.send(events.OutputItemAdded(response_id=self.response.id, item=item))
        if self.response.conversation_id:
            self.edge.send(events.ItemAdded(previous_item_id=self._previous, item=item))
        self.edge.send(events.ContentPartAdded(response_id=self.response.id, item_id=self.item_id, part=part))

    def text(self, delta: str) -> None:
        """More words."""
        kind = events.TranscriptDelta if self.spoken else events.TextDelta
        self.edge.send(kind(response_id=self.response.id, item_id=self.item_id, delta=delta))

    def message_done(self, status: Status, text: str) -> None:
        """Nothing more is said; `text` is the whole transcript, or what was heard of it."""
        ids = {"response_id": self.response.id, "item_id": self.item_id}
        if self.spoken:
            item = self._item("completed" if status == "completed" else "incomplete", OutputAudio(transcript=text))
            self.edge.send(events.OutputAudioDone(**ids))
            self.edge.send(events.TranscriptDone(**ids, transcript=text))
            self.edge.send(events.ContentPartDone(**ids, part=AudioPart(transcript=text)))
        else:
            item = self._item("completed" if status == "completed" else "incomplete", OutputText(text=text))
            self.edge.send(events.TextDone(**ids, text=text))
            self.edge.send(events.ContentPartDone(**ids, part=TextPart(text=text)))
        self.edge.send(events.OutputItemDone(response_id=self.response.id, item=item))
        if self.response.conversation_id:
            self.edge.send(events.ItemDone(previous_item_id=self._previous, item=item))
        self.output.append(item)

    def done(self, status: Status, details: StatusDetails | None, usage: Usage) -> None:
        """Nothing more is made."""
        changes = {"status": status, "status_details": details, "output": tuple(self.output), "usage": _usage(usage)}
        self.edge.send(events.ResponseDone(response=self.response.model_copy(update=changes)))

    def audio_started(self) -> None:
        """The first sample left."""
        self._audio("output_audio_buffer.started")

    def audio_stopped(self) -> None:
        """The last sample left."""
        self._audio("output_audio_buffer.stopped")

    def audio_cleared(self, heard: Heard) -> None:
        """The rest of the audio was dropped, and the message is cut to what was heard."""
        self._audio("output_audio_buffer.cleared")
        if self.edge.speaker.paced and self.response.conversation_id:
            self.edge.send(events.ItemTruncated(item_id=self.item_id, audio_end_ms=round(1000 * heard.seconds)))

    def traced(self, trace: Trace, heard: str) -> None:
        """The marks of the turn, and the words of it that were heard."""
        trace_event = {"response_id": self.response.id, "heard": heard, **trace.as_json()}
        self.edge.send(events.TurnTrace.model_validate(trace_event))

    def _audio(
        self,
        event: Literal["output_audio_buffer.started", "output_audio_buffer.stopped", "output_audio_buffer.cleared"],
    ) -> None:
        if self.edge.speaker.paced:
            self.edge.send(events.OutputAudioBuffer(type=event, response_id=self.response.id))

    def _item(
        self, status: Literal["in_progress", "completed", "incomplete"], *content: OutputAudio | OutputText
    ) -> Item:
        return Item(id=self.item_id, role="assistant", status=status, content=content)


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


def words_timed(response_id: str, speech: Speech, seconds: float) -> events.WordsTimed:
    """When the words of speech are said that is about to be played, after so many seconds of the response's."""
    ends = [(word.text, round(1000 * (seconds + word.sample / speech.rate))) for word in speech.words]
    words = tuple(events.SpokenWord(text=text, ms=ms) for text, ms in ends)
    return events.WordsTimed(response_id=response_id, words=words)
