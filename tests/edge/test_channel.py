"""The event channel without a network: what waits, what a caller who comes back is told, what is too much."""

import asyncio
import json

import pytest
from pyee.base import EventEmitter

from agent.edge import Returned
from agent.edge.channel import LABEL, MAX_BUFFERED_BYTES, MAX_QUEUED_EVENTS, EventChannel
from agent.edge.mailbox import Outbox
from agent.realtime.client_events import KeysPressed, ResponseCancel
from agent.realtime.events import OutputAudioBuffer, SessionCreated
from agent.realtime.objects import SessionObject

SESSION = SessionCreated(session=SessionObject(id="call", model="m", instructions=""))
CANCEL = '{"type": "response.cancel"}'


class DataChannel(EventEmitter):
    """The network's side of a channel."""

    def __init__(self, label=LABEL):
        super().__init__()
        self.label = label
        self.readyState = "open"
        self.bufferedAmount = 0
        self.sent = []

    def send(self, text):
        self.sent.append(json.loads(text))

    def types(self):
        return [event.get("response_id", event["type"]) for event in self.sent]


def note(name):
    return OutputAudioBuffer(type="output_audio_buffer.started", response_id=name)


async def drained(events):
    """All events that wait."""
    events.close()
    return [event async for event in events.events()]


async def test_what_is_sent_before_the_channel_opens_waits_for_it():
    events, network = EventChannel(lambda: None), DataChannel()
    events.send(SESSION)
    events.send(note("a"))
    assert events.attach(network)
    events.send(note("b"))
    assert network.types() == ["session.created", "a", "b"]
    assert [event["event_id"] for event in network.sent] == ["event_1", "event_2", "event_3"]


async def test_only_the_first_channel_of_the_right_name_counts():
    events, network = EventChannel(lambda: None), DataChannel()
    assert not events.attach(DataChannel("chat"))
    assert events.attach(network)
    assert not events.attach(DataChannel())


async def test_a_caller_who_comes_back_is_told_the_session_first_and_nothing_from_between():
    events, old, new = EventChannel(lambda: None), DataChannel(), DataChannel()
    events.attach(old)
    events.send(SESSION)
    events.detach()
    old.emit("message", CANCEL)
    events.send(note("missed"))
    events.send(SESSION)
    assert events.attach(new)
    events.send(note("too early"))
    events.send(SESSION)
    events.send(note("told"))
    new.emit("message", CANCEL)
    assert old.types() == ["session.created"]
    assert new.types() == ["session.created", "told"]
    assert await drained(events) == [Returned(), ResponseCancel(type="response.cancel")]


async def test_a_caller_who_was_lost_before_he_opened_a_channel_is_told_the_same():
    events, network = EventChannel(lambda: None), DataChannel()
    events.send(SESSION)
    events.detach()
    events.attach(network)
    assert network.sent == []
    events.send(SESSION)
    assert network.types() == ["session.created"]


async def test_a_second_connection_sees_what_the_lost_caller_does_not():
    events, outbox = EventChannel(lambda: None), Outbox()
    events.attach(DataChannel())
    events.send(SESSION)
    events.detach()
    with events.watched(outbox):
        events.send(note("seen"))
    assert [json.loads(text).get("response_id", json.loads(text)["type"]) for text in outbox._waiting] == [
        "session.created",
        "seen",
    ]


async def test_keys_stand_among_the_events_and_are_bounded_as_they_are():
    events, network = EventChannel(lambda: None), DataChannel()
    events.attach(network)
    events.press("1")
    network.emit("message", CANCEL)
    for _ in range(2 * MAX_QUEUED_EVENTS):
        events.press("2")
    first, second, *rest = await drained(events)
    assert first == KeysPressed(type="parley.dtmf", digits="1")
    assert isinstance(second, ResponseCancel)
    assert len(rest) == MAX_QUEUED_EVENTS - 2
    events.press("3")


async def test_who_does_not_read_loses_the_call():
    gone = asyncio.Event()
    events, network = EventChannel(gone.set), DataChannel()
    events.attach(network)
    network.bufferedAmount = MAX_BUFFERED_BYTES + 1
    events.send(note("a"))
    assert gone.is_set()


@pytest.mark.parametrize("text", ["{", b"\x00", '{"type": "no.such"}'])
async def test_what_cannot_be_read_is_answered(text):
    events, network = EventChannel(lambda: None), DataChannel()
    events.attach(network)
    network.emit("message", text)
    assert network.types() == ["error"]
    assert await drained(events) == []
