"""What OpenAI's paths do here: pages elsewhere, forms, secrets, older addresses, sidebands, and what is refused."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from agent.caller.peer import call
from agent.edge.channel import MAX_WATCHERS
from agent.edge.websocket import MAX_MESSAGE_BYTES
from tests.serving import serving
from tests.test_server import QUESTION, ended

APP = "https://app.example"


@asynccontextmanager
async def asking(**settings):
    """A running server, and a client of it."""
    async with serving(**settings) as (server, url), aiohttp.ClientSession(url) as http:
        yield server, http


async def error(response):
    return response.status, (await response.json())["error"]


# Pages elsewhere.


def preflight(http, origin):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    return http.options("/v1/realtime/calls", headers=headers)


async def test_a_page_elsewhere_may_ask_where_a_key_is_needed():
    async with asking(key="master") as (_, http):
        response = await preflight(http, APP)
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == APP
        assert response.headers["Access-Control-Allow-Headers"] == "authorization,content-type,x-openai-agents-sdk"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Vary"] == "Origin"
        answer = await http.get("/v1/models", headers={"Origin": APP, "Authorization": "Bearer master"})
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        refused = await http.get("/v1/models", headers={"Origin": APP})
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, APP)


async def test_without_a_key_only_pages_of_this_machine_may():
    async with asking() as (server, http):
        assert (await preflight(http, "http://localhost:3000")).status == 204
        assert (await preflight(http, APP)).status == 403
        # A form needs no preflight, and neither does a WebSocket: the server itself must look.
        form = aiohttp.FormData({"sdp": "v=0"}, default_to_multipart=True)
        refused = await http.post("/v1/realtime/calls", data=form, headers={"Origin": APP})
        assert refused.status == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect("/v1/realtime", origin=APP)
        assert server.calls == {}


async def test_the_pages_that_may_call_can_be_listed():
    async with asking(key="master", origins=[APP]) as (_, http):
        assert (await preflight(http, APP)).status == 204
        assert (await preflight(http, "https://other.example")).status == 403


# Calls by HTTP.


async def test_a_form_of_a_browser_holds_the_offer_and_the_session():
    async with asking() as (_, http):
        for form, param, says in (
            ({"sdp": "hello", "session": "{}"}, None, "SDP"),
            ({"session": "{}"}, None, "SDP"),
            ({"sdp": "hello", "session": "{"}, "session", "JSON"),
            ({"sdp": "hello", "session": "[]"}, "session", "object"),
            ({"sdp": "hello", "session": '{"audio":{"output":{"voice":7}}}'}, "session.audio.output.voice", "string"),
            ({"sdp": "hello", "session": '{"type":"transcription"}'}, "session.type", "realtime"),
        ):
            body = aiohttp.FormData(form, default_to_multipart=True)
            status, details = await error(await http.post("/v1/realtime/calls", data=body))
            assert (status, details["param"]) == (400, param)
            assert says in details["message"]


async def test_a_call_ends_by_its_address():
    async with asking() as (server, http), call(str(http._base_url)):
        [call_id] = server.calls
        assert (await http.post(f"/v1/realtime/calls/{call_id}/hangup")).status == 200
        await ended(server)
        status, details = await error(await http.post(f"/v1/realtime/calls/{call_id}/hangup"))
        assert (status, details["type"], details["code"]) == (404, "invalid_request_error", "not_found")


async def test_the_older_address_of_calls_answers_the_same():
    async with asking() as (_, http):
        headers = {"Content-Type": "application/sdp"}
        status, details = await error(await http.post("/v1/realtime?model=x", data="hello", headers=headers))
        assert (status, "SDP" in details["message"]) == (400, True)


async def test_a_full_server_says_when_to_try_again():
    async with asking(max_calls=1) as (server, http), http.ws_connect("/v1/realtime"):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503") as caught:
            await http.ws_connect("/v1/realtime")
        assert int(caught.value.headers["Retry-After"]) > 0
        assert len(server.calls) == 1


# Secrets.


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"expires_after":{"seconds":9}}', "expires_after.seconds"),
        ('{"expires_after":{"seconds":7201}}', "expires_after.seconds"),
        ('{"session":7}', "session"),
        ('{"session":{"instructions":7}}', "session.instructions"),
        ("[]", None),
        ("{", None),
    ],
)
async def test_a_wrong_request_for_a_secret_is_refused(body, param):
    async with asking() as (_, http):
        status, details = await error(await http.post("/v1/realtime/client_secrets", data=body))
        assert (status, details["param"]) == (400, param)


async def test_a_secret_may_be_asked_for_with_nothing():
    async with asking() as (_, http):
        made = await (await http.post("/v1/realtime/client_secrets")).json()
        assert made["value"].startswith("ek_")
        assert made["session"]["object"] == "realtime.session"


async def test_the_betas_token_route_makes_a_secret_too():
    async with asking(key="master") as (_, http):
        headers = {"Authorization": "Bearer master"}
        flat = {"model": "gpt-4o-realtime-preview", "voice": "verse", "instructions": "Sing."}
        made = await (await http.post("/v1/realtime/sessions", json=flat, headers=headers)).json()
        assert made["instructions"] == "Sing."
        secret = {"Authorization": f"Bearer {made['client_secret']['value']}"}
        async with http.ws_connect("/v1/realtime", headers=secret) as socket:
            created = await socket.receive_json()
            assert created["session"]["instructions"] == "Sing."
            assert created["session"]["audio"]["output"]["voice"] == "verse"


async def test_settings_of_a_secret_as_long_as_allowed_fit_into_the_header():
    async with asking() as (_, http):
        words = " ".join(str(number * number) for number in range(3000))
        made = await (await http.post("/v1/realtime/client_secrets", json={"session": {"instructions": words}})).json()
        assert len(made["value"]) > 8190
        async with http.ws_connect("/v1/realtime", headers={"Authorization": f"Bearer {made['value']}"}) as socket:
            assert (await socket.receive_json())["session"]["instructions"] == words


async def test_a_secret_does_not_show_what_other_calls_went_through():
    async with asking(key="master") as (_, http):
        made = await (await http.post("/v1/realtime/client_secrets", headers={"Authorization": "Bearer master"})).json()
        secret = {"Authorization": f"Bearer {made['value']}"}
        for path, status in (("/v1/models", 200), ("/v1/parley", 200), ("/traces", 403), ("/metrics", 403)):
            assert (await http.get(path, headers=secret)).status == status


# Sidebands.


async def until(socket, kind):
    async with asyncio.timeout(10):
        while (event := await socket.receive_json())["type"] != kind:
            pass
    return event


async def test_a_second_connection_controls_a_call():
    async with asking() as (server, http), call(str(http._base_url)) as caller:
        [call_id] = server.calls
        async with http.ws_connect(f"/v1/realtime?call_id={call_id}") as side:
            assert (await until(side, "session.created"))["session"]["id"] == call_id
            await side.send_json({"type": "session.update", "session": {"instructions": "Sing."}})
            assert (await until(side, "session.updated"))["session"]["instructions"] == "Sing."
            assert await caller.until(
                lambda: next((event for _, event in caller.events if event["type"] == "session.updated"), None)
            )
            await side.send_str("{")
            assert (await until(side, "error"))["error"]["code"] == "invalid_json"
            await caller.ask(QUESTION, 10)
            assert (await until(side, "response.done"))["response"]["status"] == "completed"
            assert not any(event["type"] == "error" for _, event in caller.events)
            await http.delete(f"/v1/realtime/calls/{call_id}")
            async with asyncio.timeout(5):
                while (message := await side.receive()).type == aiohttp.WSMsgType.TEXT:
                    pass
            assert message.data == 1000


async def test_a_call_goes_on_when_its_second_connection_ends():
    async with asking() as (server, http), call(str(http._base_url)) as caller:
        [call_id] = server.calls
        async with http.ws_connect(f"/v1/realtime?call_id={call_id}") as side:
            await until(side, "session.created")
        assert (await caller.ask(QUESTION, 10)).transcript == "Hello there."


async def test_what_cannot_be_controlled_is_refused():
    async with asking() as (server, http), call(str(http._base_url)):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await http.ws_connect("/v1/realtime?call_id=rtc_unknown")
        [call_id] = server.calls
        sides = [await http.ws_connect(f"/v1/realtime?call_id={call_id}") for _ in range(MAX_WATCHERS)]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await http.ws_connect(f"/v1/realtime?call_id={call_id}")
        for side in sides:
            await side.close()


# What is not here, and too much.


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("POST", "/v1/realtime/calls/rtc_1/accept", "SIP"),
        ("POST", "/v1/realtime/calls/rtc_1/refer", "SIP"),
        ("POST", "/v1/realtime/translations/client_secrets", "translation"),
        ("POST", "/v1/realtime/transcription_sessions", "transcription"),
        ("GET", "/v1/realtime?intent=transcription", "transcription"),
    ],
)
async def test_what_is_not_here_is_refused_clearly(method, path, says):
    async with asking() as (_, http):
        status, details = await error(await http.request(method, path))
        assert (status, details["code"]) == (400, "unsupported")
        assert says in details["message"]


async def test_every_error_is_json():
    async with asking() as (_, http):
        for method, path, status in (
            ("GET", "/v1/nothing", 404),
            ("PUT", "/v1/models", 404),
            ("PUT", "/traces", 405),
            ("GET", "/v1/realtime", 400),
            ("POST", "/v1/realtime/calls", 415),
            ("GET", "/v1/models", 200),
        ):
            response = await http.request(method, path)
            assert response.status == status
            assert response.content_type == "application/json"


async def test_a_key_that_is_no_text_is_refused():
    async with serving(key="master") as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        for token in (b"\xff", b"ek_\xff.\xff"):
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
            assert b" 401 " in await reader.readline()
            await reader.readuntil(b"}}")
        writer.close()


async def test_a_message_beyond_all_limits_ends_its_call_alone():
    async with asking() as (server, http), http.ws_connect("/v1/realtime") as other:
        async with http.ws_connect("/v1/realtime") as socket:
            await until(socket, "session.created")
            # Closed with code 1009, which a client that is still sending may not come to read.
            with suppress(ConnectionError):
                await socket.send_str(" " * (MAX_MESSAGE_BYTES + 1))
            assert (await socket.receive()).type != aiohttp.WSMsgType.TEXT
        async with asyncio.timeout(5):
            while len(server.calls) > 1:
                await asyncio.sleep(0.01)
        await until(other, "session.created")
        await other.send_json({"type": "session.update", "session": {}})
        await until(other, "session.updated")


async def test_ten_thousand_broken_events_are_answered_and_the_call_goes_on():
    broken = [
        "{",
        "[]",
        '{"type":7}',
        '{"type":"input_audio_buffer.append","audio":"?"}',
        json.dumps({"type": "x" * 1000}),
    ]

    async def flood(socket):
        for number in range(10_000):
            await socket.send_str(broken[number % len(broken)])
        await socket.send_json({"type": "session.update", "session": {}})

    async with asking() as (_, http), http.ws_connect("/v1/realtime") as socket:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood(socket))
            errors = 0
            while (event := await socket.receive_json())["type"] != "session.updated":
                errors += event["type"] == "error"
        assert errors == 10_000


# Limits of a key.


async def test_nobody_else_controls_a_call_of_a_key():
    """Who knows a call's id may neither join nor end it, nor take its media, unless by the key it was begun with."""
    async with asking(key="master", keys={"bob": "b-key"}) as (server, http):
        async with call(str(http._base_url), key="master"):
            [call_id] = server.calls
            bob = {"Authorization": "Bearer b-key"}
            address = f"/v1/realtime/calls/{call_id}"
            assert (await http.post(f"{address}/hangup", headers=bob)).status == 404
            assert (await http.delete(address, headers=bob)).status == 404
            with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
                await http.ws_connect(f"/v1/realtime?call_id={call_id}", headers=bob)
            offer = {"sdp": "v=0", "type": "offer", "pc_id": call_id, "restart_pc": True}
            assert (await http.post("/api/offer", json=offer, headers=bob)).status == 404
            found = {"pc_id": call_id, "candidates": []}
            assert (await http.patch("/api/offer", json=found, headers=bob)).status == 404
            assert call_id in server.calls
            master = {"Authorization": "Bearer master"}
            secret = (await (await http.post("/v1/realtime/client_secrets", headers=master)).json())["value"]
            for own in (master, {"Authorization": f"Bearer {secret}"}):
                async with http.ws_connect(f"/v1/realtime?call_id={call_id}", headers=own) as side:
                    assert (await until(side, "session.created"))["session"]["id"] == call_id
            assert (await http.patch("/api/offer", json=found, headers=master)).status == 200
            assert (await http.post(f"{address}/hangup", headers=master)).status == 200
        await ended(server)


