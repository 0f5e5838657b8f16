"""What holds for every request: security headers, cross-origin rules for pages elsewhere, and errors as JSON in OpenAI's shape."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from agent.edge import resume
from agent.http.keys import Keys
from agent.realtime.objects import EventError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}
"""On every answer: the pages load nothing from elsewhere, and nobody frames them."""

PREFLIGHT_SECONDS = "600"

RETRY_SECONDS = "5"
"""When a caller for whom there is no room now is told to try again."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_headers(keys: Keys) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """For every response: the headers above, and for trusted pages elsewhere leave to read it, with the call's Location."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and request.path.startswith(("/v1/", "/api/")):
            response.headers[hdrs.VARY] = hdrs.ORIGIN
            if keys.trusts(origin, request.host):
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = f"Location, Retry-After, {resume.HEADER}"

    return add


def preflight(keys: Keys) -> Handler:
    """Answer a browser that asks, without a key, whether a page may send a request: with whatever headers its SDK adds."""

    async def answer(request: web.Request) -> web.Response:
        if not keys.trusts(request.headers.get(hdrs.ORIGIN, ""), request.host):
            raise web.HTTPForbidden(text="Pages of this origin may not call this server.")
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PATCH, DELETE",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, ""),
            hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_SECONDS,
        }
        return web.Response(status=204, headers=headers)

    return answer


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is refused, as `{"error": {message, type, code, param}}`, which clients show."""
    try:
        return await handler(request)
    except EventError as error:
        return _error(400, error.details(None).model_dump())
    except web.HTTPUnauthorized as error:
        return _error(401, {"message": error.text, "code": "invalid_api_key"}, {hdrs.WWW_AUTHENTICATE: "Bearer"})
    except web.HTTPTooManyRequests as error:
        details = {"message": error.text, "code": "rate_limit_exceeded"}
        return _error(429, details, {hdrs.RETRY_AFTER: error.headers[hdrs.RETRY_AFTER]})
    except web.HTTPServiceUnavailable as error:
        details = {"message": error.text, "code": "service_unavailable"}
        return _error(503, details, {hdrs.RETRY_AFTER: RETRY_SECONDS})
    except web.HTTPError as error:
        kept = {str(name): error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
        return _error(error.status, {"message": error.text, "code": error.reason.lower().replace(" ", "_")}, kept)


def _error(status: int, details: Mapping[str, str | None], headers: Mapping[str, str] | None = None) -> web.Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return web.json_response({"error": {"type": kind, "param": None, **details}}, status=status, headers=headers)
