"""What each path does: calls begin and end here, secrets are made, traces, models and pages are served.

The shapes are OpenAI's where the path is. Takes requests that are checked (`keys`), gives calls to the server.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from aiortc import RTCIceServer
from pydantic import BaseModel, Field, ValidationError

from agent.completions import complete
from agent.config import Settings
from agent.edge.sideband import control
from agent.edge.webrtc import NoPortError, OfferError, Reach, WebRTCEdge, answer
from agent.edge.websocket import CLOSE_SECONDS, MAX_MESSAGE_BYTES, PING_SECONDS, WebSocketEdge
from agent.keys import Keys
from agent.metrics import exposition
from agent.middleware import Handler, add_headers, errors_as_json, preflight
from agent.objects import EventError, SessionObject, refusal
from agent.reply import Stages

MAX_BODY_BYTES = 512 * 1024
"""A session with long instructions has 100 kB, an offer 3 kB."""

WEB = Path(__file__).resolve().parent.parent / "web"


class Calls(Protocol):
    """The server, as the routes need it."""

    settings: Settings
    stages: Stages
    suggestions: tuple[str, ...]
    ended: dict[str, float]

    @property
    def calls(self) -> Mapping[str, WebRTCEdge | WebSocketEdge]:
        """Calls in progress, by id."""

    def room(self) -> AbstractContextManager[None]:
        """Keep room for a call that is about to begin. Raises HTTPServiceUnavailable when there is none."""

    def session(self, kind: str, *changes: dict[str, Any]) -> SessionObject:
        """The session that a call begins with, as the settings say, with a client's changes. Raises EventError."""

    def begin(self, edge: WebRTCEdge | WebSocketEdge, session: SessionObject) -> None:
        """Serve a call, in a task of its own."""


def application(server: Calls) -> web.Application:
    """All routes, with what holds for each of them."""
    keys = Keys(server.settings.key, server.settings.origins)
    routes = Routes(server, keys)
    app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(add_headers(keys))
    app.add_routes(
        [
            web.options("/v1/{path:.*}", preflight(keys)),
            web.post("/v1/realtime/calls", routes.start_call),
            web.post("/v1/realtime", routes.start_call),  # the beta's address
            web.delete("/v1/realtime/calls/{id}", partial(routes.end_call, status=204)),
            web.post("/v1/realtime/calls/{id}/hangup", partial(routes.end_call, status=200)),
            web.post("/v1/realtime/calls/{id}/{verb:accept|reject|refer}", _refused("SIP calls")),
            web.get("/v1/realtime", routes.connect),
            web.get("/v1/realtime/translations", _refused("translation sessions")),
            web.post("/v1/realtime/translations/client_secrets", _refused("translation sessions")),
            web.post("/v1/realtime/transcription_sessions", _refused("transcription sessions")),
            web.post("/v1/realtime/client_secrets", routes.make_secret),
            web.post("/v1/realtime/sessions", routes.make_beta_session),
            web.post("/v1/chat/completions", routes.complete),
            web.get("/v1/models", routes.list_models),
            web.get("/v1/models/{id:.+}", routes.get_model),
            web.get("/v1/parley", routes.describe),
            web.route("*", "/v1/{path:.*}", _nothing),
            web.get("/traces", routes.get_traces),
            web.get("/metrics", routes.get_metrics),
            web.get("/", _index),
            web.static("/", WEB),
        ]
    )
    return app


class ExpiresAfter(BaseModel, frozen=True):
    """When a secret ends."""

    seconds: int = Field(default=600, ge=10, le=7200)


