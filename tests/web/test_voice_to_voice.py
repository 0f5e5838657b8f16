"""The latency that the waterfall shows of a browser's turns is that of the test's own recording of both sides, within 20 ms.

Of three turns, the middle one counts: a browser that is kept from running for long moments hears with two clocks twice as differently.
"""

import asyncio
import base64
import statistics
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


TURNS = 3


def loud(samples):
    """Seconds of the loud steps' starts."""
    steps = samples[: samples.size // STEP * STEP].reshape(-1, STEP) / 32768
    return np.flatnonzero(np.sqrt((steps**2).mean(axis=1)) > LOUD) * STEP / 48_000


@pytest.fixture(scope="module")
def question(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    asyncio.run(speak(path, [(1.5, "Who are you?"), *[(2.6, "Who are you?")] * (TURNS - 1), (3, "")]))
    return path


async def test_the_waterfall_says_what_the_recording_says(question):
    stages = Stages(ScriptedEngine(["Parley."] * TURNS, first_token=0.3), tts.load("en-us"))
    async with running(Server(Settings(port=0), stages, vad.load("silero"))) as url:
        async with chromium(microphone(question)) as page, aiohttp.ClientSession(url) as http:
            await page.command("Page.enable")
            await page.command("Page.setBypassCSP", enabled=True)
            await page.command("Page.addScriptToEvaluateOnNewDocument", source=RECORDER)
            await page.open(f"{url}/")
            await page.until("document.querySelector('#call').disabled === false")
            await page.run("document.querySelector('#call').click()")
            async with asyncio.timeout(40):
                while len(rows := await (await http.get("/traces")).json()) < TURNS:
                    await asyncio.sleep(0.2)
            said, heard = [
                np.frombuffer(base64.b64decode(await page.run(f"({TAKE})({side})")), np.int16) for side in (0, 1)
            ]
            beyond = await page.run("1000 * recorder.outputLatency")
    spoken, answered = loud(said), loud(heard)
    starts = answered[np.flatnonzero(np.diff(answered, prepend=-1) > 1)]
    recorded = [1000 * (start - spoken[spoken < start][-1] - STEP / 48_000) + beyond for start in starts]
    assert len(recorded) == TURNS
    assert [row["measured"] for row in rows] == ["ear"] * TURNS
    shown = [row["v2v_ms"] for row in rows]
    wrong = [one - other for one, other in zip(shown, recorded, strict=True)]
    assert statistics.median(wrong) == pytest.approx(0, abs=20), (shown, recorded)
    assert all(row["ear"]["jitter_buffer_ms"] > 0 for row in rows)
