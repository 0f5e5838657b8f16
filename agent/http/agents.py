"""`GET /v1/agents`: who can be asked to answer a call, and the voices that calls may have."""

from aiohttp import web

from agent.http.calls import Calls
from agent.http.keys import Keys
from agent.http.middleware import Handler

PUBLIC = {"id", "name", "number", "greeting", "voice", "codec"}
"""What callers may know; what an agent is told is between it and its server."""


def list_agents(server: Calls, keys: Keys) -> Handler:
    """All agents in the order of their numbers, for those who may call."""

    async def handle(request: web.Request) -> web.Response:
        keys.check(request)
        data = [{"object": "agent", **agent.model_dump(include=PUBLIC)} for agent in server.agents.values()]
        voices = [server.stages.voice.name, *server.voices]
        return web.json_response({"object": "list", "data": data, "voices": list(dict.fromkeys(voices))})

    return handle
