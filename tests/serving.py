"""A running server in this process, for tests that need real sockets."""

import asyncio
from contextlib import asynccontextmanager

from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.server import Server
from agent.simulation.sound import LevelVAD, ToneVoice
from agent.stages import Stages
from agent.tools import NO_TOOLS


@asynccontextmanager
async def serving(engine=None, voice=None, toolbox=NO_TOOLS, **settings):
    """A server with scripted stages on a free port of this machine, and its URL."""
    engine = engine or ScriptedEngine(["Hello there."], first_token=0.01, per_token=0)
    stages = Stages(engine, voice or ToneVoice(), toolbox=toolbox)
    server = Server(Settings(**{"port": 0, **settings}), stages, LevelVAD, ("Who are you?",))
    async with running(server) as url:
        yield server, url


@asynccontextmanager
async def running(server):
    """Run a server; gives its URL."""
    port = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(server.run(port.set_result))
    await asyncio.wait([port, task], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"http://127.0.0.1:{port.result()}"
    finally:
        task.cancel()
        await asyncio.wait([task])
