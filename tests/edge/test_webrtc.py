"""Whole calls between our edge and an aiortc caller, over real sockets on 127.0.0.1."""

import asyncio
import contextlib
import gc
import json
import random
import socket

import aioice.ice
import aioice.stun
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from agent.audio import INPUT_FRAME, Speech, Word
from agent.edge import connections
from agent.edge.link import NoPortError, Reach
from agent.edge.patches import offer_addresses
from agent.edge.sdp import OfferError
from agent.edge.webrtc import WebRTCEdge, answer
from agent.realtime.client_events import KeysPressed, ResponseCancel, SessionUpdate
from agent.realtime.events import OutputAudioBuffer
from tests.edge.peers import LOOPBACK, connected, footprint, offer, tone, vanish

ENOUGH = 20.0
"""Seconds after which a test has failed; none waits so long when all is well."""


def loud(samples) -> bool:
    return int(np.abs(samples.astype(int)).max()) > 2000


@pytest.mark.parametrize("codec", [None, "audio/PCMU", "audio/PCMA", "audio/G722"])
async def test_sound_goes_both_ways(codec):
    async with asyncio.timeout(ENOUGH), connected(codec) as (edge, caller, _):
        utterance = caller.mouth.say(tone(0.5))
        async for frame in edge.frames():
            assert frame.samples.shape == (INPUT_FRAME,)
            if loud(frame.samples):
                began = await caller.until(lambda: utterance.began)
                print(f"{codec}: said to heard {1000 * (asyncio.get_running_loop().time() - began):.1f} ms")
                break
        written = asyncio.get_running_loop().time()
        await edge.speaker.write(Speech(tone(0.5, 22_050), 22_050, (Word(11_025, 4),)))
        first = await caller.until(lambda: caller.ear.first(written))
        print(f"{codec}: write to ear {1000 * (first - written):.1f} ms")
        await edge.speaker.drained()
        assert edge.speaker.clear().text == 4
        assert await caller.silence(0.2) - first == pytest.approx(0.5, abs=0.1)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")
async def test_sound_goes_over_ipv6():
    connection, caller = await offer(addresses=["::1"])
    edge, sdp = await answer(connection.localDescription.sdp, Reach(addresses=["::1"]))
    assert {host for host, _ in candidates(sdp)} == {"::1"}
    async with asyncio.timeout(ENOUGH):
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: caller.started)
        caller.mouth.say(tone(0.3))
        async for frame in edge.frames():
            if loud(frame.samples):
                break
        await edge.speaker.write(Speech(tone(0.3), 48_000))
        await caller.until(lambda: caller.ear.last)
    await connection.close()
    await edge.close()


async def test_events_wait_for_the_channel_and_arrive_in_order():
    connection, caller = await offer()
    edge, sdp = await answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK))
    for number in range(5):
        edge.send(OutputAudioBuffer(type="output_audio_buffer.started", response_id=f"resp_{number}"))
    async with asyncio.timeout(ENOUGH):
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: len(caller.events) == 5 or None)
    assert [event["response_id"] for _, event in caller.events] == [f"resp_{number}" for number in range(5)]
    assert len({event["event_id"] for _, event in caller.events}) == 5
    await connection.close()
    await edge.close()
    edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="resp_9"))


BROKEN = [
    ("{", "invalid_json"),
    ("[1]", "invalid_event"),
    ('{"event_id": "e1"}', "missing_required_parameter"),
    ('{"type": "no.such.event"}', "invalid_value"),
    ('{"type": "session.update"}', "missing_required_parameter"),
    (json.dumps({"type": "session.update", "session": {"instructions": "x" * 300_000}}), "event_too_large"),
    (b"\x00\x01", "invalid_event"),
]


async def test_broken_events_are_answered_with_errors_and_the_call_goes_on():
    async with asyncio.timeout(ENOUGH), connected() as (edge, caller, _):
        await caller.until(lambda: caller._channel.readyState == "open" or None)
        caller._channel.transport._remote_max_message_size = 0  # a client that does not keep to our limit
        for message, _ in BROKEN:
            caller._channel.send(message)
        caller.send({"type": "response.cancel", "event_id": "mine"})
        assert await anext(edge.events()) == ResponseCancel(type="response.cancel", event_id="mine")
        await caller.until(lambda: len(caller.events) == len(BROKEN) or None)
        assert [event["error"]["code"] for _, event in caller.events] == [code for _, code in BROKEN]