class SecretRequest(BaseModel, frozen=True):
    """The body of `POST /v1/realtime/client_secrets`."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: dict[str, Any] = {}


class Routes:
    """The handlers; each checks who asks."""

    def __init__(self, server: Calls, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    async def start_call(self, request: web.Request) -> web.Response:
        """SDP offer in, alone or in a form with the session's settings; SDP answer out, and where to hang up."""
        grant = self._keys.check(request)
        offer, changes = await _offer(request)
        session = self._server.session("rtc", grant.session, changes)
        settings = self._server.settings
        with self._server.room():
            servers = [RTCIceServer(**server) for server in self._ice_servers()]
            announced = str(settings.announced_address) if settings.announced_address else None
            reach = Reach(servers, settings.host_candidates, settings.media_port_range, announced)
            try:
                edge, sdp = await answer(offer, reach)
            except NoPortError as error:
                raise web.HTTPServiceUnavailable(text=str(error)) from None
            except OfferError as error:
                raise web.HTTPBadRequest(text=str(error)) from None
            self._server.begin(edge, session)
        headers = {"Location": f"/v1/realtime/calls/{session.id}"}
        return web.Response(status=201, text=sdp, content_type="application/sdp", headers=headers)

    async def end_call(self, request: web.Request, *, status: int) -> web.Response:
        """Hang up."""
        self._keys.check(request)
        edge = self._server.calls.get(request.match_info["id"])
        if edge is None:
            raise web.HTTPNotFound(text="There is no such call; it may have ended.")
        await edge.close()
        return web.Response(status=status)

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """A call over a WebSocket, or the control of one over WebRTC (`?call_id=`), to its end."""
        grant = self._keys.check(request)
        if request.query.get("intent", "realtime") != "realtime":
            raise _none_of("transcription sessions")
        socket = web.WebSocketResponse(
            protocols=("realtime",),
            heartbeat=PING_SECONDS,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=CLOSE_SECONDS,
            compress=False,  # speech as base64 costs more time to compress than it saves
        )
        if "call_id" in request.query:
            call = self._server.calls.get(request.query["call_id"])
            if not isinstance(call, WebRTCEdge):
                raise web.HTTPNotFound(text="There is no such call over WebRTC; it may have ended.")
            if call.channel.full:
                raise web.HTTPServiceUnavailable(text="This call is controlled by too many connections.")
            await socket.prepare(request)
            await control(socket, call.channel)
            return socket
        session = self._server.session("sess", grant.session)
        with self._server.room():
            await socket.prepare(request)
            transport = request.transport
            edge = WebSocketEdge(socket, lambda: transport.abort() if transport else None)
            self._server.begin(edge, session)
        await edge.run()
        return socket

    async def make_secret(self, request: web.Request) -> web.Response:
        """A secret for a browser, bound to session settings; they are checked now."""
        self._may_mint(request)
        try:
            wanted = SecretRequest.model_validate(await _json(request))
        except ValidationError as error:
            raise refusal(error) from None
        session = self._server.session("sess", wanted.session)
        value, end = self._keys.mint(wanted.session, wanted.expires_after.seconds)
        return web.json_response({"value": value, "expires_at": end, "session": session.model_dump(mode="json")})

    async def make_beta_session(self, request: web.Request) -> web.Response:
        """The beta's way to a secret, which older token servers use: flat settings, and the secret inside the session."""
        self._may_mint(request)
        flat = await _json(request)
        changes: dict[str, Any] = {name: flat[name] for name in ("instructions",) if name in flat}
        if isinstance(flat.get("voice"), str):
            changes["audio"] = {"output": {"voice": flat["voice"]}}
        session = self._server.session("sess", changes)
        value, end = self._keys.mint(changes, ExpiresAfter().seconds)
        secret = {"client_secret": {"value": value, "expires_at": end}}
        return web.json_response({**session.model_dump(mode="json"), **secret})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Chat completions with recorded speech; each takes the room of a call."""
        self._keys.check(request)
        with self._server.room():
            return await complete(request, self._server.stages.engine)

    async def list_models(self, request: web.Request) -> web.Response:
        """The model that is loaded."""
        self._keys.check(request)
        return web.json_response({"object": "list", "data": [self._model()]})

    async def get_model(self, request: web.Request) -> web.Response:
        """The model that is loaded, by its name."""
        self._keys.check(request)
        if request.match_info["id"] != self._server.stages.engine.name:
            raise web.HTTPNotFound(text=f"The model of this server is {self._server.stages.engine.name!r}.")
        return web.json_response(self._model())

    async def get_traces(self, request: web.Request) -> web.Response:
        """The last replies, oldest first, with their marks in milliseconds."""
        self._keys.check(request)
        return web.json_response(
            [
                {"call": t.call, "response": t.response, "status": t.status, "marks": t.milliseconds()}
                for t in self._server.stages.traces
            ]
        )

    async def get_metrics(self, request: web.Request) -> web.Response:
        """What the calls went through, for Prometheus."""
        self._keys.check(request)
        live = [edge.media for edge in self._server.calls.values() if isinstance(edge, WebRTCEdge)]
        text = exposition(live, self._server.ended, len(self._server.calls))
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def describe(self, request: web.Request) -> web.Response:
        """What the page needs before a call; the ICE servers' credentials are for those who may call."""
        about: dict[str, object] = {
            "model": self._server.stages.engine.name,
            "suggestions": self._server.suggestions,
        }
        with contextlib.suppress(web.HTTPUnauthorized):
            self._keys.check(request)
            about["ice_servers"] = self._ice_servers()
        return web.json_response(about)

    def _ice_servers(self) -> list[dict[str, str]]:
        now = time.time()  # noqa: TID251  the end of a credential is a date in the world
        return [server.for_client(now) for server in self._server.settings.ice_servers]

    def _may_mint(self, request: web.Request) -> None:
        if not self._keys.check(request).may_mint:
            raise web.HTTPForbidden(text="An ephemeral secret cannot make another; send the server's key.")

    def _model(self) -> dict[str, object]:
        name = self._server.stages.engine.name
        return {"id": name, "object": "model", "created": 0, "owned_by": "parley"}


async def _offer(request: web.Request) -> tuple[str, dict[str, Any]]:
    """The SDP offer of a request, and the session settings beside it. Raises HTTPException or EventError."""
    match request.content_type:
        case "application/sdp":
            return (await request.read()).decode(errors="replace"), {}
        case "multipart/form-data":
            form = await request.post()
            return _part(form.get("sdp")), _object(_part(form.get("session")) or "{}", "session")
        case other:
            raise web.HTTPUnsupportedMediaType(
                text=f"Send the SDP offer as application/sdp, or as the part 'sdp' of a form; not as {other}."
            )


def _part(value: object) -> str:
    """A form's part: aiohttp gives text, bytes where the part has a type, and a file where it has a name."""
    match value:
        case None:
            return ""
        case web.FileField(file=file):
            return file.read().decode(errors="replace")
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case _:
            return str(value)


async def _json(request: web.Request) -> dict[str, Any]:
    """The object in a request's body; an empty body is an empty object."""
    return _object((await request.read()).decode(errors="replace") or "{}", None)


def _object(text: str, param: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EventError("invalid_json", f"{param or 'The body'} is not valid JSON: {error}.", param) from None
    if not isinstance(value, dict):
        raise EventError("invalid_value", f"{param or 'The body'} is to be a JSON object.", param)
    return value


def _refused(what: str) -> Handler:
    """Says clearly that a part of OpenAI's interface is not here."""

    async def refuse(_request: web.Request) -> web.Response:
        raise _none_of(what)

    return refuse


def _none_of(what: str) -> EventError:
    return EventError("unsupported", f"This server has no {what}.")


async def _nothing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=f"There is no {request.method} {request.path} here.")


async def _index(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(WEB / "index.html")
