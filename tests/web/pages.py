"""What the browser tests share: a real server in this process, and pages whose peer connections can be asked."""

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import agents, tts, vad
from agent.config import AGENTS, Settings
from agent.engine.scripted import ScriptedEngine
from agent.serve import voices
from agent.server import Server
from agent.stages import Stages
from tests.web.browser import CHROMIUM, Page

BROWSER = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]

PEERS = """
  window.peers = [];
  window.received = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) { super(configuration); window.peers.push(this); }
    createDataChannel(label) {
      const channel = super.createDataChannel(label);
      channel.addEventListener('message', ({ data }) => window.received.push(JSON.parse(data)));
      return channel;
    }
  };
  window.statistic = async (type, name) => [...(await window.peers.at(-1).getStats()).values()]
    .find((one) => one.type === type && (one.kind ?? 'audio') === 'audio')?.[name];
"""
"""Lets a test ask the page's newest peer connection for its statistics, and all of them for the events that came."""

ENERGY = "statistic('inbound-rtp', 'totalAudioEnergy')"
"""How much was heard of the agent."""


@asynccontextmanager
async def serving(*answers: str, **settings: Any) -> AsyncIterator[tuple[Server, str]]:
    """A real server on a free port with an engine that answers as told and the agents that ship, and its URL."""
    stages = Stages(ScriptedEngine(answers), tts.load("en-us"))
    chosen = agents.load(AGENTS)
    server = Server(
        Settings(port=0, **settings), stages, vad.load("silero"), ("Who are you?",), chosen, voices(chosen, AGENTS)
    )
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(port.set_result))
        yield server, f"http://127.0.0.1:{await port}/"
        running.cancel()


async def gone(server: Server) -> None:
    """Wait until the server has no call."""
    async with asyncio.timeout(10):
        while server.calls:
            await asyncio.sleep(0.05)


async def opened(page: Page, url: str, ready: str = "document.querySelector('#suggestions button')") -> None:
    """Open a page and wait until it knows its server."""
    await page.command("Page.enable")
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=PEERS)
    await page.open(url)
    await page.until(f"{ready} !== null")


def silent(path: Path) -> Path:
    """Write a recording of nothing."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 48_000))
    return path
