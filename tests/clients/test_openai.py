"""The official openai SDK, unmodified, against a running server; every event it is sent is held against the SDK's own models."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from pydantic import Field, TypeAdapter, ValidationError

from agent import g711, tts, wav
from agent.audio import Resampler, dbfs
from agent.edge.channel import LABEL
from agent.edge.patches import offer_addresses
from agent.engine.scripted import ScriptedEngine
from agent.realtime.tools import FunctionTool
from agent.simulation.sound import tone
from agent.tools import Tool, Toolbox
from tests.clients.conftest import gone
from tests.serving import serving

openai = pytest.importorskip("openai", reason="the openai SDK is a development dependency")
from openai.types.realtime import RealtimeServerEvent  # noqa: E402
from openai.types.realtime.client_secret_create_response import ClientSecretCreateResponse  # noqa: E402

SERVER_EVENT = TypeAdapter(Annotated[RealtimeServerEvent, Field(discriminator="type")])

ANSWER = ScriptedEngine(["One two three four five six seven eight."], first_token=0.01, per_token=0)


class Talk:
    """One connection of the SDK: what is said goes in, every event is checked and kept."""

    def __init__(self, connection):
        self.connection = connection
        self.events = []

    async def next(self):
        async with asyncio.timeout(10):
            text = await self.connection.recv_bytes()
        event = SERVER_EVENT.validate_json(text, strict=True)
        self.events.append(event)
        return event

    async def until(self, kind):
        """The next event of a type; what comes before it is kept."""
        while (event := await self.next()).type != kind:
            assert event.type != "error", event
        return event

    async def say(self, samples, law=None):
        """Append samples at the format's rate in pieces of 80 ms, as fast as they go."""
        data = g711.encode(samples, law) if law else samples.astype("<i2").tobytes()
        piece = 640 if law else 3840
        for at in range(0, len(data), piece):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(data[at : at + piece]).decode())

    async def ask(self, text):
        """Type a question; the item that answers it."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.connection.conversation.item.create(item=item)
        await self.connection.response.create()
        return (await self.until("response.done")).response.output[0]

    def types(self):
        """What came, runs of deltas as one."""
        kinds = [event.type for event in self.events]
        return [
            kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before or "delta" not in kind
        ]

    def audio(self, law=None):
        data = b"".join(base64.b64decode(e.delta) for e in self.events if e.type == "response.output_audio.delta")
        return g711.decode(data, law) if law else np.frombuffer(data, "<i2")


@asynccontextmanager
async def talking(url, key="none", **options):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        async with client.realtime.connect(model="gpt-realtime", **options) as connection:
            yield Talk(connection)


def loudness(samples):
    """Of the first second in steps of 10 ms."""
    return np.abs(samples[:24_000].astype(float)).reshape(100, 240).mean(axis=1)


def question(rate=24_000):
    """Half a second of speech between silences."""
    quiet = np.zeros(round(0.8 * rate), np.int16)
    return np.concatenate([quiet[: rate // 5], Resampler(16_000, rate)(tone(0.5), last=True), quiet])


def test_the_models_of_the_sdk_refuse_what_is_not_an_event():
    for event in (
        '{"type":"response.done","event_id":"e"}',
        '{"type":"no.such.event","event_id":"e"}',
        '{"type":"error"}',
    ):
        with pytest.raises(ValidationError):
            SERVER_EVENT.validate_json(event, strict=True)


async def test_a_spoken_turn():
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        assert (await talk.next()).type == "session.created"
        await talk.say(question())
        done = await talk.until("response.done")
        types = talk.types()
        deltas = {"response.output_audio_transcript.delta", "response.output_audio.delta"}
        assert [kind for kind in types if kind not in deltas] == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        assert deltas <= set(types)
        assert max(types.index(kind) for kind in deltas) < types.index("response.output_audio.done")
        assert done.response.status == "completed"
        assert done.response.output[0].content[0].transcript == "One two three four five six seven eight."
        assert talk.audio().size == 8 * 6000
        assert dbfs(talk.audio()) == pytest.approx(dbfs(tone(1)), abs=0.1)
        started, stopped = talk.events[1], talk.events[2]
        assert (started.audio_start_ms, stopped.audio_end_ms) == (0, pytest.approx(1200, abs=30))


async def test_the_demo_checkpoint_answers_typed_and_spoken_questions_and_is_interrupted(demo, speech):
    async with talking(demo) as talk:
        tools = [{"type": "function", "name": "get_time", "description": "Tell the time.", "parameters": {}}]
        await talk.connection.session.update(session={"type": "realtime", "tools": tools})
        typed = await talk.ask("What is two plus two?")
        assert "four" in typed.content[0].transcript
        said = await tts.recording(tts.load("en-us"), typed.content[0].transcript, 24_000)
        assert np.corrcoef(loudness(said), loudness(talk.audio()))[0, 1] > 0.9, "its words are heard"
        await talk.say(np.concatenate([wav.read(speech / "story.wav", 24_000), np.zeros(24_000, np.int16)]))
        story = await talk.until("response.output_audio.delta")
        await talk.say(np.concatenate([wav.read(speech / "sum.wav", 24_000), np.zeros(24_000, np.int16)]))
        items = talk.connection.conversation.item
        await items.truncate(item_id=story.item_id, content_index=0, audio_end_ms=300)
        assert (await talk.until("conversation.item.truncated")).audio_end_ms == 300
        while (
            not (done := await talk.until("response.done")).response.output[0].content[0].transcript.startswith("Three")
        ):
            pass
        assert "seven" in done.response.output[0].content[0].transcript
        call = await talk.ask("What time is it?")
        assert (call.name, json.loads(call.arguments)) == ("get_time", {"city": "Paris"})
        await items.create(item={"type": "function_call_output", "call_id": call.call_id, "output": "noon"})
        await talk.connection.response.create()
        done = await talk.until("response.done")
        assert done.response.output[0].content[0].transcript == "It is noon."
    await gone(demo)


async def test_a_burst_of_speech_and_silence_is_answered_without_waiting_for_it():
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        async with asyncio.timeout(4):
            await talk.say(np.concatenate([np.zeros(24_000 * 20, np.int16), question()]))
            await talk.until("response.done")
        assert talk.events[1].audio_start_ms == pytest.approx(19_900, abs=30)


async def test_a_typed_turn():
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        item = {"id": "mine", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
        await talk.connection.conversation.item.create(item=item)
        added = await talk.until("conversation.item.added")
        assert (added.item.id, added.previous_item_id) == ("mine", None)
        await talk.connection.response.create()
        done = await talk.until("response.done")
        assert done.response.status == "completed"
        assert talk.audio().size


def caller(messages):
    """A model that calls a function, and says its result."""
    result = messages[-1].content[-1]
    return (
        result.output
        if messages[-1].role == "tool"
        else 'Let me see. {"name": "weather", "parameters": {"place": "Bern"}}'
    )


WEATHER = {"type": "function", "name": "weather", "description": "Tell the weather", "parameters": {"type": "object"}}


async def test_a_function_of_the_client_is_called_and_its_result_is_said():
    engine = ScriptedEngine(caller, first_token=0.01, per_token=0)
    async with serving(engine) as (_, url), talking(url) as talk:
        await talk.connection.session.update(session={"type": "realtime", "tools": [WEATHER]})
        updated = await talk.until("session.updated")
        assert updated.session.tools[0].name == "weather"
        await talk.say(question())
        done = await talk.until("response.done")
        message, call = done.response.output
        assert (message.type, call.type, call.name, call.arguments) == (
            "message",
            "function_call",
            "weather",
            '{"place": "Bern"}',
        )
        assert call == next(
            event.item for event in talk.events if event.type == "conversation.item.done" and event.item.id == call.id
        )
        item = {"type": "function_call_output", "call_id": call.call_id, "output": "It is grey."}
        await talk.connection.conversation.item.create(item=item)
        await talk.connection.response.create()
        done = await talk.until("response.done")
        assert done.response.output[0].content[0].transcript == "It is grey."


async def test_a_function_of_the_server_is_answered_without_the_client():
    async def weather(arguments):
        return f"It is grey in {arguments['place']}."

    toolbox = Toolbox({"weather": Tool(FunctionTool(name="weather"), weather)})
    engine = ScriptedEngine(caller, first_token=0.01, per_token=0)
    async with serving(engine, toolbox=toolbox) as (_, url), talking(url) as talk:
        await talk.say(question())
        done = await talk.until("response.done")
        said = [message.content[0].transcript for message in done.response.output]
        assert said == ["Let me see. ", "It is grey in Bern."]
        deltas = [event for event in talk.events if event.type == "response.output_audio.delta"]
        assert {(event.output_index, event.item_id) for event in deltas} == {
            (index, message.id) for index, message in enumerate(done.response.output)
        }
        last = done.response.output[1].id
        await talk.connection.conversation.item.truncate(item_id=last, content_index=0, audio_end_ms=500)
        truncated = await talk.until("conversation.item.truncated")
        assert truncated.audio_end_ms == 500
        await talk.connection.conversation.item.retrieve(item_id=last)
        kept = await talk.until("conversation.item.retrieved")
        assert kept.item.content[0].transcript == "It is"


async def test_push_to_talk():
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        await talk.connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        await talk.until("session.updated")
        await talk.say(question())
        await talk.connection.input_audio_buffer.commit()
        await talk.connection.response.create()
        await talk.until("response.done")
        assert "input_audio_buffer.speech_started" not in talk.types()


async def test_the_client_interrupts_and_says_how_much_it_played():
    heard = []

    def answer(messages):
        heard.append([message.text for message in messages])
        return "One two three four five six seven eight."

    async with serving(ScriptedEngine(answer, first_token=0.01, per_token=0)) as (_, url), talking(url) as talk:
        await talk.say(question())
        done = await talk.until("response.done")
        await talk.say(question()[: 24_000 * 6 // 10])
        await talk.until("input_audio_buffer.speech_started")
        # Each word lasts 250 ms: two and a half were played.
        item = done.response.output[0].id
        await talk.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=625)
        truncated = await talk.until("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (item, 625)
        await talk.say(np.zeros(24_000, np.int16))
        await talk.until("response.done")
        assert heard[-1][2] == "One two—", "the model is told that it was interrupted"
        await talk.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=999_999)
        assert (await talk.until("conversation.item.truncated")).audio_end_ms == 2000
        assert not [kind for kind in talk.types() if kind.startswith("output_audio_buffer")]


async def test_items_are_retrieved_as_they_are_now_and_deleted():
    asked = []

    def answer(messages):
        asked.append([message.text for message in messages])
        return "One two three four."

    async with serving(ScriptedEngine(answer, first_token=0.01, per_token=0)) as (_, url), talking(url) as talk:
        items = talk.connection.conversation.item
        for role, kind in (("system", "input_text"), ("user", "input_text"), ("assistant", "output_text")):
            content = [{"type": kind, "text": f"From {role}."}]
            await items.create(item={"id": role, "type": "message", "role": role, "content": content})
            await items.retrieve(item_id=role)
            item = (await talk.until("conversation.item.retrieved")).item
            assert (item.id, item.role, item.content[0].type, item.content[0].text) == (
                role,
                role,
                kind,
                f"From {role}.",
            )
        await talk.say(question())
        done = await talk.until("response.done")
        spoken = done.response.output[0].id
        await items.truncate(item_id=spoken, content_index=0, audio_end_ms=600)
        await items.retrieve(item_id=spoken)
        item = (await talk.until("conversation.item.retrieved")).item
        assert (item.status, item.content[0].type, item.content[0].transcript) == (
            "incomplete",
            "output_audio",
            "One two",
        )
        said = next(event.item for event in talk.events if event.type == "conversation.item.added" and event.item.content
                    and event.item.content[0].type == "input_audio")  # fmt: skip
        await items.retrieve(item_id=said.id)
        assert (await talk.until("conversation.item.retrieved")).item == said
        await items.delete(item_id="assistant")
        assert (await talk.until("conversation.item.deleted")).item_id == "assistant"
        await talk.connection.response.create()
        await talk.until("response.done")
        assert "From assistant." in asked[0]
        assert "From assistant." not in asked[1]
        for verb in ("retrieve", "delete"):
            await getattr(items, verb)(item_id="assistant", event_id="mine")
            error = (await talk.next()).error
            assert (error.code, error.event_id) == (f"item_{verb}_invalid_item_id", "mine")


async def test_speech_stops_a_response_that_is_being_made():
    engine = ScriptedEngine(["One two three four five six seven eight."] * 2, first_token=0.01, per_token=0.2)
    async with serving(engine) as (_, url), talking(url) as talk:
        await talk.say(question())
        await talk.until("response.output_audio.delta")
        await talk.say(question()[: 24_000 * 6 // 10])
        done = await talk.until("response.done")
        assert (done.response.status, done.response.status_details.reason) == ("cancelled", "turn_detected")
        assert "conversation.item.truncated" not in talk.types()


async def test_the_client_cancels():
    engine = ScriptedEngine(["One two three four five six seven eight."], first_token=0.01, per_token=0.2)
    async with serving(engine) as (_, url), talking(url) as talk:
        await talk.connection.response.create()
        await talk.until("response.created")
        await talk.connection.response.cancel()
        done = await talk.until("response.done")
        assert (done.response.status, done.response.status_details.reason) == ("cancelled", "client_cancelled")
        await talk.connection.response.cancel()
        while (error := await talk.next()).type != "error":
            pass
        assert error.error.code == "response_cancel_not_active"


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
async def test_telephone_audio(law):
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        audio = {"input": {"format": {"type": law}}, "output": {"format": {"type": law}}}
        await talk.connection.session.update(session={"type": "realtime", "audio": audio})
        updated = await talk.until("session.updated")
        assert (updated.session.audio.input.format.type, updated.session.audio.output.format.type) == (law, law)
        await talk.say(question(8000), law)
        await talk.until("response.done")
        assert talk.audio(law).size == 8 * 2000
        assert dbfs(talk.audio(law)) == pytest.approx(dbfs(tone(1)), abs=0.3)


async def test_what_is_broken_is_answered_and_the_call_goes_on():
    async with serving(ANSWER) as (_, url), talking(url) as talk:
        await talk.until("session.created")
        for event, code in (
            ({"type": "no.such.event", "event_id": "e1"}, "invalid_value"),
            (
                {
                    "type": "conversation.item.truncate",
                    "item_id": "?",
                    "content_index": 0,
                    "audio_end_ms": 0,
                    "event_id": "e1",
                },
                "item_truncate_invalid_item_id",
            ),
            (
                {
                    "type": "session.update",
                    "session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}},
                    "event_id": "e1",
                },
                "invalid_value",
            ),
            ({"type": "input_audio_buffer.commit", "event_id": "e1"}, "input_audio_buffer_commit_empty"),
        ):
            await talk.connection.send(event)
            error = await talk.next()
            assert (error.type, error.error.code, error.error.event_id) == ("error", code, "e1")
        await talk.say(question())
        await talk.until("response.done")


async def test_a_call_by_http_with_a_session():
    async with serving(ANSWER) as (server, url), openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        events = asyncio.Queue()
        channel = connection.createDataChannel(LABEL)
        channel.on("message", events.put_nowait)
        connection.addTransceiver("audio")
        with offer_addresses(["127.0.0.1"]):
            await connection.setLocalDescription(await connection.createOffer())
        sdp = connection.localDescription.sdp
        try:
            settings = {"type": "realtime", "instructions": "Sing.", "audio": {"input": {"turn_detection": None}}}
            response = await client.realtime.calls.with_raw_response.create(sdp=sdp, session=settings)
            answer = response.parse().text
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            created = SERVER_EVENT.validate_json(await asyncio.wait_for(events.get(), 10), strict=True)
            assert (created.type, created.session.instructions) == ("session.created", "Sing.")
            call_id = response.headers["Location"].rsplit("/", 1)[1]
            assert list(server.calls) == [call_id]
            await client.realtime.calls.hangup(call_id)
            async with asyncio.timeout(5):
                while server.calls:
                    await asyncio.sleep(0.01)
            with pytest.raises(openai.NotFoundError, match="no such call"):
                await client.realtime.calls.hangup(call_id)
        finally:
            await connection.close()


async def test_an_offer_that_is_none_is_refused_as_the_sdk_expects():
    async with serving() as (_, url), openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        with pytest.raises(openai.BadRequestError, match="SDP"):
            await client.realtime.calls.create(sdp="hello")
        with pytest.raises(openai.BadRequestError) as caught:
            await client.realtime.calls.create(sdp="v=0", session={"type": "realtime", "instructions": 7})
        assert caught.value.body["param"] == "session.instructions"


async def test_a_client_secret_opens_a_call_with_its_settings():
    async with serving(ANSWER, key="master") as (_, url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="master") as client:
            secret = await client.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 60},
                session={"type": "realtime", "instructions": "Sing.", "audio": {"output": {"voice": "alloy"}}},
            )
        ClientSecretCreateResponse.model_validate_json(secret.model_dump_json(), strict=True)
        assert secret.value.startswith("ek_")
        assert secret.session.instructions == "Sing."
        async with talking(url, secret.value) as talk:
            created = await talk.next()
            assert (created.session.instructions, created.session.audio.output.voice) == ("Sing.", "alloy")
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=secret.value, max_retries=0) as client:
            with pytest.raises(openai.PermissionDeniedError, match="nothing else"):
                await client.realtime.client_secrets.create()
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.realtime.client_secrets.create()
            assert caught.value.code == "invalid_api_key"


async def test_a_browser_opens_a_socket_with_a_subprotocol():
    async with serving(ANSWER, key="master") as (_, url), aiohttp.ClientSession() as http:
        protocols = ("realtime", "openai-insecure-api-key.master", "openai-agents-sdk.0.20.0")
        async with http.ws_connect(
            f"{url}/v1/realtime?model=x", protocols=protocols, origin="https://app.example"
        ) as ws:
            assert ws.protocol == "realtime"
            assert json.loads((await ws.receive()).data)["type"] == "session.created"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await http.ws_connect(f"{url}/v1/realtime", protocols=("realtime", "openai-insecure-api-key.wrong"))


async def test_the_models_are_listed():
    async with serving(ANSWER) as (_, url), openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        [model] = [model async for model in client.models.list()]
        assert model.id == ANSWER.name
        assert (await client.models.retrieve(model.id)).owned_by == "parley"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-realtime")
