"""`/traces`: the turns of all calls as history (JSON, CSV) and live (server-sent events), and their sound where calls are recorded.

For the latency page and for spreadsheets. Takes filters from the query, gives each turn as `full_json` with its date. Whoever follows is sent the history first, and then
each turn again whenever it changes; `call` and `response` together name a turn.
"""

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

import soundfile
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from agent.edge import recording
from agent.http.calls import Calls
from agent.http.keys import Keys
from agent.http.limits import Limits
from agent.realtime.objects import refusal
from agent.traces.recent import MOST, TooManyFollowersError
from agent.traces.trace import STAGES, Trace, full_json

KEEPALIVE_SECONDS = 15.0
"""After so long without a turn a comment is sent: proxies close silent connections, and a listener that vanished is noticed."""

COLUMNS = (
    *(
        "date",
        "call",
        "response",
        "agent",
        "model",
        "voice",
        "status",
        "outcome",
        "unasked",
        "measured",
        "v2v_ms",
        "over",
    ),
    *(f"{stage}_ms" for stage in STAGES),
    *("speech_ms", "wait_ms", "end_of_turn", "tries", "hit", "saved_ms", "pauses", "withdrawn"),
    *("prompt_tokens", "cached_tokens", "output_tokens"),
    *("clock_error_ms", "round_trip_ms", "jitter_ms", "jitter_buffer_ms", "packets_lost", "concealed_ms"),
    *(
        "received_packets",
        "lost_packets",
        "recovered_packets",
        "concealed_packets",
        "sent_packets",
        "missed_packets",
        "underruns",
    ),
    *("held_seconds", "received_jitter_ms", "hole_wait_ms", "sent_jitter_ms", "sent_round_trip_ms"),
)


class Query(BaseModel, frozen=True, extra="forbid"):
    """Which turns are asked for: all that match each of the fields that are given."""

    call: str | None = None
    agent: str | None = None
    model: str | None = None
    outcome: (
        Literal["in_progress", "completed", "barge_in", "false_start", "cancelled", "incomplete", "failed"] | None
    ) = None
    limit: Annotated[int, Field(ge=0, le=MOST)] = 1000
    """The newest so many."""
    format: Literal["json", "csv"] = "json"

    def matches(self, trace: Trace) -> bool:
        """Whether a turn is asked for."""
        named = ("call", "agent", "model", "outcome")
        return all(getattr(self, name) in {None, getattr(trace, name)} for name in named)


class Turns:
    """The handlers; each checks who asks."""

    def __init__(self, server: Calls, keys: Keys, limits: Limits) -> None:
        self._server = server
        self._keys = keys
        self._limits = limits

    async def list_turns(self, request: web.Request) -> web.Response:
        """The turns that ended, oldest first."""
        query, matches = self._asked(request)
        rows = self._history(query, matches)
        if query.format == "json":
            return web.json_response(rows)
        headers = {"Content-Disposition": 'attachment; filename="turns.csv"'}
        return web.Response(text=as_csv(rows), content_type="text/csv", charset="utf-8", headers=headers)

    async def follow_turns(self, request: web.Request) -> web.StreamResponse:
        """The budget (ms) and the same as server-sent events, then the turns as they happen, until the listener leaves or falls behind."""
        query, matches = self._asked(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            with self._server.stages.traces.following() as follower:
                await response.prepare(request)
                budget = asdict(self._server.settings.budget)
                await _send(response, "budget", {name: round(1000 * seconds) for name, seconds in budget.items()})
                await _send(response, "history", self._history(query, matches))
                while trace := await _next(response, follower):
                    if matches(trace):
                        await _send(response, "turn", self._row(trace))
                await _send(response, "behind", None)
        except TooManyFollowersError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None
        except ConnectionResetError:
            pass  # the listener left
        return response

    async def get_sound(self, request: web.Request) -> web.Response:
        """A turn of a call that was recorded and is over, as a WAV file: the caller left, the agent right."""
        grant = self._keys.check_key(request)
        call, response, folder = (
            request.match_info["call"],
            request.match_info["response"],
            self._server.settings.record,
        )
        if folder is None:
            raise web.HTTPNotFound(text="The server records no calls: `parley serve --record FOLDER` does.")
        if not self._limits.reaches(grant, call):
            raise web.HTTPNotFound(text="The server has no recording of such a call of yours, or no longer.")
        if call in self._server.calls:
            raise web.HTTPNotFound(text="The server's recording can be heard when the call is over.")
        try:
            sound = await asyncio.to_thread(recording.turn_sound, folder / call, response)
        except (OSError, soundfile.SoundFileError):
            sound = None
        if sound is None:
            raise web.HTTPNotFound(text="The server has no recording of this turn, or no longer.")
        return web.Response(body=sound, content_type="audio/wav")

    def _asked(self, request: web.Request) -> tuple[Query, Callable[[Trace], bool]]:
        """The filters of a request, and whether they and its key let a turn through. Raises EventError for those that there are not."""
        grant = self._keys.check_key(request)
        try:
            query = Query.model_validate(dict(request.query))
        except ValidationError as error:
            raise refusal(error) from None
        return query, lambda trace: query.matches(trace) and self._limits.reaches(grant, trace.call)

    def _history(self, query: Query, matches: Callable[[Trace], bool]) -> list[dict[str, Any]]:
        found = [trace for trace in self._server.stages.traces if matches(trace)]
        return [self._row(trace) for trace in found[len(found) - min(query.limit, len(found)) :]]

    def _row(self, trace: Trace) -> dict[str, Any]:
        """A turn with its date in seconds since 1970, which is that of the caller's last syllable."""
        ago = asyncio.get_running_loop().time() - trace.zero
        date = round(time.time() - ago, 3)  # noqa: TID251  a date in the world, not a duration
        return {"date": date, **full_json(trace, self._server.settings.budget)}


async def _next(response: web.StreamResponse, follower: asyncio.Queue[Trace | None]) -> Trace | None:
    """The next turn; meanwhile the connection is kept alive."""
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE_SECONDS):
                return await follower.get()
        except TimeoutError:
            await response.write(b":\n\n")


async def _send(response: web.StreamResponse, event: str, data: object) -> None:
    text = json.dumps(data, separators=(",", ":"))
    await response.write(f"event: {event}\ndata: {text}\n\n".encode())


def as_csv(rows: list[dict[str, Any]]) -> str:
    """One line per turn, what is nested spread over columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        stages = {f"{stage}_ms": length for stage, length in row["stages"].items()}
        tokens = {f"{kind}_tokens": number for kind, number in row["tokens"].items()}
        counts = {"pauses": len(row["pauses"]), "withdrawn": len(row["withdrawn"])}
        writer.writerow({**row, **stages, **tokens, **(row["ear"] or {}), **row["media"], **counts})
    return text.getvalue()
