"""ICE restart between two peers: another path under the same connection; what is no restart, and what cannot be one. Chromium: test_chromium.py."""

import asyncio
import re

import pytest
from aiortc import RTCConfiguration

from agent.audio import Speech, dbfs
from agent.edge import restart
from agent.edge.link import Reach
from agent.edge.patches import last_heard, offer_addresses
from agent.edge.restart import Restart, restarts
from agent.edge.sdp import OfferError
from tests.edge.peers import LOOPBACK, connected, footprint, tone

ENOUGH = 20.0

OFFER = "v=0\r\no=- 17 2 IN IP4 127.0.0.1\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\na=fingerprint:sha-256 AA:BB\r\n"


@pytest.mark.parametrize(
    ("changes", "is_restart"),
    [
        ({}, False),
        ({" 2 IN": " 3 IN"}, False),
        ({" 2 IN": " 3 IN", "abcd": "efgh", "secret": "other"}, True),
        ({"17 2": "18 2", "abcd": "efgh"}, False),
        ({"AA:BB": "AA:CC", "abcd": "efgh"}, False),
    ],
    ids=["sent again", "no other credentials", "restart", "another session", "another certificate"],
)
def test_which_offers_restart(changes, is_restart):
    offer = OFFER
    for old, new in changes.items():
        offer = offer.replace(old, new)
    assert restarts(offer, OFFER) == is_restart
    assert not restarts(offer, "")


async def restarted(edge, connection, *, gone: bool = False):
    """The caller's restart, answered but without a path yet, and the answer; or of one that cannot be reached by then."""
    while not edge.connections._used:  # our end is up a little later
        await asyncio.sleep(0.01)
    other = Restart(connection, RTCConfiguration(iceServers=[]))
    with offer_addresses(LOOPBACK):
        await other.gather()
    offer = other.answer(connection.localDescription.sdp)
    if gone:
        await restart._close(other._agent)
    return other, await edge.connections.answer(offer, Reach(addresses=LOOPBACK))


async def said_and_heard(edge, caller) -> None:
    """Both sides are heard from now on."""
    caller.ear.last = None
    caller.mouth.say(tone(0.2))
    async for frame in edge.frames():
        if dbfs(frame.samples) > -25:
            break
    await edge.speaker.write(Speech(tone(0.2), 48_000))
    await caller.until(lambda: caller.ear.last)


async def test_sound_and_events_go_on_over_another_path_and_nothing_is_left_of_the_old():
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, caller, connection):
        await said_and_heard(edge, caller)
        link, token, before = edge.connections._used, edge.connections.tokens.newest, footprint()
        for _ in range(2):
            transport = link.connection.getTransceivers()[0].receiver.transport.transport
            old, ports = transport._connection, re.findall(r"^a=candidate:.*", link._answered, re.MULTILINE)
            other, answer = await restarted(edge, connection)
            assert not set(ports) & set(answer.splitlines())
            await other.connect(answer)
            while transport._connection is old or old._protocols:
                await asyncio.sleep(0.01)
            await said_and_heard(edge, caller)
            assert asyncio.get_running_loop().time() - last_heard(link.connection) < 1
        assert (edge.connections._used, edge.connections.tokens.newest) == (link, token)
        await asyncio.sleep(0.1)
        assert footprint() <= tuple(number + 2 for number in before)


async def test_the_old_path_is_kept_when_no_other_is_found(monkeypatch):
    monkeypatch.setattr(restart, "CONNECT_SECONDS", 0.2)
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, caller, connection):
        await restarted(edge, connection, gone=True)
        await asyncio.wait([edge.connections._used._restart])
        await said_and_heard(edge, caller)


async def test_a_call_may_end_while_a_path_is_looked_for():
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, _, connection):
        before = footprint()
        for _ in range(3):
            await restarted(edge, connection, gone=True)
            assert footprint() <= tuple(number + 6 for number in before), "only one is looked for at a time"


async def test_a_connection_that_is_gone_cannot_be_restarted():
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, _, connection):
        offer = connection.localDescription.sdp
        await connection.close()
        while edge.connections._used:
            await asyncio.sleep(0.01)
        with pytest.raises(OfferError, match="gone"):
            await edge.connections.answer(
                re.sub("a=ice-ufrag:.*", "a=ice-ufrag:abcd\r", offer), Reach(addresses=LOOPBACK)
            )
