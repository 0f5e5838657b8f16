"""Real voices and engines in virtual time: what they say is theirs, when they say it is the script's."""

import asyncio
import threading

import numpy as np
import pytest

from agent.audio import Speech, Word
from agent.conversation import Message, Text
from agent.engine import EngineError, Prefill
from agent.simulation.blocking import BlockingEngine, BlockingVoice, Worker
from agent.simulation.loop import run
from agent.tts import TTSError

ASKED = (Message("1", "user", (Text("Hello?"),)),)


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.close()


class Threaded:
    """A voice and an engine that need a real event loop: they work on a thread of its executor."""

    name, rate = "threaded", 8000

    def __init__(self, fails=False):
        self.asked, self.threads, self.fails = [], set(), fails

    async def synthesize(self, text, speed=1.0):
        self.asked.append(text)
        yield await self._think(Speech(np.ones(80, np.int16), self.rate, (Word(80, len(text)),)))
        if self.fails:
            raise TTSError("no breath")

    async def reply(self, messages, options=None, usage=None):
        for word in ("It", " is", f" {messages[-1].text}"):
            yield await self._think(word)
        if self.fails:
            raise EngineError("no idea")

    async def prefill(self, messages, options=None, usage=None):
        return await self._think(Prefill(0.7))

    async def _think(self, thought):
        self.threads.add(threading.get_ident())
        return await asyncio.get_running_loop().run_in_executor(None, lambda: thought)


async def timed(items):
    loop = asyncio.get_running_loop()
    return [(round(loop.time(), 6), item) async for item in items]


def test_an_answer_comes_at_the_times_that_are_asked_for(worker):
    engine = BlockingEngine(Threaded(), worker, first_token=0.3, per_token=0.1, judging=0.0)
    assert run(timed(engine.reply(ASKED))) == [(0.3, "It"), (0.4, " is"), (0.5, " Hello?")]
    assert engine.name == "threaded"


def test_a_judgement_takes_the_time_that_is_asked_for(worker):
    engine = BlockingEngine(Threaded(), worker, first_token=0.0, per_token=0.0, judging=0.2)

    async def judged():
        prefill = await engine.prefill(ASKED)
        return prefill.end_of_turn, asyncio.get_running_loop().time()

    assert run(judged()) == (0.7, 0.2)


def test_a_text_is_made_once_and_said_each_time_after_the_time_that_is_asked_for(worker):
    real = Threaded()
    voice = BlockingVoice(real, worker, first_audio=0.15)

    async def twice():
        return [*await timed(voice.synthesize("Hello.")), *await timed(voice.synthesize("Hello."))]

    (first, one), (second, other) = run(twice())
    assert (first, second) == (0.15, 0.3)
    assert one is other
    assert one.words == (Word(80, 6),)
    assert real.asked == ["Hello."]
    assert (voice.name, voice.rate) == ("threaded", 8000)


def test_the_work_is_done_on_one_thread_that_is_not_ours(worker):
    real = Threaded()
    run(timed(BlockingVoice(real, worker, 0.0).synthesize("One.")))
    run(timed(BlockingEngine(real, worker, 0.0, 0.0, 0.0).reply(ASKED)))
    assert len(real.threads) == 1
    assert threading.get_ident() not in real.threads


def test_failures_are_those_of_the_real_ones(worker):
    with pytest.raises(EngineError, match="no idea"):
        run(timed(BlockingEngine(Threaded(fails=True), worker, 0.0, 0.0, 0.0).reply(ASKED)))
    with pytest.raises(TTSError, match="no breath"):
        run(timed(BlockingVoice(Threaded(fails=True), worker, 0.0).synthesize("One.")))
