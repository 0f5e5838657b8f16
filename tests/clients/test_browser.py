"""Official browser clients, unmodified, over WebRTC in headless Chromium, on pages of another origin; the demo checkpoint answers."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from tests.clients.conftest import calls, gone
from tests.clients.server import SAID
from tests.web.browser import CHROMIUM, chromium
from tests.web.pages import ENERGY, PEERS

HERE = Path(__file__).parent
ESBUILD = HERE / "node_modules" / ".bin" / "esbuild"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(
        shutil.which("node") is None or not ESBUILD.exists(), reason="needs: cd tests/clients && npm ci"
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(speech, tmp_path_factory):
    """The address of a page for each client: `#agents-webrtc`, `#pipecat`."""
    folder = tmp_path_factory.mktemp("pages")
    sources = [str(HERE / name) for name in ("agents-webrtc.js", "pipecat.js")]
    command = [str(ESBUILD), *sources, "--bundle", "--format=esm", f"--outdir={folder}", "--log-level=error"]
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
    text = (HERE / "page.html").read_text().replace("/* peers */", PEERS)

    async def page(_request):
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page), web.static("/speech", speech), web.static("/", folder)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab():
    async with chromium(("--autoplay-policy=no-user-gesture-required",)) as page:
        yield page


async def begin(tab, pages, client, server):
    """Open a client's page, and let it call."""
    await gone(server)
    await tab.open("about:blank")
    await tab.open(f"{pages}#{client}")
    await tab.until("window.ready")
    await tab.run(f"begin({json.dumps(server)})")
    assert calls(server) == 1


async def test_agents_realtime(tab, pages, demo):
    await begin(tab, pages, "agents-webrtc", demo)
    assert (await tab.run("callId")).startswith("rtc_")
    # Typed.
    await tab.run("session.sendMessage('What is two plus two?')")
    await tab.until("count('output_audio_buffer.stopped') === 1")
    typed = await tab.run(ENERGY)
    assert typed > 0.001, "the answer is heard"
    # Spoken over.
    await tab.run("say('story')")
    await tab.until("count('output_audio_buffer.started') === 2")
    await asyncio.sleep(0.5)  # some words are heard
    await tab.run("say('sum')")
    await tab.until("count('output_audio_buffer.cleared') === 1")
    await tab.until("count('output_audio_buffer.stopped') === 2")
    assert await tab.run(ENERGY) > 1.5 * typed
    told = await tab.until("[2, 4, 5].every((place) => told()[place]?.text) && told()")
    assert [each["role"] for each in told] == ["user", "assistant"] * 3
    assert "four" in told[1]["text"]
    assert (told[2]["text"], told[4]["text"]) == (SAID, SAID)
    assert "seven" in told[5]["text"]
    truncated = await tab.run("seen.events.find(({ type }) => type === 'conversation.item.truncated')")
    assert 300 < truncated["audio_end_ms"] < 10_000
    assert told[3]["status"] == "incomplete"
    # A function.
    await tab.run("session.sendMessage('What time is it?')")
    await tab.until("count('output_audio_buffer.stopped') === 3")
    assert await tab.run("seen.calls") == [{"city": "Paris"}]
    assert (await tab.run("told()"))[-1]["text"] == "It is noon."
    assert await tab.run("seen.errors") == []
    await tab.run("session.close()")
    await gone(demo)


async def test_pipecat_client(tab, pages, demo):
    await begin(tab, pages, "pipecat", demo)
    assert (await tab.run("bot"))["version"].startswith("2.")
    # Typed.
    await tab.run("client.sendText('What is two plus two?')")
    await tab.until("count('botStoppedSpeaking') === 1")
    typed = await tab.run(ENERGY)
    assert typed > 0.001, "the answer is heard"
    # Spoken over.
    await tab.run("say('story')")
    await tab.until("count('botStartedSpeaking') === 2")
    await asyncio.sleep(0.5)  # some words are heard
    await tab.run("say('sum')")
    await tab.until("count('botStoppedSpeaking') === 3")
    assert await tab.run(ENERGY) > 1.5 * typed
    answers = [output["text"] for output in await tab.run("said('botOutput')")]
    assert "four" in answers[0]
    assert "seven" in answers[2]
    # A function.
    await tab.run("client.sendText('What time is it?')")
    await tab.until("count('botStoppedSpeaking') === 4")
    assert await tab.run("seen.calls") == [{"city": "Paris"}]
    assert (await tab.run("said('botOutput')"))[-1]["text"] == "It is noon."
    assert [said["text"] for said in await tab.run("said('userTranscript')") if said["final"]] == [SAID, SAID]
    assert await tab.run("said('llmFunctionCallStopped')[0].result") == "noon"
    types = await tab.run("seen.events.map(({ type }) => type)")
    spoken = [kind for kind in types if kind.endswith("Speaking")]
    over = ["userStartedSpeaking", "botStoppedSpeaking", "userStoppedSpeaking"]
    answer = ["botStartedSpeaking", "botStoppedSpeaking"]
    assert spoken == [*answer, "userStartedSpeaking", "userStoppedSpeaking", answer[0], *over, *answer, *answer]
    assert not {"error", "messageError"} & set(types)
    await tab.run("client.disconnect()")
    await gone(demo)
