"""Calls begin and end here, over WebRTC and WebSockets, and the secrets that open them are made.

Takes requests that are checked (`keys`), gives calls to the server. Shapes and addresses are OpenAI's.
"""

import time
from collections.abc import Coroutine, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

from aiohttp import web
from aiortc import RTCIceServer
from pydantic import BaseModel, Field, ValidationError

from agent.agents import Agent
from agent.config import Settings
from agent.edge import resume
from agent.edge.link import NoPortError, Reach
from agent.edge.sdp import OfferError
from agent.edge.sideband import control
from agent.edge.webrtc import WebRTCEdge, answer
from agent.edge.websocket import CLOSE_SECONDS, MAX_MESSAGE_BYTES, PING_SECONDS, WebSocketEdge
from agent.http.keys import Grant, Keys
from agent.http.limits import Limits
from agent.http.metrics import Metrics
from agent.http.requests import read_json, read_offer
from agent.realtime.objects import EventError, SessionObject, refusal
from agent.stages import Stages
from agent.tts import TTS

T = TypeVar("T")


class Calls(Protocol):
    """The server, as the routes need it."""

    settings: Settings
    stages: Stages
    suggestions: tuple[str, ...]
    metrics: Metrics
    draining: bool
    """No new call is to begin: the server is stopping."""
    agents: Mapping[str, Agent]
    voices: Mapping[str, TTS]

    @property
    def calls(self) -> Mapping[str, WebRTCEdge | WebSocketEdge]:
        """Calls in progress, by id."""

    def room(self) -> AbstractContextManager[None]:
        """Keep room for a call that is about to begin. Raises HTTPServiceUnavailable when there is none."""

    def session(self, kind: str, *changes: dict[str, Any]) -> SessionObject:
        """The session that a call begins with, as the settings say, with a client's changes. Raises EventError."""

    def begin(self, edge: WebRTCEdge | WebSocketEdge, session: SessionObject) -> None:
        """Serve a call, in a task of its own."""


class ExpiresAfter(BaseModel, frozen=True):
    """When a secret ends."""

    seconds: int = Field(default=600, ge=10, le=7200)


class SecretRequest(BaseModel, frozen=True):
    """The body of `POST /v1/realtime/client_secrets`."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: dict[str, Any] = {}


class CallRoutes:
    """The handlers; each checks who asks."""

    def __init__(self, server: Calls, keys: Keys, limits: Limits) -> None:
        self._server = server
        self._keys = keys
        self._limits = limits

    async def start_call(self, request: web.Request) -> web.Response:
        """SDP offer in, alone or in a form with the session's settings; SDP answer out, and where to hang up.

        What the header `Parley-Resume` does is said in `agent/edge/resume.py`.
        """
        grant = self._keys.check(request)
        self._limits.take(grant.holder)
        offer, changes = await read_offer(request)
        token = request.headers.get(resume.HEADER)
        if token not in {None, resume.NEW}:
            return await self._resume(offer, token)
        session = self._server.session("rtc", grant.session, changes, _chosen(request))
        with self._limits.begin(grant.holder, session.id, self._server.calls), self._server.room():
            waits = self._server.settings.resume_seconds if token else 0.0
            edge, sdp = await accepted(answer(offer, reach(self._server.settings), session.id, waits))
            edge.channel.allow = partial(self._limits.take_event, grant.holder)
            self._server.begin(edge, session)
        return _answered(edge, session.id, sdp)

    async def _resume(self, offer: str, token: str) -> web.Response:
        """Another connection for a call. Raises HTTPNotFound when the token opens none."""
        call_id = resume.call_of(token)
        edge = self._server.calls.get(call_id)
        if not isinstance(edge, WebRTCEdge) or not edge.connections.tokens.accepts(token):
            raise web.HTTPNotFound(text="There is no call to come back to with this token; begin a new one.")
        sdp = await accepted(edge.connections.answer(offer, reach(self._server.settings)))
        return _answered(edge, call_id, sdp)

    async def end_call(self, request: web.Request, *, status: int) -> web.Response:
        """Hang up."""
        grant = self._keys.check(request)
        await own_call(self._server, self._limits, grant, request.match_info["id"]).close()
        return web.Response(status=status)

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """A call over a WebSocket, or the control of one over WebRTC (`?call_id=`), to its end."""
        grant = self._keys.check(request)
        self._limits.take(grant.holder)
        if request.query.get("intent", "realtime") != "realtime":
            raise none_of("transcription sessions")
        socket = web.WebSocketResponse(
            protocols=("realtime",),
            heartbeat=PING_SECONDS,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=CLOSE_SECONDS,
            compress=False,  # speech as base64 costs more time to compress than it saves
        )
        if "call_id" in request.query:
            call = own_webrtc_call(self._server, self._limits, grant, request.query["call_id"])
            if call.channel.full:
                raise web.HTTPServiceUnavailable(text="This call is controlled by too many connections.")
            await socket.prepare(request)
            await control(socket, call.channel)
            return socket
        session = self._server.session("sess", grant.session, _chosen(request))
        with self._limits.begin(grant.holder, session.id, self._server.calls), self._server.room():
            await socket.prepare(request)
            transport = request.transport
            edge = WebSocketEdge(socket, lambda: transport.abort() if transport else None)
            edge.allow = partial(self._limits.take_event, grant.holder)
            self._server.begin(edge, session)
        await edge.run()
        return socket

    async def make_secret(self, request: web.Request) -> web.Response:
        """A secret for a browser, bound to session settings; they are checked now."""
        grant = self._keys.check_key(request)
        self._limits.take(grant.holder)
        try:
            wanted = SecretRequest.model_validate(await read_json(request))
        except ValidationError as error:
            raise refusal(error) from None
        session = self._server.session("sess", wanted.session)
        value, end = self._keys.mint(wanted.session, wanted.expires_after.seconds, grant.holder)
        return web.json_response({"value": value, "expires_at": end, "session": session.model_dump(mode="json")})

    async def make_beta_session(self, request: web.Request) -> web.Response:
        """The beta's way to a secret, which older token servers use: flat settings, and the secret inside the session."""
        grant = self._keys.check_key(request)
        self._limits.take(grant.holder)
        flat = await read_json(request)
        changes: dict[str, Any] = {name: flat[name] for name in ("instructions",) if name in flat}
        if isinstance(flat.get("voice"), str):
            changes["audio"] = {"output": {"voice": flat["voice"]}}
        session = self._server.session("sess", changes)
        value, end = self._keys.mint(changes, ExpiresAfter().seconds, grant.holder)
        secret = {"client_secret": {"value": value, "expires_at": end}}
        return web.json_response({**session.model_dump(mode="json"), **secret})


