"""The latency that the waterfall shows of a browser's turn is that of the test's own recording of both sides, within 20 ms."""

import asyncio
import base64
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from agent import tts, vad
from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.replies.reply import Stages
from agent.server import Server
from tests.serving import running
from tests.web.browser import CHROMIUM, chromium, microphone, speak

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]

RECORDER = """
  const processor = `registerProcessor('recorder', class extends AudioWorkletProcessor {
    process([said, heard]) {
      const copy = (input) => input[0] ? input[0].slice() : new Float32Array(128);
      this.port.postMessage([copy(said), copy(heard)]);
      return true;
    }
  });`;
  window.recorded = [[], []];
  const opened = (async () => {
    const context = window.recorder = new AudioContext({ sampleRate: 48000 });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([processor], { type: 'text/javascript' })));
    const node = new AudioWorkletNode(context, 'recorder', { numberOfInputs: 2, numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => data.forEach((samples, side) => window.recorded[side].push(samples));
    return (stream, side) => {
      context.createMediaStreamSource(stream).connect(node, 0, side);
      void context.resume();
    };
  })();
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await ask(constraints);
    (await opened)(stream, 0);
    return stream;
  };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super(configuration);
      this.addEventListener('track', async ({ streams }) => (await opened)(streams[0], 1));
    }
  };
"""
"""Records the microphone and the agent, sample by sample on one clock, with nothing of the page's own."""

TAKE = """(side) => {
  const samples = new Float32Array(window.recorded[side].length * 128);
  window.recorded[side].forEach((block, index) => samples.set(block, index * 128));
  const bytes = new Uint8Array(Int16Array.from(samples, (sample) => sample * 32767).buffer);
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}"""

STEP, LOUD = 96, 0.006
"""2 ms, and an RMS of full scale (-44 dBFS)."""


def loud(samples):
    """Seconds of the loud steps' starts."""
    steps = samples[: samples.size // STEP * STEP].reshape(-1, STEP) / 32768
    return np.flatnonzero(np.sqrt((steps**2).mean(axis=1)) > LOUD) * STEP / 48_000


@pytest.fixture(scope="module")
def question(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    asyncio.run(speak(path, [(1.5, "Who are you?"), (8, "")]))
    return path


async def test_the_waterfall_says_what_the_recording_says(question):
    stages = Stages(ScriptedEngine(["I am Parley, a voice agent."], first_token=0.3), tts.load("en-us"))
    async with running(Server(Settings(port=0), stages, vad.load("silero"))) as url:
        async with chromium(microphone(question)) as page, aiohttp.ClientSession(url) as http:
            await page.command("Page.enable")
            await page.command("Page.setBypassCSP", enabled=True)
            await page.command("Page.addScriptToEvaluateOnNewDocument", source=RECORDER)
            await page.open(f"{url}/")
            await page.until("document.querySelector('#call').disabled === false")
            await page.run("document.querySelector('#call').click()")
            await page.until("document.body.dataset.phase === 'speaking'", 40)
            async with asyncio.timeout(20):
                while not (rows := await (await http.get("/traces")).json()):
                    await asyncio.sleep(0.2)
            said, heard = [
                np.frombuffer(base64.b64decode(await page.run(f"({TAKE})({side})")), np.int16) for side in (0, 1)
            ]
            beyond = await page.run("1000 * recorder.outputLatency")
    start = loud(heard)[0]
    end = [time for time in loud(said) if time < start][-1] + STEP / 48_000
    [row] = rows
    assert row["measured"] == "ear"
    assert row["v2v_ms"] == pytest.approx(1000 * (start - end) + beyond, abs=20), "the output comes after the recording"
    assert row["ear"]["jitter_buffer_ms"] > 0
