"""Which path does what, and what holds for all of them."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from agent.http.agents import list_agents
from agent.http.calls import CallRoutes, Calls, none_of
from agent.http.completions import complete
from agent.http.keys import OWNER, Keys
from agent.http.limits import Limits
from agent.http.middleware import Handler, add_headers, errors_as_json, preflight
from agent.http.offers import Offers
from agent.http.reports import Reports
from agent.http.turns import Turns

MAX_BODY_BYTES = 512 * 1024
"""A session with long instructions has 100 kB, an offer 3 kB."""

WEB = Path(__file__).resolve().parent.parent.parent / "web"


def application(server: Calls) -> web.Application:
    """All routes, with what holds for each of them."""
    settings = server.settings
    main = {OWNER: settings.key} if settings.key else {}
    keys = Keys({**main, **settings.keys}, settings.origins)
    limits = Limits(settings.key_calls, settings.key_requests, settings.key_events)
    calls, offers = CallRoutes(server, keys, limits), Offers(server, keys, limits)
    reports, turns = Reports(server, keys), Turns(server, keys, limits)
    app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(add_headers(keys))
    app.on_shutdown.append(_ending(server))
    app.add_routes(
        [
            web.options("/v1/{path:.*}", preflight(keys)),
            web.post("/v1/realtime/calls", calls.start_call),
            web.post("/v1/realtime", calls.start_call),  # the beta's address
            web.delete("/v1/realtime/calls/{id}", partial(calls.end_call, status=204)),
            web.post("/v1/realtime/calls/{id}/hangup", partial(calls.end_call, status=200)),
            web.post("/v1/realtime/calls/{id}/{verb:accept|reject|refer}", _refused("SIP calls")),
            web.get("/v1/realtime", calls.connect),
            web.get("/v1/realtime/translations", _refused("translation sessions")),
            web.post("/v1/realtime/translations/client_secrets", _refused("translation sessions")),
            web.post("/v1/realtime/transcription_sessions", _refused("transcription sessions")),
            web.post("/v1/realtime/client_secrets", calls.make_secret),
            web.post("/v1/realtime/sessions", calls.make_beta_session),
            web.post("/v1/chat/completions", _complete(server, keys, limits)),
            web.options("/api/{path:.*}", preflight(keys)),
            web.post("/api/offer", offers.start_call),
            web.patch("/api/offer", offers.add_candidates),
            web.get("/v1/models", reports.list_models),
            web.get("/v1/models/{id:.+}", reports.get_model),
            web.get("/v1/parley", reports.describe),
            web.get("/v1/agents", list_agents(server, keys)),
            web.route("*", "/{api:v1|api}/{path:.*}", _nothing),
            web.get("/traces", turns.list_turns),
            web.get("/traces/live", turns.follow_turns),
            web.get(r"/traces/{call:\w+}/{response:\w+}.wav", turns.get_sound),
            web.get("/metrics", reports.get_metrics),
            web.get("/healthz", reports.is_alive),
            web.get("/readyz", reports.is_ready),
            web.get("/", _page("index")),
            web.get("/phone", _page("phone")),
            web.get("/latency", _page("latency")),
            web.static("/", WEB),
        ]
    )
    return app


def _complete(server: Calls, keys: Keys, limits: Limits) -> Handler:
    """Chat completions with recorded speech; each takes the room of a call."""

    async def handle(request: web.Request) -> web.StreamResponse:
        limits.take(keys.check(request).holder)
        with server.room():
            return await complete(request, server.stages.engine)

    return handle


def _ending(server: Calls) -> Callable[[web.Application], Awaitable[None]]:
    """What ends the streams that would else be waited for when the server stops."""

    async def end(_app: web.Application) -> None:
        server.stages.traces.close()

    return end


def _refused(what: str) -> Handler:
    async def refuse(_request: web.Request) -> web.Response:
        raise none_of(what)

    return refuse


async def _nothing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=f"There is no {request.method} {request.path} here.")


def _page(name: str) -> Handler:
    async def show(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / f"{name}.html")

    return show
