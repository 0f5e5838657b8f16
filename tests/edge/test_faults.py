"""Calls over real sockets through a network that misbehaves: what is said is heard, and what happened is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiortc import RTCSessionDescription

from agent.audio import Speech, dbfs
from agent.caller.peer import Caller
from agent.caller.relay import Faults, Relay, relay
from agent.edge import opus
from agent.edge.link import Reach
from agent.edge.webrtc import WebRTCEdge, answer
from tests.edge.peers import LOOPBACK, offer, tone
from tests.edge.speech import vowel

ENOUGH = 20.0


@asynccontextmanager
async def connected(seed: int = 1) -> AsyncIterator[tuple[WebRTCEdge, Caller, Relay]]:
    """A call that is up through a relay that works well."""
    connection, caller = await offer()
    async with relay(seed) as network, asyncio.timeout(ENOUGH):
        edge, sdp = await answer(network.offer(connection.localDescription.sdp), Reach(addresses=LOOPBACK))
        try:
            await connection.setRemoteDescription(RTCSessionDescription(network.answer(sdp), "answer"))
            await caller.until(lambda: caller.started)
            yield edge, caller, network
        finally:
            await connection.close()
            await edge.close()


async def heard(edge: WebRTCEdge, caller: Caller, seconds: float) -> float:
    """Say so many seconds of tone; how many of them were heard at the other end."""
    utterance = caller.mouth.say(tone(seconds))
    loud = quiet = 0
    async for frame in edge.frames():
        loud += dbfs(frame.samples) > -25
        quiet = 0 if dbfs(frame.samples) > -25 else quiet + 1
        if utterance.ended and quiet > 5:
            break
    return loud * 0.02


FAULTS = {
    "nothing": Faults(),
    "loss": Faults(loss=0.05),
    "bursts": Faults(loss=0.05, burst=2.5),
    "reordering": Faults(reorder=0.1, overtaken_by=0.025),
    "duplicates": Faults(duplicate=0.3),
    "delay and jitter": Faults(delay=0.1, jitter=0.03),
    "drift": Faults(drift=0.001),
    "rate limit": Faults(rate=40_000),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_is_said_is_heard(name):
    async with connected() as (edge, caller, network):
        network.misbehave(FAULTS[name])
        assert await heard(edge, caller, 1.5) == pytest.approx(1.5, abs=0.2)
        counted = edge.microphone.statistics
        print(name, counted)
        assert counted.lost > 0 if name in {"loss", "bursts", "rate limit"} else counted.lost <= counted.reordered
        assert (counted.reordered + counted.late > 0) == (name == "reordering"), "SRTP drops duplicates"
        assert counted.concealed + counted.recovered <= counted.lost


async def test_speech_comes_back_through_losses():
    async with connected() as (edge, caller, network):
        network.misbehave(Faults(loss=0.05))
        await edge.speaker.write(Speech(tone(2.0), 48_000))
        await edge.speaker.drained()
        await caller.silence(0.3)
        loud = sum(dbfs(sound.samples) > -25 for sound in caller.ear.sounds) * 0.02
        assert loud == pytest.approx(2.0, abs=0.2)


@pytest.mark.skipif(opus.library is None, reason="libopus is not there")
async def test_losses_are_reported_and_then_recovered():
    async with connected() as (edge, caller, network):
        network.misbehave(Faults(loss=0.1))
        caller.mouth.say(np.tile(vowel(1.0), 15))
        frames = edge.frames()
        async for _ in frames:
            if edge.microphone.statistics.recovered >= 3:
                break
        assert caller.track.sent.loss > 0 or caller.track.sent.lost > 0


async def test_an_address_that_changes_is_followed():
    async with connected() as (edge, caller, network):
        await heard(edge, caller, 0.3)
        await network.rebind()
        assert await heard(edge, caller, 0.5) == pytest.approx(0.5, abs=0.1)