def own_call(server: Calls, limits: Limits, grant: Grant, call_id: str) -> WebRTCEdge | WebSocketEdge:
    """A call of whoever asks. Raises HTTPNotFound, also for those of others: that they exist is none of the asker's business."""
    edge = server.calls.get(call_id)
    if edge is None or not limits.reaches(grant, call_id):
        raise web.HTTPNotFound(text="There is no such call of yours; it may have ended.")
    return edge


def own_webrtc_call(server: Calls, limits: Limits, grant: Grant, call_id: str) -> WebRTCEdge:
    """The same, of calls over WebRTC: another connection may control these, and carry them on. Raises HTTPNotFound."""
    edge = own_call(server, limits, grant, call_id)
    if not isinstance(edge, WebRTCEdge):
        raise web.HTTPNotFound(text="This call is not over WebRTC: it is controlled by its own WebSocket alone.")
    return edge


def _chosen(request: web.Request) -> dict[str, Any]:
    """The session's `agent`, where the address names one."""
    return {"agent": request.query["agent"]} if "agent" in request.query else {}


async def accepted(answering: Coroutine[Any, Any, T]) -> T:
    """What answering an offer gives. Raises HTTPServiceUnavailable or HTTPBadRequest."""
    try:
        return await answering
    except NoPortError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    except OfferError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def _answered(edge: WebRTCEdge, call_id: str, sdp: str) -> web.Response:
    token = edge.connections.tokens.newest
    headers = {"Location": f"/v1/realtime/calls/{call_id}", **({resume.HEADER: token} if token else {})}
    return web.Response(status=201, text=sdp, content_type="application/sdp", headers=headers)


def reach(settings: Settings) -> Reach:
    """How callers reach this server."""
    servers = [RTCIceServer(**server) for server in ice_servers(settings)]
    announced = str(settings.announced_address) if settings.announced_address else None
    codecs = [f"audio/{name}" for name in settings.codecs]
    return Reach(servers, settings.host_candidates, settings.media_port_range, announced, settings.relay_only, codecs)


def ice_servers(settings: Settings) -> list[dict[str, str]]:
    """The ICE servers in the W3C's form, with credentials: for those who may call."""
    now = time.time()  # noqa: TID251  the end of a credential is a date in the world
    return [server.for_client(now) for server in settings.ice_servers]


def none_of(what: str) -> EventError:
    """Says clearly that a part of OpenAI's interface is not here."""
    return EventError("unsupported", f"This server has no {what}.")