async def test_a_key_that_asks_too_often_is_told_when_to_try_again():
    async with asking(key="master", keys={"bob": "b-key"}, key_requests=2) as (_, http):
        headers = {"Authorization": "Bearer master"}
        for _ in range(2):
            assert (await http.post("/v1/realtime/client_secrets", headers=headers)).status == 200
        refused = await http.post("/v1/realtime/client_secrets", headers=headers)
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert (await error(refused))[1]["code"] == "rate_limit_exceeded"
        assert (await http.get("/v1/models", headers=headers)).status == 200
        others = {"Authorization": "Bearer b-key"}
        assert (await http.post("/v1/realtime/client_secrets", headers=others)).status == 200


async def test_calls_of_a_key_and_of_its_secrets_are_limited_together():
    async with asking(key="master", keys={"bob": "b-key"}, key_calls=1) as (server, http):
        headers = {"Authorization": "Bearer master"}
        secret = (await (await http.post("/v1/realtime/client_secrets", headers=headers)).json())["value"]
        async with http.ws_connect("/v1/realtime", headers=headers):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
                await http.ws_connect("/v1/realtime", headers={"Authorization": f"Bearer {secret}"})
            async with http.ws_connect("/v1/realtime", headers={"Authorization": "Bearer b-key"}):
                assert len(server.calls) == 2
        await ended(server)
        async with http.ws_connect("/v1/realtime", headers={"Authorization": f"Bearer {secret}"}) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
