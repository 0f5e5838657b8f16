"""The whole product as it ships: spoken questions over a real WebRTC call, heard by the demo checkpoint, answered by the voice."""

import asyncio

import pytest

from agent import tts
from agent.caller.peer import call
from agent.config import DEMO_MODEL, Settings
from agent.edge.speaker import OUTPUT_RATE
from agent.serve import load
from tests.serving import running

pytestmark = pytest.mark.skipif(
    not DEMO_MODEL.is_dir(), reason="the demo checkpoint is not there; `make demo` makes it"
)


@pytest.fixture
def server():
    return load(Settings(port=0))


@pytest.fixture(scope="module")
def voice():
    return tts.load("en-us")


async def test_spoken_questions_get_the_right_spoken_answers(server, voice):
    async with running(server) as url, call(url) as caller:
        answers = {}
        for question in ("Hello!", "What is three plus four?", "One, four, two.", "Thank you very much."):
            turn = await caller.ask(await tts.recording(voice, question, OUTPUT_RATE), 15)
            answers[question] = turn.transcript
            assert turn.audio_ms > 300
    assert "Parley" in answers["Hello!"]
    assert "seven" in answers["What is three plus four?"]
    assert answers["One, four, two."] == "One four two."
    assert "welcome" in answers["Thank you very much."]


async def test_a_story_is_interrupted_and_the_next_question_answered(server, voice):
    async with running(server) as url, call(url) as caller:
        story = caller.mouth.say(await tts.recording(voice, "Tell me a story.", OUTPUT_RATE))
        asked = await caller.until(lambda: story.ended)
        began = await caller.until(lambda: caller.ear.first(asked))
        await caller.until(lambda: caller.ear.sounds[-1].time > began + 2 or None)
        turn = await caller.ask(await tts.recording(voice, "What is two plus two?", OUTPUT_RATE), 15)
        assert "four" in turn.transcript
        told = next(event["heard"] for _, event in caller.events if event["type"] == "parley.trace")
        statuses = [event["response"]["status"] for _, event in caller.events if event["type"] == "response.done"]
    assert statuses == ["cancelled", "completed"]
    assert 3 <= len(told.split()) <= 15


async def test_every_suggestion_is_understood_when_it_is_typed(server):
    async with running(server) as url:
        for words in server.suggestions:
            async with call(url) as caller, asyncio.timeout(20):
                await caller.until(lambda: caller.events or None)
                content = [{"type": "input_text", "text": words}]
                item = {"type": "message", "role": "user", "content": content}
                caller.send({"type": "conversation.item.create", "item": item})
                caller.send({"type": "response.create", "response": {"output_modalities": ["text"]}})
                done = await caller.until(
                    lambda: next((e for _, e in caller.events if e["type"] == "response.done"), None)
                )
                said = done["response"]["output"][0]["content"][0]["text"]
                assert said
                assert "not understand" not in said, words
