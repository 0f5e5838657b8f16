"""The conversation on the wire: its items are added, shown and forgotten, and the client hears of each."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent import g711
from agent.audio import INPUT_RATE, Resampler, Samples
from agent.conversation import Audio, Conversation, FunctionCall, FunctionOutput, Message, Text, heard_text
from agent.edge import Edge
from agent.realtime import events
from agent.realtime.items import (
    AnyItem,
    Content,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputText,
    Item,
    NewAudio,
    NewFunctionCall,
    NewFunctionOutput,
    NewItem,
    NewMessage,
    OutputAudio,
    OutputText,
)
from agent.realtime.objects import PCM, AudioFormat, EventError
from agent.realtime.responses import InputItem, ItemReference

LEAST_AUDIO = 0.1
MOST_AUDIO = 300.0
"""Seconds of one part of a message."""


@dataclass(frozen=True)
class Items:
    """The items of one call."""

    edge: Edge
    conversation: Conversation
    numbers: Iterator[int]
    """For ids."""

    def new_id(self) -> str:
        """An id for an item. Ids count up, so that two runs of one conversation have equal events."""
        return f"item_{next(self.numbers)}"

    def add(self, message: Message, previous: str | None = None) -> None:
        """Append a message, or insert it after that of the id `previous`. Raises EventError when there is none."""
        try:
            previous = self.conversation.insert(message, previous)
        except LookupError as error:
            raise EventError("invalid_value", str(error), "previous_item_id") from None
        item = as_item(message)
        self.edge.send(events.ItemAdded(previous_item_id=previous, item=item))
        self.edge.send(events.ItemDone(previous_item_id=previous, item=item))

    def commit(self, message: Message) -> None:
        """Append what the caller said."""
        self.edge.send(events.Committed(item_id=message.id, previous_item_id=self.conversation.last_id))
        self.add(message)

    async def create(self, item: NewItem, form: AudioFormat, previous: str | None) -> None:
        """Add what the client wrote, audio in a form. Raises EventError when that cannot be, its id is taken, or `previous` is not there."""
        item_id = item.id or self.new_id()
        if self.conversation.find(item_id):
            raise EventError("invalid_value", f"The conversation already has an item {item_id!r}.", "item.id")
        self.add(await as_message(item, item_id, form), previous)

    async def read(self, items: Sequence[InputItem], form: AudioFormat) -> tuple[Message, ...]:
        """What a client gives for one response. Raises EventError for what cannot be, or is not there."""
        messages = []
        for number, item in enumerate(items):
            if not isinstance(item, ItemReference):
                messages.append(await as_message(item, item.id or f"input_{number}", form))
            elif message := self.conversation.find(item.id):
                messages.append(message)
            else:
                param = f"response.input.{number}.id"
                raise EventError("invalid_value", f"There is no item {item.id!r} to refer to.", param)
        return tuple(message for message in messages if message.content)

    def repeat(self) -> None:
        """Show all messages as they are now, to a client that knows none of them."""
        previous = None
        for message in self.conversation.messages:
            item = as_item(message)
            self.edge.send(events.ItemAdded(previous_item_id=previous, item=item))
            self.edge.send(events.ItemDone(previous_item_id=previous, item=item))
            previous = message.id

    def retrieve(self, item_id: str) -> None:
        """Show an item. Raises EventError when there is none."""
        self.edge.send(events.ItemRetrieved(item=as_item(self._known(item_id, "retrieve"))))

    def delete(self, item_id: str) -> None:
        """Forget an item. Raises EventError when there is none."""
        self.conversation.remove(self._known(item_id, "delete").id)
        self.edge.send(events.ItemDeleted(item_id=item_id))

    def truncate(self, item_id: str, seconds: float) -> None:
        """Cut an answer to what was played of it, at most all. Raises EventError when there is none."""
        message = self.conversation.find(item_id)
        if message is None or message.timing is None:
            raise EventError(
                "item_truncate_invalid_item_id", f"There is no spoken item {item_id!r} to truncate.", "item_id"
            )
        played, end = message.timing.heard(seconds)
        self.conversation.revise(item_id, heard_text(message.text, end), interrupted=True)
        self.edge.send(events.ItemTruncated(item_id=item_id, audio_end_ms=round(1000 * played)))

    def _known(self, item_id: str, verb: Literal["retrieve", "delete"]) -> Message:
        if message := self.conversation.find(item_id):
            return message
        raise EventError(f"item_{verb}_invalid_item_id", f"There is no item {item_id!r} to {verb}.", "item_id")


async def as_message(item: NewItem, item_id: str, form: AudioFormat) -> Message:
    """What a client wrote or recorded, audio in a form, as the conversation keeps it. Raises EventError for audio that cannot be taken."""
    match item:
        case NewFunctionCall():
            call = FunctionCall(item.call_id or item_id, item.name, item.arguments)
            return Message(item_id, "assistant", (call,))
        case NewFunctionOutput():
            return Message(item_id, "tool", (FunctionOutput(item.call_id, item.output),))
        case NewMessage():
            content = [
                Audio(await _heard(part.audio, form)) if isinstance(part, NewAudio) else Text(part.text)
                for part in item.content
            ]
            transcripts = [part.transcript for part in item.content if isinstance(part, NewAudio) and part.transcript]
            return Message(item_id, item.role, tuple(content), transcript=" ".join(transcripts) or None)


async def _heard(data: bytes, form: AudioFormat) -> Samples:
    """Audio in a form as [n] samples at 16 kHz. Raises EventError. Other calls go on meanwhile."""
    if isinstance(form, PCM) and len(data) % 2:
        raise EventError("invalid_value", "audio: PCM of 16 bits has an even number of bytes.", "item.content")
    samples = np.frombuffer(data, "<i2").astype(np.int16) if isinstance(form, PCM) else g711.decode(data, form.type)
    rate = form.rate if isinstance(form, PCM) else g711.G711_RATE
    if not LEAST_AUDIO <= samples.size / rate <= MOST_AUDIO:
        message = f"audio: {samples.size / rate:.2f} s; {LEAST_AUDIO} to {MOST_AUDIO:.0f} s are taken."
        raise EventError("invalid_value", message, "item.content")
    resampler, pieces = Resampler(rate, INPUT_RATE), []
    for at in range(0, samples.size, rate):
        pieces.append(resampler(samples[at : at + rate], last=at + rate >= samples.size))
        await asyncio.sleep(0)
    return np.concatenate(pieces)


def as_item(message: Message) -> AnyItem:
    """A message on the wire, without its audio."""
    match message.content:
        case (FunctionCall(call_id=call_id, name=name, arguments=arguments),):
            return FunctionCallItem(id=message.id, call_id=call_id, name=name, arguments=arguments)
        case (FunctionOutput(call_id=call_id, output=output),):
            return FunctionCallOutputItem(id=message.id, call_id=call_id, output=output)
        case _:
            return _as_message_item(message)


def _as_message_item(message: Message) -> Item:
    assert message.role != "tool", "a tool's message holds its output"
    content = tuple(_as_content(message, part) for part in message.content or (Text(""),))
    status: Literal["completed", "incomplete"] = "incomplete" if message.interrupted else "completed"
    return Item(id=message.id, role=message.role, status=status, content=content)


def _as_content(message: Message, part: Text | Audio | FunctionCall | FunctionOutput) -> Content:
    match part:
        case Audio():
            return InputAudio(transcript=message.transcript)
        case Text(text) if message.timing:
            return OutputAudio(transcript=text)
        case Text(text) if message.role == "assistant":
            return OutputText(text=text)
        case Text(text):
            return InputText(text=text)
        case FunctionCall() | FunctionOutput():
            raise AssertionError("a call or its output is the only content of its message")
