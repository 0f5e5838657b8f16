"""Headless Chromium calls our edge through a network that misbehaves, comes back after a reload, and presses keys."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from agent import wav
from agent.audio import Speech, Word, dbfs
from agent.caller.relay import Faults, relay
from agent.edge.link import Reach
from agent.edge.webrtc import WebRTCEdge
from agent.realtime.client_events import KeysPressed, ResponseCancel
from agent.realtime.events import OutputAudioBuffer
from tests.edge.peers import LOOPBACK, tone
from tests.edge.speech import vowel
from tests.web.browser import CHROMIUM, Page, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]

ENOUGH = 60.0

SCRIPT = """
  async function offer(codec) {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const mic = await navigator.mediaDevices.getUserMedia({ audio });
    window.peer = new RTCPeerConnection();
    const [track] = mic.getAudioTracks();
    const transceiver = peer.addTransceiver(track, { streams: [mic] });
    if (codec) {
      const { codecs } = RTCRtpSender.getCapabilities('audio');
      const wanted = (name) => codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `audio/${name}`);
      transceiver.setCodecPreferences([...wanted(codec), ...wanted('telephone-event')]);
    }
    window.sender = transceiver.sender;
    window.channel = peer.createDataChannel('oai-events');
    window.told = [];
    channel.onmessage = ({ data }) => told.push(JSON.parse(data).type);
    const voice = new Audio();
    voice.muted = true;  // decoded all the same
    peer.ontrack = ({ streams }) => { voice.srcObject = streams[0]; voice.play(); };
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
    return peer.localDescription.sdp;
  }
  async function restart() {
    peer.restartIce();
    await peer.setLocalDescription();
    const pending = () => peer.iceGatheringState !== 'complete' || !peer.localDescription.sdp.includes('a=candidate');
    while (pending()) await new Promise((resolve) => setTimeout(resolve, 10));
    return peer.localDescription.sdp;
  }
  async function heard() {
    const stats = await peer.getStats();
    return [...stats.values()].find(({ type }) => type === 'inbound-rtp');
  }
"""


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice that never pauses."""
    path = tmp_path_factory.mktemp("sound") / "vowel.wav"
    wav.write(path, np.tile(vowel(1.0), 10), 48_000)
    return path


@asynccontextmanager
async def opened(voice: Path) -> AsyncIterator[tuple[Page, str]]:
    """An empty page that may use the microphone, and its address."""

    async def empty(_request: web.Request) -> web.Response:
        return web.Response(text=f"<script>{SCRIPT}</script>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
        "--autoplay-policy=no-user-gesture-required",
    )
    try:
        async with chromium(flags) as page:
            await page.open(url)
            yield page, url
    finally:
        await runner.cleanup()


@asynccontextmanager
async def a_call(call_id: str = "", waits: float = 0.0) -> AsyncIterator[WebRTCEdge]:
    edge = WebRTCEdge(call_id, waits)
    try:
        yield edge
    finally:
        await edge.close()


async def offered(page: Page, codec: str = "", how: str = "offer") -> str:
    """What the page offers, with only the candidates that reach this machine without leaving it."""
    sdp = str(await page.run(f"{how}({codec!r})"))
    kept = [
        line for line in sdp.split("\r\n") if "a=candidate" not in line or (" udp " in line and " 127.0.0.1 " in line)
    ]
    assert any(line.startswith("a=candidate") for line in kept), sdp
    return "\r\n".join(kept)


async def answered(page: Page, sdp: str) -> None:
    await page.run(f"peer.setRemoteDescription({{ type: 'answer', sdp: {json.dumps(sdp)} }})")
    await page.until("peer.connectionState === 'connected'")


async def loud_share(edge: WebRTCEdge, frames: int) -> float:
    """The share of the next frames in which the caller is heard."""
    loud = count = 0
    async for frame in edge.frames():
        loud += dbfs(frame.samples) > -40
        count += 1
        if count == frames:
            return loud / frames
    raise AssertionError("the call ended")


async def begun(edge: WebRTCEdge) -> None:
    """Wait until the caller is heard."""
    async for frame in edge.frames():
        if dbfs(frame.samples) > -40:
            return


