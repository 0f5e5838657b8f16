"""The latency that `/traces` tells is that of the recording that this test makes of both sides, within 20 ms."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from agent.audio import INPUT_RATE
from agent.caller.peer import call
from agent.caller.relay import Faults, relay
from agent.edge.speaker import OUTPUT_RATE
from agent.engine.scripted import ScriptedEngine
from tests.serving import serving
from tests.test_server import QUESTION

STEP = 0.002
LOUD = 0.006
"""RMS over a step, of full scale (-44 dBFS): the callers' own detector looks at single samples instead."""


class Recorder:
    """What was said and heard in a call, with the time of each piece."""

    def __init__(self, caller):
        self._loop = asyncio.get_running_loop()
        self.said, self._pull = [], caller.track._pull
        self._ear = caller.ear
        caller.track._pull = self._tap

    def _tap(self):
        frame = self._pull()
        if frame is not None:
            self.said.append((self._loop.time() - frame.size / OUTPUT_RATE, frame))
        return frame

    def gap(self, after):
        """Seconds from the last loud step said after a moment to the first loud one heard after that."""
        said = [end for start, end in loud(self.said, OUTPUT_RATE) if start > after][-1]
        heard = [(sound.time, sound.samples) for sound in self._ear.sounds]
        return min(start for start, _ in loud(heard, INPUT_RATE) if start > said) - said


def loud(pieces, rate):
    """Start and end of each loud step."""
    size = round(STEP * rate)
    for time, samples in pieces:
        steps = samples[: samples.size // size * size].reshape(-1, size) / 32768
        for index in np.flatnonzero(np.sqrt((steps**2).mean(axis=1)) > LOUD):
            yield time + index * STEP, time + (index + 1) * STEP


@asynccontextmanager
async def recorded(delay=0.0, **answers):
    """Call through a network that takes so many seconds each way."""
    engine = ScriptedEngine(["Hello there.", "I am Parley.", "Goodbye."], **answers)
    async with serving(engine) as (_, url), relay() as network, aiohttp.ClientSession(url) as http:
        network.misbehave(Faults(delay=delay))
        async with call(url, network=network) as caller:
            yield caller, Recorder(caller), http


@pytest.mark.parametrize("first_token", [0.01, 0.6])
async def test_the_traces_say_what_the_recording_says(first_token):
    async with recorded(first_token=first_token, per_token=0) as (caller, recorder, http):
        gaps = []
        for _ in range(3):
            began = asyncio.get_running_loop().time()
            await caller.ask(QUESTION, 20)
            gaps.append(1000 * recorder.gap(began))
        rows = await (await http.get("/traces")).json()
    assert [row["measured"] for row in rows] == ["ear"] * 3
    assert [row["v2v_ms"] for row in rows] == pytest.approx(gaps, abs=20)
    for row in rows:
        assert sum(row["stages"].values()) == pytest.approx(row["v2v_ms"], abs=0.1)
        assert row["ear"]["clock_error_ms"] < 100


async def test_the_server_alone_would_not_know():
    """What is added on the way to the ear is in the trace only with the caller's report: here 80 ms."""
    async with recorded(delay=0.08, first_token=0.01, per_token=0) as (caller, _, http):
        await caller.ask(QUESTION, 20)
        [row] = await (await http.get("/traces")).json()
    assert row["stages"]["network"] > 60
    assert row["marks"]["heard"] > row["marks"]["playout_started"] + 60
