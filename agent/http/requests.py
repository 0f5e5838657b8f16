"""What requests hold: an SDP offer with a session's settings beside it, or a JSON object."""

import json
from typing import Any

from aiohttp import web

from agent.realtime.objects import EventError


async def read_offer(request: web.Request) -> tuple[str, dict[str, Any]]:
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


async def read_json(request: web.Request) -> dict[str, Any]:
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