async def test_an_event_that_is_too_long_for_the_client_is_dropped():
    async with asyncio.timeout(ENOUGH), connected() as (edge, caller, _):
        await caller.until(lambda: caller._channel.readyState == "open" or None)
        edge.send(OutputAudioBuffer(type="output_audio_buffer.started", response_id="x" * 300_000))
        edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="resp_1"))
        await caller.until(lambda: caller.events or None)
        assert [event["response_id"] for _, event in caller.events] == ["resp_1"]


async def test_a_client_that_sends_too_fast_is_told_so():
    async with asyncio.timeout(ENOUGH), connected() as (edge, caller, _):
        await caller.until(lambda: caller._channel.readyState == "open" or None)
        for number in range(300):
            caller.send({"type": "session.update", "event_id": f"e{number}", "session": {}})
        await caller.until(lambda: len(caller.events) == 300 - 256 or None)
        assert {event["error"]["code"] for _, event in caller.events} == {"rate_limit_exceeded"}
        assert caller.events[0][1]["error"]["event_id"] == "e256"
        events = edge.events()
        taken = [await anext(events) for _ in range(256)]
        assert all(isinstance(event, SessionUpdate) for event in taken)
        caller.send({"type": "response.cancel"})
        assert isinstance(await anext(events), ResponseCancel)


async def test_other_data_channels_are_left_alone():
    connection, caller = await offer()
    other = connection.createDataChannel("chat")
    edge, sdp = await answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK))
    async with asyncio.timeout(ENOUGH):
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: caller._channel.readyState == other.readyState == "open" or None)
        other.send("{")
        caller.send({"type": "response.cancel"})
        assert isinstance(await anext(edge.events()), ResponseCancel)
        edge.send(OutputAudioBuffer(type="output_audio_buffer.started", response_id="resp_1"))
        await caller.until(lambda: len(caller.events) == 1 or None)
    await connection.close()
    await edge.close()


async def ended(edge) -> None:
    """Read both streams to their end."""

    async def read(stream) -> None:
        async for _ in stream:
            pass

    async with asyncio.timeout(ENOUGH), asyncio.TaskGroup() as group:
        group.create_task(read(edge.frames()))
        group.create_task(read(edge.events()))


@pytest.mark.parametrize("how", ["connection", "channel", "us"])
async def test_a_hang_up_ends_the_frames_and_the_events(how):
    async with connected() as (edge, caller, connection):
        await caller.until(lambda: caller._channel.readyState == "open" or None)
        match how:
            case "connection":
                await connection.close()
            case "channel":
                caller._channel.close()
            case "us":
                await edge.close()
        await ended(edge)
        await edge.close()


@pytest.mark.parametrize("when", ["before the answer", "during the answer", "after the answer"])
async def test_a_caller_that_vanishes_ends_the_call(when, monkeypatch):
    # Far shorter than in the product, where the arithmetic is that of test_patches.
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.15)
    async with connected() as (edge, caller, connection):
        if when != "before the answer":
            await edge.speaker.write(Speech(tone(1.0 if when == "during the answer" else 0.1), 48_000))
            await caller.until(lambda: caller.ear.last)
        if when == "after the answer":
            await edge.speaker.drained()
        monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.1)
        vanish(connection)
        await ended(edge)


async def test_a_caller_that_never_connects_ends_the_call(monkeypatch):
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.1)
    connection, _ = await offer()
    edge, _ = await answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK))
    await ended(edge)
    await edge.close()
    await connection.close()


async def test_a_microphone_that_sends_nothing_does_not_end_the_call():
    async with asyncio.timeout(ENOUGH), connected() as (edge, _, connection):
        frames = edge.frames()
        await anext(frames)
        connection.getTransceivers()[0].sender.replaceTrack(None)
        for _ in range(50):
            frame = await anext(frames)
        assert not loud(frame.samples)


async def test_calls_leave_nothing_behind():
    async def one_call() -> None:
        async with asyncio.timeout(ENOUGH), connected() as (edge, caller, _):
            await anext(edge.frames())
            await edge.speaker.write(Speech(tone(0.1), 48_000))
            await caller.until(lambda: caller.ear.last)

    await one_call()
    gc.collect()
    before = footprint()
    for _ in range(25):
        await one_call()
    gc.collect()
    assert footprint() == before


