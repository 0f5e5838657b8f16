"""The official openai SDK's chat completions against a running server: typed and recorded questions, whole and streamed."""

import base64
import io
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile

from agent.conversation import Audio
from agent.engine.scripted import ScriptedEngine
from agent.simulation.sound import tone
from tests.serving import serving

openai = pytest.importorskip("openai", reason="the openai SDK is a development dependency")
from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: E402


def said(messages):
    """An answer that tells what was asked."""
    parts = [part for message in messages for part in message.content]
    seconds = sum(part.samples.size for part in parts if isinstance(part, Audio)) / 16_000
    return f"{' '.join(message.role for message in messages)}: {messages[-1].text} and {seconds:.1f} s of speech."


@asynccontextmanager
async def client(engine=None):
    async with serving(engine or ScriptedEngine(said, first_token=0, per_token=0)) as (_, url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
            yield sdk


def recording(seconds=1.5, rate=44_100):
    """A stereo file, as base64."""
    file = io.BytesIO()
    mono = np.interp(
        np.arange(round(seconds * rate)) / rate, np.arange(round(seconds * 16_000)) / 16_000, tone(seconds) / 32768
    )
    soundfile.write(file, np.stack([mono, mono], axis=1), rate, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()


def question(data=None, form="wav"):
    audio = {"type": "input_audio", "input_audio": {"data": recording() if data is None else data, "format": form}}
    return [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is said?"}, audio]},
    ]


ANSWER = "system user: What is said? and 1.5 s of speech."


async def test_a_recording_is_answered():
    async with client() as sdk:
        answer = await sdk.chat.completions.create(model="any", messages=question())
        ChatCompletion.model_validate_json(answer.model_dump_json(), strict=True)
        assert answer.choices[0].message.content == ANSWER
        assert answer.choices[0].finish_reason == "stop"


async def test_an_answer_is_streamed_as_it_is_made():
    async with client() as sdk:
        stream = await sdk.chat.completions.create(model="any", messages=question(), stream=True)
        chunks = [chunk async for chunk in stream]
        for chunk in chunks:
            ChatCompletionChunk.model_validate_json(chunk.model_dump_json(), strict=True)
        assert len(chunks) > 5
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


async def test_what_an_answer_took_is_told_and_limited():
    async with client() as sdk:
        answer = await sdk.chat.completions.create(model="any", messages=question(), max_completion_tokens=4)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (
            "system user: What is",
            "length",
        )
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5 + 10, 4, 19)
        assert (usage.prompt_tokens_details.audio_tokens, usage.prompt_tokens_details.cached_tokens) == (10, 0)
        options = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 4}
        stream = await sdk.chat.completions.create(model="any", messages=question(), **options)
        chunks = [chunk async for chunk in stream]
        for chunk in chunks:
            ChatCompletionChunk.model_validate_json(chunk.model_dump_json(), strict=True)
        assert chunks[-2].choices[0].finish_reason == "length"
        assert (chunks[-1].choices, chunks[-1].usage) == ([], usage)


async def test_text_alone_is_answered():
    async with client() as sdk:
        answer = await sdk.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello."}])
        assert answer.choices[0].message.content == "user: Hello. and 0.0 s of speech."


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"messages": question(data="?")}, "messages", "base64"),
        ({"messages": question(data=base64.b64encode(b"no sound").decode())}, "messages", "sound file"),
        ({"messages": question(form="opus")}, None, "wav"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "user"),
        ({"messages": [{"role": "user", "content": "x" * 65_537}]}, None, "65536"),
        ({"n": 2}, "n", "1"),
        ({"modalities": ["text", "audio"]}, None, "text"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "no functions are called here"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_cannot_be_taken_is_refused(fields, param, says):
    async with client() as sdk:
        with pytest.raises(openai.BadRequestError, match=says) as caught:
            await sdk.chat.completions.create(**{"model": "any", "messages": question(), **fields})
        assert param is None or caught.value.param == param


async def test_a_body_that_is_too_long_is_refused():
    async with client() as sdk:
        with pytest.raises(openai.APIStatusError, match="25165824") as caught:
            await sdk.chat.completions.create(model="any", messages=question(data="A" * 26_000_000))
        assert caught.value.status_code == 413


async def test_a_failure_of_the_engine_is_told():
    async with client(ScriptedEngine(["One two three."], first_token=0, per_token=0, fail_after=0)) as sdk:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError, match="scripted failure"):
                await sdk.chat.completions.create(model="any", messages=question(), stream=stream)


async def test_a_failure_in_the_middle_of_a_stream_is_told():
    async with client(ScriptedEngine(["One two three."], first_token=0, per_token=0, fail_after=2)) as sdk:
        stream = await sdk.chat.completions.create(model="any", messages=question(), stream=True)
        words = []

        async def listen():
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content)  # noqa: PERF401  the words before the failure count

        with pytest.raises(openai.APIError, match="scripted failure"):
            await listen()
        assert words == ["One", " two"]


async def test_the_key_is_wanted():
    async with serving(key="master") as (_, url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0) as sdk:
            with pytest.raises(openai.AuthenticationError):
                await sdk.chat.completions.create(model="any", messages=question())
