"""History: order, revision, bounds."""

import numpy as np
import pytest

from agent.conversation import Audio, Conversation, Message, Text


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