FAULTS = {
    "clean": Faults(),
    "loss": Faults(loss=0.05),
    "jitter": Faults(delay=0.05, jitter=0.03),
    "bursts and reordering": Faults(loss=0.03, burst=2.0, reorder=0.05),
    "duplicates, drift, a narrow place": Faults(duplicate=0.2, drift=0.001, rate=60_000),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_both_sides_are_heard_through_a_bad_network(name: str, voice: Path):
    async with asyncio.timeout(ENOUGH), a_call() as edge, opened(voice) as (page, _), relay(3) as network:
        sdp = await edge.connections.answer(network.offer(await offered(page)), Reach(addresses=LOOPBACK))
        await answered(page, network.answer(sdp))
        await begun(edge)
        network.misbehave(FAULTS[name])
        await edge.speaker.write(Speech(np.tile(tone(1.0), 4), 48_000))
        share = await loud_share(edge, 150)
        counted, far = edge.media.received, await page.run("heard()")
        print(f"{name}: heard {share:.3f}; {edge.media}")
        print({key: far[key] for key in ("packetsReceived", "packetsLost", "concealedSamples", "totalSamplesReceived")})
        assert share > 0.8, "a busy machine's fake microphone itself leaves gaps"
        filled = counted.silence / 0.02  # of long bursts
        assert counted.concealed + counted.recovered + filled >= 0.8 * counted.lost
        assert far["packetsReceived"] > 90
        assert far["concealedSamples"] < 0.2 * far["totalSamplesReceived"]
        if FAULTS[name].loss:
            assert counted.lost > 0
            while (
                not edge.media.received.recovered
            ):  # from the copies that Chromium sends because the answer asks for them
                await loud_share(edge, 10)


async def test_an_address_that_changes_is_followed(voice: Path):
    async with asyncio.timeout(ENOUGH), a_call() as edge, opened(voice) as (page, _), relay(3) as network:
        sdp = await edge.connections.answer(network.offer(await offered(page)), Reach(addresses=LOOPBACK))
        await answered(page, network.answer(sdp))
        await begun(edge)
        await network.rebind()
        await loud_share(edge, 25)
        assert await loud_share(edge, 100) > 0.85


async def test_a_page_that_is_reloaded_comes_back_and_the_agent_goes_on(voice: Path):
    async with asyncio.timeout(ENOUGH), a_call("call", waits=20) as edge, opened(voice) as (page, url):
        sdp = await edge.connections.answer(await offered(page), Reach(addresses=LOOPBACK))
        await answered(page, sdp)
        await begun(edge)
        words = tuple(Word(48_000 * n, n) for n in range(1, 4))
        await edge.speaker.write(Speech(np.tile(tone(1.0), 3), 48_000, words))
        while edge.speaker._playout.text < 1:
            await asyncio.sleep(0.02)
        before = edge.connections.tokens.newest
        await page.open("about:blank")
        while not edge.speaker._held:
            await asyncio.sleep(0.02)
        left = edge.speaker._playout.played
        await page.open(url)
        assert before
        assert edge.connections.tokens.accepts(before)
        sdp = await edge.connections.answer(await offered(page), Reach(addresses=LOOPBACK))
        await answered(page, sdp)
        await begun(edge)
        assert not edge.connections.tokens.accepts(before)
        await edge.speaker.drained()
        heard = edge.speaker.clear()
        print(f"left {left / 48_000:.2f} s before the reload; {heard}")
        assert (heard.seconds, heard.text) == (3.0, 3)
        assert 1.0 <= left / 48_000 < 2.0
        assert (await page.run("heard()"))["packetsReceived"] > 40


async def test_a_lost_path_is_replaced_on_the_same_peer_connection(voice: Path):
    reach = Reach(addresses=LOOPBACK)
    async with asyncio.timeout(ENOUGH), a_call("call", waits=20) as edge, opened(voice) as (page, _):
        async with relay(1) as network:
            sdp = await edge.connections.answer(network.offer(await offered(page)), reach)
            await answered(page, network.answer(sdp))
            await begun(edge)
            link, token = edge.connections._used, edge.connections.tokens.newest
            words = tuple(Word(48_000 * n, n) for n in range(1, 4))
            await edge.speaker.write(Speech(np.tile(tone(1.0), 3), 48_000, words))
            await page.until("heard().then(({ packetsReceived }) => packetsReceived > 50)")
        while not edge.speaker._held:  # nobody is there to hear him
            await asyncio.sleep(0.02)
        async with relay(2) as network:
            sdp = await edge.connections.answer(network.offer(await offered(page, how="restart")), reach)
            await answered(page, network.answer(sdp))
            await begun(edge)
            assert edge.connections._used is link
            assert edge.connections.tokens.newest == token
            edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="after"))
            await page.until("told.length === 1")
            await page.run("channel.send(JSON.stringify({ type: 'response.cancel' }))")
            assert isinstance(await anext(edge.events()), ResponseCancel)
            await edge.speaker.drained()
            heard = edge.speaker.clear()
            assert (heard.seconds, heard.text) == (3.0, 3)
            assert await page.run("heard().then(({ packetsReceived }) => packetsReceived)") > 140, "2.8 s"


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma"])
async def test_keys_arrive_with_the_codec_that_the_page_wants(codec: str, voice: Path):
    async with asyncio.timeout(ENOUGH), a_call() as edge, opened(voice) as (page, _):
        sdp = await edge.connections.answer(await offered(page, codec), Reach(addresses=LOOPBACK))
        await answered(page, sdp)
        await begun(edge)
        assert await page.run("sender.dtmf.canInsertDTMF")
        await page.run("sender.dtmf.insertDTMF('15#', 100, 70)")
        pressed = [await anext(edge.events()) for _ in range(3)]
        assert pressed == [KeysPressed(type="parley.dtmf", digits=key) for key in "15#"]
        await loud_share(edge, 50)
        assert edge.media.received.lost == 0
        link = edge.connections._used
        assert link is not None
        assert link.track._codec.name == {"opus": "libopus", "pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}[codec]
