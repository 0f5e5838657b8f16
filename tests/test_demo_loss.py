"""The demo checkpoint hears questions of which one packet in ten was lost: Opus with copies, the receive path, then the model.

Losses are independent, so that some are two in a row, and each question has its own. With four patterns of loss for each of these and one
more 43 of 44 answers were right; 34 of 44 where the sender protected nothing, as it does before the first loss was reported to it.
"""

from dataclasses import replace

import numpy as np
import pytest

from agent import engine, tts
from agent.caller.relay import Faults, Path
from agent.config import DEMO_MODEL, INSTRUCTIONS
from agent.conversation import Audio, Message, Text
from agent.edge import opus
from agent.edge.rtp import Depacketizer
from tests.edge.speech import protected

pytestmark = [
    pytest.mark.skipif(not DEMO_MODEL.is_dir(), reason="the demo checkpoint is not there; `make demo` makes it"),
    pytest.mark.skipif(opus.library is None, reason="libopus is not there"),
]

QUESTIONS = {
    "Hello!": "Parley",
    "Who are you?": "Parley",
    "What is three plus four?": "seven",
    "One, four, two.": "One four two.",
    "Thank you very much.": "welcome",
    "What can you do?": "read back",
    "Can you hear me?": "hear you",
    "Nine, three, eight, one.": "Nine three eight one.",
    "Goodbye!": "Goodbye",
    "Tell me a story.": "Once upon a time",
}
"""And what is in the right answer: what the model answers right when nothing is lost."""


@pytest.fixture(scope="module")
def demo():
    return engine.load(DEMO_MODEL, "demo", "cpu", 40)


async def received(question: str, seed: int):
    """A question as a call would hear it, [n] at 16 kHz, and how many of its packets were lost."""
    words = await tts.recording(tts.load("en-us"), question, 48_000)
    said = np.concatenate([np.zeros(9_600, np.int16), words, np.zeros(9_600 + 960 - words.size % 960, np.int16)])
    network, stream, frames = Path(seed), Depacketizer(), []
    network.faults = Faults(loss=0.1)
    for packet in protected(said):
        while stream.due < packet.arrival:
            frames += stream.tick(stream.due)
        for arrival in network.arrivals(packet.arrival):
            frames += stream.add(replace(packet, arrival=arrival))
    return np.concatenate([frame.samples for frame in frames]), network.lost


@pytest.mark.parametrize(("seed", "question"), list(enumerate(QUESTIONS, start=1)))
async def test_a_question_is_answered_right_at_ten_per_cent_of_loss(question, seed, demo):
    samples, lost = await received(question, seed)
    assert lost >= 3
    messages = (
        Message("instructions", "system", (Text(INSTRUCTIONS),)),
        Message("question", "user", (Audio(samples),)),
    )
    answer = "".join([delta async for delta in demo.reply(messages)])
    print(f"{question} ({lost} packets lost) {answer}")
    assert QUESTIONS[question] in answer
