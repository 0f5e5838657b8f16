"""The HTTP side: calls begin and end here, traces and pages are served from here. Owns the engine, the voice and all calls.

Every call is a task of one group and a fault domain of its own: whatever goes wrong in it ends it and is logged, and the other calls
do not notice. Errors are JSON in OpenAI's shape.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiortc import RTCIceServer

from agent.config import Settings
from agent.edge.webrtc import OfferError, WebRTCEdge, answer
from agent.hearing import Hearing
from agent.objects import AudioInput, AudioOutput, SessionAudio, SessionObject
from agent.reply import Stages
from agent.session import Session, turn_detection
from agent.vad import VAD

MAX_OFFER_BYTES = 64 * 1024
"""An offer with one audio section and a data channel has about 3 kB."""

HANG_UP_SECONDS = 5.0
"""Longest wait for the calls to end when the server stops."""

WEB = Path(__file__).resolve().parent.parent / "web"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}
"""On every answer: the pages load nothing from elsewhere, and nobody frames them."""

_log = logging.getLogger(__name__)


@dataclass
class Server:
    """The state of a running server; `run` it once."""

    settings: Settings
    stages: Stages
    make_vad: Callable[[], VAD]
    suggestions: tuple[str, ...] = ()
    """Things to say that the model understands well; the page shows them."""
    calls: dict[str, WebRTCEdge] = field(default_factory=dict)
    _answering: int = 0
    """Offers that are being answered: each will be a call."""
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def run(self, started: Callable[[int], None]) -> None:
        """Serve until cancelled, then end every call. `started` is told the port. Raises OSError when it cannot be listened on."""
        runner = web.AppRunner(self._app(), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            async with self._tasks:
                started(runner.addresses[0][1])
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    await self._hang_up()
        finally:
            await runner.cleanup()

    async def _hang_up(self) -> None:
        """End every call and wait for its clean-up, which a cancellation would cut short."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_SECONDS):
                while self.calls:
                    for edge in self.calls.values():
                        edge.hang_up()
                    await asyncio.sleep(0.01)

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[_errors_as_json], client_max_size=MAX_OFFER_BYTES)
        app.on_response_prepare.append(_add_headers)
        app.router.add_post("/v1/realtime/calls", self._start_call)
        app.router.add_delete("/v1/realtime/calls/{id}", self._end_call)
        app.router.add_get("/traces", self._get_traces)
        app.router.add_get("/v1/parley", self._describe)
        app.router.add_get("/", _index)
        app.router.add_static("/", WEB)
        return app

    async def _start_call(self, request: web.Request) -> web.Response:
        """SDP offer in, SDP answer out, as OpenAI's `POST /v1/realtime/calls`."""
        self._authorise(request)
        if request.content_type != "application/sdp":
            raise web.HTTPUnsupportedMediaType(
                text=f"Send the SDP offer as application/sdp, not {request.content_type}."
            )
        offer = (await request.read()).decode(errors="replace")
        if len(self.calls) + self._answering >= self.settings.max_calls:
            raise web.HTTPServiceUnavailable(
                text=f"The server is full: it takes {self.settings.max_calls} calls. Try again later."
            )
        self._answering += 1
        try:
            servers = [RTCIceServer(**server.for_client()) for server in self.settings.ice_servers]
            edge, sdp = await answer(offer, servers, self.settings.host_candidates)
        except OfferError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        finally:
            self._answering -= 1
        call_id = f"rtc_{secrets.token_hex(12)}"
        self.calls[call_id] = edge
        self._tasks.create_task(self._call(call_id, edge))
        headers = {"Location": f"/v1/realtime/calls/{call_id}"}
        return web.Response(status=201, text=sdp, content_type="application/sdp", headers=headers)

    async def _end_call(self, request: web.Request) -> web.Response:
        self._authorise(request)
        edge = self.calls.get(request.match_info["id"])
        if edge is None:
            raise web.HTTPNotFound(text="There is no such call; it may have ended.")
        await edge.close()
        return web.Response(status=204)

    async def _get_traces(self, request: web.Request) -> web.Response:
        """The last replies, oldest first, with their marks in milliseconds."""
        self._authorise(request)
        return web.json_response(
            [
                {"call": t.call, "response": t.response, "status": t.status, "marks": t.milliseconds()}
                for t in self.stages.traces
            ]
        )

    async def _describe(self, request: web.Request) -> web.Response:
        """What the page needs before a call; the ICE servers' credentials are for those who may call."""
        about: dict[str, object] = {"model": self.stages.engine.name, "suggestions": self.suggestions}
        with contextlib.suppress(web.HTTPUnauthorized):
            self._authorise(request)
            about["ice_servers"] = [server.for_client() for server in self.settings.ice_servers]
        return web.json_response(about)

    async def _call(self, call_id: str, edge: WebRTCEdge) -> None:
        """One call, from its answer to its end."""
        session = Session(
            edge, self.stages, Hearing(self.make_vad(), self.settings.turn), self._session_object(call_id)
        )
        _log.info("%s began; %d in progress", call_id, len(self.calls))
        try:
            async with asyncio.timeout(self.settings.call_seconds):
                await session.run()
        except TimeoutError:
            _log.info("%s reached the longest time of a call", call_id)
        except Exception:  # noqa: BLE001 the only one: a call is a fault domain
            _log.exception("%s failed; other calls go on", call_id)
        finally:
            await edge.close()
            del self.calls[call_id]
            _log.info("%s ended; %d in progress", call_id, len(self.calls))

    def _session_object(self, call_id: str) -> SessionObject:
        audio = SessionAudio(
            input=AudioInput(turn_detection=turn_detection(self.settings.turn)),
            output=AudioOutput(voice=self.stages.voice.name),
        )
        return SessionObject(
            id=call_id, model=self.stages.engine.name, instructions=self.settings.instructions, audio=audio
        )

    def _authorise(self, request: web.Request) -> None:
        """Raises HTTPUnauthorized without the key, and HTTPForbidden when a page elsewhere got a browser to call a keyless server."""
        if self.settings.key is None:
            if not _names_loopback(request.host):
                raise web.HTTPForbidden(text="Without a key this server answers only as localhost.")
            return
        wanted = f"Bearer {self.settings.key.get_secret_value()}"
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            raise web.HTTPUnauthorized(text="Send the server's key as 'Authorization: Bearer KEY'.")


def _names_loopback(host: str) -> bool:
    """Whether a Host header means this machine: a name that was made to resolve here (DNS rebinding) does not."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


async def _index(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(WEB / "index.html")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPError as error:
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
        body = {
            "error": {
                "message": error.text,
                "type": kind,
                "code": error.reason.lower().replace(" ", "_"),
                "param": None,
            }
        }
        return web.json_response(body, status=error.status)
