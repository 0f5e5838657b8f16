"""The scripted engine: which answer, when, and how it fails."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from agent.conversation import Audio, Message, Text
from agent.engine import EngineError, Options, Usage
from agent.engine.scripted import ScriptedEngine
from agent.simulation.loop import run


def asked(count: int) -> list[Message]:
    """A conversation in which the caller spoke `count` times."""
    return [Message(str(index), "user", (Text("?"),)) for index in range(count)]


async def answer(engine: ScriptedEngine, messages: Sequence[Message]) -> str:
    return "".join([delta async for delta in engine.reply(messages)])


async def test_each_question_gets_the_next_text_cyclically() -> None:
    engine = ScriptedEngine(["One  two.\n", "three"], first_token=0, per_token=0)
    assert [await answer(engine, asked(count)) for count in (0, 1, 2, 3)] == ["One  two.\n"] * 2 + [
        "three",
        "One  two.\n",
    ]


async def test_a_function_answers_from_the_messages() -> None:
    engine = ScriptedEngine(lambda messages: f"You said {messages[-1].text}", first_token=0, per_token=0)
    assert [delta async for delta in engine.reply(asked(1))] == ["You", " said", " ?"]


@pytest.mark.parametrize("words", [0, 2, 9])
async def test_it_fails_after_so_many_words(words: int) -> None:
    heard = []

    async def listen() -> None:
        async for delta in ScriptedEngine(["a b c"], first_token=0, per_token=0, fail_after=words).reply(asked(1)):
            heard.append(delta)  # noqa: PERF401  # a comprehension would lose what came before the failure

    with pytest.raises(EngineError, match="scripted failure"):
        await listen()
    assert heard == ["a", " b", " c"][:words]


def test_words_come_exactly_on_time() -> None:
    async def times() -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        engine = ScriptedEngine(["a b c"], first_token=0.3, per_token=0.1)
        return [loop.time() - start async for _ in engine.reply(asked(1))]

    assert run(times()) == pytest.approx([0.3, 0.4, 0.5])


def test_what_is_counted():
    usage = Usage()
    engine = ScriptedEngine(["One two three."], first_token=0, per_token=0)

    async def reply():
        turn = Message("a", "user", (Text("Say it:"), Audio(np.zeros(16_000, np.int16))))
        return [delta async for delta in engine.reply([turn], Options(max_tokens=2), usage)]

    assert run(reply()) == ["One", " two"]
    assert usage == Usage(text=2, audio=7, output=2, complete=False)
