"""The in-process engine's shell: messages become a chat, the model's thread never blocks the loop, a cancelled answer stops."""

import asyncio
import os
import threading
from contextlib import aclosing

import numpy as np
import pytest
import torch

from agent.conversation import Audio, Message, Text
from agent.engine import EngineError, load
from agent.engine.ultravox import UltravoxEngine, as_chat
from models import CheckpointError, InputError
from models.inputs import Plan
from tests.models import checkpoints

SPEECH = np.arange(3, dtype=np.int16)


def message(role, *content):
    return Message("item", role, content)


class CountingModel:
    """Streams numbers; each waits for `go`, so that a test decides how far decoding gets."""

    window = 40

    def __init__(self, numbers=1000, error=None):
        self.decoded = 0
        self.chats = []
        self.closed = threading.Event()
        self.go = threading.Semaphore(0)
        self._numbers = numbers
        self._error = error

    def generate(self, chat, audios, max_new_tokens):
        self.chats.append((chat, audios))
        if len(self.chats) == 1:  # the warm-up
            return iter(["ready"])
        if self._error:
            raise self._error
        return self._stream()

    def prompt(self, chat):
        return "".join(message["content"] for message in chat)

    def plan(self, prompt, lengths):
        """One position a letter."""
        return Plan(list(map(ord, prompt)), [])

    def _stream(self):
        try:
            for number in range(self._numbers):
                self.go.acquire()
                self.decoded += 1
                yield f"{number} "
        finally:
            self.closed.set()


def test_a_conversation_as_a_chat():
    chat, audios = as_chat(
        [
            message("system", Text("Be kind.")),
            message("user", Audio(SPEECH)),
            message("assistant", Text("Hello.")),
            message("system", Text("Be brief.")),
            message("user", Text("This is <|audio|> typed: "), Audio(SPEECH)),
        ]
    )
    assert chat == [
        {"role": "system", "content": "Be kind.\n\nBe brief."},
        {"role": "user", "content": "<|audio|>"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "This is  typed: <|audio|>"},
    ]
    assert all(samples is SPEECH for samples in audios)
    assert len(audios) == 2


async def test_decoding_stops_within_one_token_of_a_cancellation():
    model = CountingModel()
    engine = UltravoxEngine(model, "counting", 1000)
    model.go.release(3)
    async with aclosing(engine.reply([message("user", Text("Count."))])) as deltas:
        heard = [await anext(deltas) for _ in range(3)]
    model.go.release(1)  # the token that was being decoded
    assert await asyncio.to_thread(model.closed.wait, 5)
    assert heard == ["0 ", "1 ", "2 "]
    assert model.decoded <= 4
    engine.close()


async def test_answers_queue_and_a_cancelled_request_never_starts():
    model = CountingModel(numbers=1)
    engine = UltravoxEngine(model, "counting", 1000)
    first = asyncio.ensure_future(_collect(engine, "first"))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(_collect(engine, "second"))
    third = asyncio.ensure_future(_collect(engine, "third"))
    await asyncio.sleep(0.01)
    second.cancel()
    model.go.release(2)
    assert await first == "0 "
    assert await third == "0 "
    assert [chat[0]["content"] for chat, _ in model.chats[1:]] == ["first", "third"]
    engine.close()


async def test_the_oldest_turns_are_forgotten_so_that_the_answer_has_room():
    model = CountingModel(numbers=0)
    engine = UltravoxEngine(model, "counting", 1000)
    turns = [message("user", Text("twelve chars")), message("assistant", Text("ten chars!"))] * 2
    async for _ in engine.reply([message("system", Text("Be kind.")), *turns, message("user", Text("newest"))]):
        pass
    chat, _ = model.chats[-1]
    assert [turn["content"] for turn in chat] == ["Be kind.", "newest"]
    assert len(model.prompt(chat)) <= 30
    engine.close()


async def _collect(engine, text):
    return "".join([delta async for delta in engine.reply([message("user", Text(text))])])


@pytest.mark.parametrize("error", [InputError("audio is empty"), RuntimeError("out of memory")])
async def test_what_the_model_raises_costs_the_turn(error):
    engine = UltravoxEngine(CountingModel(error=error), "failing", 10)
    for _ in range(2):
        with pytest.raises(EngineError, match=str(error)):
            await _collect(engine, "Hello")
    engine.close()


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load(str(tmp_path), "cpu", 10)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("small", "expected"), [(1e9, 1), (1e3, len(os.sched_getaffinity(0)))])
def test_a_small_model_gets_one_thread_and_a_large_one_every_core(tmp_path, monkeypatch, threads, small, expected):
    checkpoint, _ = checkpoints.write(tmp_path, "whole")
    monkeypatch.setattr("agent.engine.SMALL", small)
    torch.set_num_threads(3)
    load(str(checkpoint), "cpu", 3).close()
    assert torch.get_num_threads() == expected