async def test_a_close_that_is_cancelled_half_way_still_closes_everything():
    async with connected() as (edge, _, _):
        await anext(edge.frames())
        ours = edge.connections._used
        assert ours is not None
        closing = asyncio.ensure_future(edge.close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert ours.connection.connectionState == "closed"


async def test_a_call_may_be_closed_in_the_moment_in_which_a_lost_connection_has_been():
    class Closed:
        async def close(self):
            """At once."""

    edge = WebRTCEdge("call")
    edge.connections._drop(Closed())
    await asyncio.sleep(0)
    await edge.close()


async def test_refused_offers_leave_nothing_behind():
    connection, _ = await offer()
    text = connection.localDescription.sdp.replace("a=mid:1", "a=mid:0")
    before = footprint()
    for _ in range(20):
        with pytest.raises(OfferError):
            await answer("v=0\r\n" + text.split("\r\n", 1)[1].replace("a=ice-ufrag", "a=x"), Reach(addresses=LOOPBACK))
    assert footprint() == before
    await connection.close()


async def a_valid_offer() -> str:
    connection, _ = await offer()
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


REFUSED = {
    "empty": (lambda sdp: "", "not an SDP"),
    "prose": (lambda sdp: "Good morning.\nHow are you?", "not an SDP"),
    "JSON": (lambda sdp: json.dumps({"sdp": sdp}), "not an SDP"),
    "binary": (lambda sdp: "\x00\xff" * 100, "not an SDP"),
    "no media": (lambda sdp: sdp.split("m=")[0], "media sections"),
    "no audio": (lambda sdp: sdp.split("m=")[0] + "m=" + sdp.split("m=")[2], "no audio section"),
    "cut off": (lambda sdp: sdp[:400], "."),
    "no codec of ours": (
        lambda sdp: (
            sdp.replace("opus/48000/2", "speex/16000").replace(" 9 0 8", "").replace("G722/", "x/").replace("PCM", "y")
        ),
        "no codec that we have",
    ),
    "cannot hear": (lambda sdp: sdp.replace("a=sendrecv", "a=sendonly"), "able to receive"),
    "no ICE": (lambda sdp: sdp.replace("a=ice-pwd", "a=x-pwd"), "ICE credentials"),
    "no DTLS": (lambda sdp: sdp.replace("a=fingerprint", "a=x-print"), "fingerprint"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_offers_that_cannot_be_answered_are_refused_with_a_reason(case):
    change, reason = REFUSED[case]
    with pytest.raises(OfferError, match=reason):
        await answer(change(await a_valid_offer()), Reach(addresses=LOOPBACK))


async def test_a_damaged_offer_is_answered_or_refused_but_never_an_accident():
    sdp = await a_valid_offer()
    chance = random.Random(7)
    for _ in range(200):
        lines = sdp.split("\r\n")
        for _ in range(chance.randint(1, 3)):
            index = chance.randrange(len(lines))
            line = lines[index]
            cut = chance.randint(0, len(line))
            lines[index] = chance.choice(
                ["", line[:cut], line[cut:], line.replace("0", "é"), line + " 1", line.upper()]
            )
        try:
            edge, _ = await answer("\r\n".join(lines), Reach(addresses=LOOPBACK))
        except OfferError:
            continue
        await edge.close()


async def test_the_callers_first_codec_is_spoken_both_ways():
    sdp = (await a_valid_offer()).replace("SAVPF 96 9 0 8 ", "SAVPF 8 96 9 0 ")
    edge, text = await answer(sdp, Reach(addresses=LOOPBACK))
    [media] = [line for line in text.splitlines() if line.startswith("m=audio")]
    assert media.split()[3:] == ["8", "96", "9", "0", "110", "126"], "and telephone events are taken"
    link = edge.connections._next
    assert link is not None
    assert link.track._codec.name == "pcm_alaw"
    assert link.events == {110, 126}
    await edge.close()
    edge, text = await answer(sdp, Reach(addresses=LOOPBACK, codecs=("audio/pcmu",)))
    assert "PCMU" in text
    assert "opus" not in text
    await edge.close()


async def test_keys_are_events_and_their_packets_are_neither_sound_nor_loss():
    async with asyncio.timeout(ENOUGH), connected("audio/PCMU") as (edge, caller, connection):
        caller.mouth.say(tone(0.5))
        async for frame in edge.frames():
            if loud(frame.samples):
                break
        link = edge.connections._used
        assert link is not None
        sender = connection.getTransceivers()[0].sender
        sender.replaceTrack(None)
        await asyncio.sleep(0.05)
        lost = edge.media.received.lost
        number = edge.microphone._stream._sequence
        for step in range(1, 4):
            packet = RtpPacket(max(link.events), 0, (number + step) % 65536, 77, payload=bytes([7, 10, 0, 50 * step]))
            packet.ssrc = sender._ssrc
            await sender.transport._send_rtp(packet.serialize())
        event = await anext(edge.events())
        assert event == KeysPressed(type="parley.dtmf", digits="7")
        async for _ in edge.frames():
            if edge.microphone._stream._sequence == (number + 3) % 65536:
                break
        assert edge.media.received.lost == lost


async def test_only_the_loopback_address_is_offered_when_asked_and_no_name_is_looked_up():
    sdp = (await a_valid_offer()).replace("127.0.0.1 ", "0a1b2c3d-made-up-name.local ")
    assert sdp.count(".local") == 2
    edge, text = await answer(sdp, Reach(addresses=LOOPBACK))
    candidates = [line for line in text.splitlines() if line.startswith("a=candidate")]
    assert candidates
    assert all(" 127.0.0.1 " in line for line in candidates)
    assert "a=end-of-candidates" in text
    await edge.close()


async def test_video_is_turned_down():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video")
    connection.addTransceiver("audio")
    connection.createDataChannel("oai-events")
    with offer_addresses(LOOPBACK):
        await connection.setLocalDescription(await connection.createOffer())
    edge, text = await answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK))
    sections = text.split("m=")[1:]
    directions = {section.split()[0]: "a=inactive" in section for section in sections}
    assert directions == {"video": True, "audio": False, "application": False}
    await connection.close()
    await edge.close()


def candidates(sdp: str) -> set[tuple[str, int]]:
    """The addresses and ports that a description names."""
    found = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate")]
    return {(parts[4], int(parts[5])) for parts in found}


def free_ports(count: int) -> range:
    """Neighbouring UDP ports that nobody uses now."""
    for start in range(41_000, 60_000, count):
        with contextlib.ExitStack() as sockets:
            try:
                for port in range(start, start + count):
                    sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
        return range(start, start + count)
    raise AssertionError("no free ports")


async def test_media_use_the_ports_that_they_may_and_a_call_without_one_is_refused():
    ports, sdp = free_ports(3), await a_valid_offer()
    reach = Reach(addresses=LOOPBACK, ports=ports)
    edges = []
    for _ in ports:
        edge, text = await answer(sdp, reach)
        edges.append((edge, candidates(text)))
    assert sorted(port for _, found in edges for _, port in found) == list(ports)
    with pytest.raises(NoPortError):
        await answer(sdp, reach)
    await edges[1][0].close()
    edge, text = await answer(sdp, reach)
    assert candidates(text) == edges[1][1], "a port is free again after its call"
    await edge.close()
    other, text = await answer(sdp, Reach(addresses=LOOPBACK))
    assert len(candidates(text)) == 1
    for edge in (other, edges[0][0], edges[2][0]):
        await edge.close()


async def test_an_announced_address_stands_in_for_the_local_one():
    sdp = await a_valid_offer()
    edge, text = await answer(sdp, Reach(addresses=LOOPBACK, announced="192.0.2.7"))
    assert {host for host, _ in candidates(text)} == {"192.0.2.7"}
    await edge.close()
    edge, text = await answer(sdp, Reach(addresses=LOOPBACK, announced="2001:db8::7"))
    assert {host for host, _ in candidates(text)} == {"127.0.0.1"}, "of another kind"
    await edge.close()


async def test_the_answer_says_how_opus_is_wanted():
    edge, text = await answer(await a_valid_offer(), Reach(addresses=LOOPBACK))
    assert "a=fmtp:96 minptime=20;useinbandfec=1;usedtx=1;stereo=0;maxaveragebitrate=32000\r\n" in text
    assert text.index("a=rtpmap:96 opus") < text.index("a=ptime:20") < text.index("m=application")
    await edge.close()
