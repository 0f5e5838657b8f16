"""`/api/offer`: calls of Pipecat's SmallWebRTC clients, whose events are RTVI messages (`agent/edge/rtvi.py`).

Takes the SDP offer in JSON, and the caller's candidates as they are found; gives the SDP answer with the call's id as `pc_id`. With that
id and `restart_pc` a client changes to another connection before it is given up. `requestData` may hold a `session`, as OpenAI's calls have it.
"""

import ipaddress
from functools import partial
from typing import Any, Literal

from aiohttp import web
from aiortc.sdp import candidate_from_sdp
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from agent.edge.rtvi import RTVI
from agent.edge.sdp import MALFORMED
from agent.edge.webrtc import WebRTCEdge, answer
from agent.http.calls import Calls, accepted, own_webrtc_call, reach
from agent.http.keys import Keys
from agent.http.limits import Limits
from agent.http.requests import read_json
from agent.realtime.objects import EventError, refusal

HEARS: dict[str, Any] = {"audio": {"input": {"transcription": {}}}}
"""A caller's words are written down: RTVI's clients show them."""


class RequestData(BaseModel, frozen=True):
    """What an app adds to its offer."""

    session: dict[str, Any] = {}
    """Settings of OpenAI's session object, and `agent`."""


class Offer(BaseModel, frozen=True):
    """The body of a POST."""

    sdp: str
    type: Literal["offer"]
    pc_id: str | None = None
    restart_pc: bool | None = False
    data: RequestData = Field(default=RequestData(), validation_alias=AliasChoices("requestData", "request_data"))


class Candidate(BaseModel, frozen=True):
    """An address of the caller."""

    candidate: str = Field(max_length=1024)
    """As the SDP attribute has it; empty: there are no more."""
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


class Candidates(BaseModel, frozen=True):
    """The body of a PATCH."""

    pc_id: str
    candidates: tuple[Candidate, ...] = Field(max_length=64)


class Offers:
    """The handlers; each checks who asks."""

    def __init__(self, server: Calls, keys: Keys, limits: Limits) -> None:
        self._server = server
        self._keys = keys
        self._limits = limits

    async def start_call(self, request: web.Request) -> web.Response:
        """Begin a call, or come back to it."""
        grant = self._keys.check(request)
        self._limits.take(grant.holder)
        try:
            offer = Offer.model_validate(await read_json(request))
        except ValidationError as error:
            raise refusal(error) from None
        settings = self._server.settings
        if offer.pc_id and offer.restart_pc:
            edge = own_webrtc_call(self._server, self._limits, grant, offer.pc_id)
            return _answered(await accepted(edge.connections.answer(offer.sdp, reach(settings))), offer.pc_id)
        if offer.pc_id:
            raise EventError(
                "unsupported", "A connection cannot be changed: make another, with restart_pc.", "restart_pc"
            )
        session = self._server.session("rtc", HEARS, grant.session, offer.data.session)
        with self._limits.begin(grant.holder, session.id, self._server.calls), self._server.room():
            answering = answer(offer.sdp, reach(settings), session.id, dialect=RTVI)
            edge, sdp = await accepted(answering)
            edge.channel.allow = partial(self._limits.take_event, grant.holder)
            self._server.begin(edge, session)
        return _answered(sdp, session.id)

    async def add_candidates(self, request: web.Request) -> web.Response:
        """More addresses at which the caller may be reached."""
        grant = self._keys.check(request)
        try:
            found = Candidates.model_validate(await read_json(request))
        except ValidationError as error:
            raise refusal(error) from None
        edge = own_webrtc_call(self._server, self._limits, grant, found.pc_id)
        for each in found.candidates:
            await _add(edge, each)
        return web.json_response({"status": "success"})


async def _add(edge: WebRTCEdge, found: Candidate) -> None:
    """Use a candidate. Raises EventError for what is none; names of mDNS are left alone: to resolve them would leave the machine."""
    if not found.candidate:
        return
    try:
        candidate = candidate_from_sdp(found.candidate.removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = found.sdp_mid, found.sdp_mline_index
        if not candidate.ip.endswith(".local"):
            ipaddress.ip_address(candidate.ip)
            if edge.connections.newest:
                await edge.connections.newest.add(candidate)
    except MALFORMED as error:  # an OfferError is one
        raise EventError("invalid_value", f"{found.candidate!r} is no candidate of this call.", "candidates") from error


def _answered(sdp: str, call_id: str) -> web.Response:
    return web.json_response({"sdp": sdp, "type": "answer", "pc_id": call_id})
