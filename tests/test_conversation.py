"""History: order, revision, bounds."""

import numpy as np
import pytest

from agent.audio import Speech, Word
from agent.conversation import Audio, Conversation, Message, Text, Timing, heard_text


def said(number, role="assistant", text="Some words."):
    return Message(f"item_{number}", role, (Text(text),))


def test_an_answer_is_cut_to_what_was_heard():
    conversation = Conversation()
    conversation.append(said(1, "user"))
    conversation.append(said(2, text="One two three."))
    conversation.revise("item_2", "One two", interrupted=True)
    assert [(message.text, message.interrupted) for message in conversation.messages] == [
        ("Some words.", False),
        ("One two", True),
    ]


def test_an_answer_that_nobody_heard_was_not_said_but_has_its_place():
    conversation = Conversation()
    conversation.append(said(1))
    conversation.revise("item_1", "", interrupted=True)
    assert conversation.said == ()
    assert conversation.last_answer == ""
    assert conversation.find("item_1").text == ""
    assert conversation.last_id == "item_1"


def test_the_oldest_messages_are_dropped():
    conversation = Conversation(limit=3)
    for number in range(5):
        conversation.append(said(number))
    assert [message.id for message in conversation.messages] == ["item_2", "item_3", "item_4"]
    conversation.revise("item_0", "Too late.", interrupted=False)
    assert conversation.last_id == "item_4"


def test_text_leaves_audio_out_and_audio_is_itself():
    samples = np.zeros(3, np.int16)
    message = Message("a", "user", (Text("Listen: "), Audio(samples), Text("Well?")))
    assert message.text == "Listen: Well?"
    assert Audio(samples) != Audio(samples)
    with pytest.raises(AttributeError):
        message.role = "assistant"


def test_messages_are_found_and_removed():
    conversation = Conversation()
    for number in range(3):
        conversation.append(said(number))
    conversation.remove("item_1")
    conversation.remove("unknown")
    assert [message.id for message in conversation.messages] == ["item_0", "item_2"]
    assert conversation.find("item_1") is None
    assert conversation.find("item_2") is conversation.messages[1]


def test_messages_are_inserted_after_another():
    conversation = Conversation(limit=4)
    assert conversation.insert(said(1), None) is None
    assert conversation.insert(said(2), None) == "item_1"
    assert conversation.insert(said(3), "item_1") == "item_1"
    assert conversation.insert(said(4), "root") is None
    assert [message.id for message in conversation.messages] == ["item_4", "item_1", "item_3", "item_2"]
    with pytest.raises(LookupError, match="item_9"):
        conversation.insert(said(5), "item_9")
    assert conversation.insert(said(6), "item_4") == "item_4"
    assert [message.id for message in conversation.messages] == ["item_6", "item_1", "item_3", "item_2"]


def test_memory_is_bounded_in_bytes():
    conversation = Conversation(bytes=1000)
    for number in range(5):
        conversation.append(Message(f"item_{number}", "user", (Audio(np.zeros(200, np.int16)),)))
    assert [message.id for message in conversation.messages] == ["item_3", "item_4"]
    conversation.append(said(5, text="x" * 5000))
    assert conversation.last_id == "item_5", "the newest stays, whatever its length"
    assert len(conversation.messages) == 1


def test_what_was_cut_is_not_made_longer_again():
    conversation = Conversation()
    conversation.append(said(1, text="One two three."))
    conversation.revise("item_1", "One two", interrupted=True)
    conversation.revise("item_1", "One two three.", interrupted=False)
    assert conversation.find("item_1").text == "One two"
    conversation.revise("item_1", "One", interrupted=True)
    assert conversation.find("item_1").text == "One"


def test_the_seconds_of_an_answer_hold_whole_words():
    timing = Timing()
    timing.add(Speech(np.zeros(16_000, np.int16), 16_000, (Word(8_000, 3), Word(16_000, 7))))
    timing.add(Speech(np.zeros(8_000, np.int16), 8_000, (Word(8_000, 12),)))
    assert [timing.heard(seconds) for seconds in (0.4, 1.2, 99)] == [(0.4, 0), (1.2, 7), (2.0, 12)]
    assert heard_text("One two, three", 7) == "One two,"
