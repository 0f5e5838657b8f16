"""What a server tells about itself: its model, its metrics, whether it takes calls, and what its page needs."""

import contextlib

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from agent.http.calls import Calls, ice_servers
from agent.http.keys import Keys


class Reports:
    """The handlers; each checks who asks."""

    def __init__(self, server: Calls, keys: Keys) -> None:
        self._server = server
        self._keys = keys

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

    async def is_alive(self, _request: web.Request) -> web.Response:
        """The process serves: for whoever restarts it when it does not."""
        return web.Response(text="ok\n")

    async def is_ready(self, _request: web.Request) -> web.Response:
        """Whether a new call would be taken now, for load balancers; the model was loaded before the server began to listen."""
        if self._server.draining:
            raise web.HTTPServiceUnavailable(text="The server is stopping.")
        with self._server.room():
            return web.Response(text="ready\n")

    async def get_metrics(self, request: web.Request) -> web.Response:
        """What the calls went through, for Prometheus."""
        self._keys.check_key(request)
        body = self._server.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def describe(self, request: web.Request) -> web.Response:
        """What the page needs before a call; the ICE servers' credentials are for those who may call."""
        about: dict[str, object] = {
            "model": self._server.stages.engine.name,
            "suggestions": self._server.suggestions,
            "resume_seconds": self._server.settings.resume_seconds,
            "records": self._server.settings.record is not None,
        }
        with contextlib.suppress(web.HTTPUnauthorized):
            self._keys.check(request)
            about["ice_servers"] = ice_servers(self._server.settings)
        return web.json_response(about)

    def _model(self) -> dict[str, object]:
        name = self._server.stages.engine.name
        return {"id": name, "object": "model", "created": 0, "owned_by": "parley"}
