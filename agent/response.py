"""A response on the wire: its events, in the order that clients need. Says nothing about how the answer is made.

The order is OpenAI's: created, output item, item, part; deltas; audio, transcript, part, output item and item done; response done.
Around them, when the server plays the audio out itself, `output_audio_buffer` started, and stopped or cleared.
"""

from dataclasses import dataclass
from typing import Literal

from agent.edge import Edge, Heard
from agent.realtime import events
from agent.realtime.objects import AudioPart, Item, OutputAudio, Response, StatusDetails
from agent.trace import Status, Trace


@dataclass(frozen=True)
class ResponseEvents:
    """The events of one response with one spoken message."""

    edge: Edge
    conversation_id: str
    response_id: str
    item_id: str
    previous_item_id: str | None

    def opened(self) -> None:
        """The response and its empty message exist."""
        item = self._item("in_progress")
        self.edge.send(events.ResponseCreated(response=self._response("in_progress")))
        self.edge.send(events.OutputItemAdded(response_id=self.response_id, item=item))
        self.edge.send(events.ItemAdded(previous_item_id=self.previous_item_id, item=item))
        self.edge.send(events.ContentPartAdded(response_id=self.response_id, item_id=self.item_id, part=AudioPart()))

    def text(self, delta: str) -> None:
        """More words."""
        self.edge.send(events.TranscriptDelta(response_id=self.response_id, item_id=self.item_id, delta=delta))

    def done(self, status: Status, text: str, details: StatusDetails | None) -> None:
        """Nothing more is made; `text` is the whole transcript, or what was heard of it."""
        item = self._item("completed" if status == "completed" else "incomplete", OutputAudio(transcript=text))
        part = AudioPart(transcript=text)
        self.edge.send(events.OutputAudioDone(response_id=self.response_id, item_id=self.item_id))
        self.edge.send(events.TranscriptDone(response_id=self.response_id, item_id=self.item_id, transcript=text))
        self.edge.send(events.ContentPartDone(response_id=self.response_id, item_id=self.item_id, part=part))
        self.edge.send(events.OutputItemDone(response_id=self.response_id, item=item))
        self.edge.send(events.ItemDone(previous_item_id=self.previous_item_id, item=item))
        self.edge.send(events.ResponseDone(response=self._response(status, item, details=details)))

    def audio_started(self) -> None:
        """The first sample left."""
        self._audio("output_audio_buffer.started")

    def audio_stopped(self) -> None:
        """The last sample left."""
        self._audio("output_audio_buffer.stopped")

    def audio_cleared(self, heard: Heard) -> None:
        """The rest of the audio was dropped, and the message is cut to what was heard."""
        self._audio("output_audio_buffer.cleared")
        if self.edge.speaker.paced:
            self.edge.send(events.ItemTruncated(item_id=self.item_id, audio_end_ms=round(1000 * heard.seconds)))

    def traced(self, trace: Trace, heard: str) -> None:
        """The marks of the turn, and the words of it that were heard."""
        trace_event = {"response_id": self.response_id, "heard": heard, **trace.as_json()}
        self.edge.send(events.TurnTrace.model_validate(trace_event))

    def _audio(
        self,
        event: Literal["output_audio_buffer.started", "output_audio_buffer.stopped", "output_audio_buffer.cleared"],
    ) -> None:
        if self.edge.speaker.paced:
            self.edge.send(events.OutputAudioBuffer(type=event, response_id=self.response_id))

    def _item(self, status: Literal["in_progress", "completed", "incomplete"], *content: OutputAudio) -> Item:
        return Item(id=self.item_id, role="assistant", status=status, content=content)

    def _response(self, status: Status, *output: Item, details: StatusDetails | None = None) -> Response:
        return Response(
            id=self.response_id,
            status=status,
            status_details=details,
            output=output,
            conversation_id=self.conversation_id,
        )
