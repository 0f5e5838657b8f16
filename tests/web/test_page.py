"""The voice chat page in headless Chromium, with a fake microphone, in real calls to a server in this process."""

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import tts, vad
from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.reply import Stages
from agent.server import Server
from tests.web.browser import CHROMIUM, DENIED, NO_MICROPHONE, Page, chromium, microphone, speak

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]

NAME = "I am Parley, a voice agent."
STORY = "Once upon a time there was a small boat. " * 8

PEERS = """
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) { super(configuration); window.peers.push(this); }
  };
"""
"""Lets a test ask the page's peer connections for their statistics."""

CALL = "document.querySelector('#call').click()"
WORDS = "document.querySelector('footer').innerText"
TURNS = "document.querySelector('#transcript').innerText"


def phase(name: str) -> str:
    return f"document.body.dataset.phase === {name!r}"


@asynccontextmanager
async def serving(*answers: str, **settings: Any) -> AsyncIterator[tuple[Server, str]]:
    """A real server on a free port with an engine that answers as told, and its URL."""
    stages = Stages(ScriptedEngine(answers), tts.load("en-us"))
    server = Server(Settings(port=0, **settings), stages, vad.load("silero"), ("Who are you?",))
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


async def opened(page: Page, url: str) -> None:
    await page.command("Page.enable")
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=PEERS)
    await page.open(url)
    await page.until("document.querySelector('#suggestions button') !== null")


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("silence") / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 48_000))
    return path


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silence, a question, silence, more speech, silence."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    asyncio.run(speak(path, [(1.5, "Who are you?"), (5, "Stop now, please stop."), (3.5, "")]))
    return path


async def test_a_question_is_answered_interrupted_and_hung_up(question: Path):
    async with serving(STORY, NAME) as (server, url), chromium(microphone(question)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("speaking"))
        await page.until(f"{TURNS}.includes('Once upon a time')")
        await page.until(phase("interrupted"))
        await page.until("document.querySelector('#transcript s') !== null")
        await page.until(f"{TURNS}.includes({NAME!r}) && {TURNS}.includes('interrupted')")
        energy = """peers[0].getStats().then((report) => [...report.values()]
            .find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio').totalAudioEnergy)"""
        assert await page.run(energy) > 0.001
        turns = await page.until(f"{TURNS}.match(/at the server/g)?.length === 2 && {TURNS}")
        assert turns.count("you spoke") == 2
        assert turns.count("at your ear") == 2
        assert len(server.calls) == 1
        await page.run(CALL)
        await gone(server)
        assert await page.run(phase("ended"))
        assert await page.run("peers[0].connectionState") == "closed"
        assert await page.run("document.querySelector('#voice').srcObject") is None
        assert [trace.status for trace in server.stages.traces] == ["cancelled", "completed"]
        assert page.errors == []


async def test_suggestions_and_typed_words_are_answered_and_leaving_the_page_hangs_up(silence: Path):
    async with serving(NAME, "Certainly.") as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{phase('speaking')} && {TURNS}.includes('Who are you?') && {TURNS}.includes({NAME!r})")
        await page.run("document.querySelector('#text').value = 'Stop <b>now</b>'")
        await page.run("document.querySelector('#compose').requestSubmit()")
        turns = await page.until(f"{TURNS}.includes('Certainly.') && {TURNS}")
        assert "<b>now</b>" in turns
        assert "interrupted" in turns
        # The answer was short and long made when it was cut; its last words were not heard.
        assert await page.run("document.querySelector('#transcript s').innerText.endsWith('agent.')")
        await page.run("location.href = 'about:blank'")
        await gone(server)
        assert page.errors == []


async def test_the_server_going_away_is_told(silence: Path):
    async with chromium(microphone(silence)) as page:
        async with serving(NAME) as (_, url):
            await opened(page, url)
            await page.run(CALL)
            await page.until(phase("listening"))
        await page.until(phase("failed"))
        assert "Start a new call" in await page.run(WORDS)
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('cannot be reached')")


async def test_a_full_server_is_told(silence: Path):
    async with serving(NAME, max_calls=1) as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        taken = """(async () => {
            const peer = new RTCPeerConnection();
            peer.addTransceiver('audio');
            await peer.setLocalDescription();
            const headers = { 'Content-Type': 'application/sdp' };
            return (await fetch('/v1/realtime/calls', { method: 'POST', headers, body: peer.localDescription.sdp })).status;
        })()"""
        assert await page.run(taken) == 201
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('All lines are busy')")
        assert len(server.calls) == 1


async def test_a_key_is_asked_for_and_taken_from_the_address(silence: Path):
    async with serving(NAME, key="secret") as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('wants its key')")
        await page.run("location.hash = 'key=secret'")
        await page.run(CALL)
        await page.until(phase("listening"))
        await page.run(CALL)
        await gone(server)


@pytest.mark.parametrize(
    ("flags", "words"), [(DENIED, "The microphone is not allowed"), (NO_MICROPHONE, "No microphone found")]
)
async def test_a_microphone_that_cannot_be_had_is_told(flags: tuple[str, ...], words: str):
    async with serving() as (server, url), chromium(flags) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("failed"))
        assert words in await page.run(WORDS)
        assert words in await page.run("document.querySelector('[role=status]').textContent")
        assert await page.run("document.querySelector('#call').innerText") == "Start call"
        assert not server.calls
