"""What we reach for inside aiortc and aioice is still there, and does what we rely on."""

import asyncio
import inspect
import socket
from importlib.metadata import version

import aioice.ice
import aioice.stun
import pytest
from aiortc import RTCConfiguration, RTCDtlsTransport, RTCPeerConnection, RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtcpByePacket, RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from agent.edge import patches
from agent.edge.statistics import Report
from tests.edge.peers import LOOPBACK, connected


def test_the_versions_are_the_ones_that_the_patches_were_written_for():
    assert (version("aiortc"), version("aioice")) == ("1.16.0", "0.13.0")


async def test_a_receiver_has_the_jitter_buffer_and_the_queue_that_are_replaced():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    assert isinstance(receiver._RTCRtpReceiver__jitter_buffer, JitterBuffer)
    assert receiver._RTCRtpReceiver__decoder_queue.empty()
    assert list(inspect.signature(JitterBuffer.add).parameters) == ["self", "packet"]
    await connection.close()


async def test_a_receiver_gives_every_packet_and_keeps_no_thread():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    taken: list[RtpPacket] = []
    patches.receive(receiver, taken.append)
    assert receiver.transport.transport._connection.reads_all
    packet = RtpPacket(payload_type=96, sequence_number=5, timestamp=960, payload=b"x")
    assert receiver._RTCRtpReceiver__jitter_buffer.add(packet) == (False, None)
    assert taken == [packet]
    await connection.close()
    async with asyncio.timeout(20), connected() as (edge, _, ours):
        await anext(edge.frames())
        for end in (ours, edge.connections._used.connection):
            receiver = end.getTransceivers()[0].receiver
            assert isinstance(receiver, RTCRtpReceiver)
            receiver._RTCRtpReceiver__decoder_thread.join(timeout=5)
            assert not receiver._RTCRtpReceiver__decoder_thread.is_alive()
            assert all(protocol.receiver.reads_all for protocol in receiver.transport.transport._connection._protocols)


async def gathered() -> set[str]:
    """The addresses of the candidates that a peer connection offers."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.createDataChannel("x")
    await connection.setLocalDescription(await connection.createOffer())
    lines = [line for line in connection.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
    await connection.close()
    return {line.split()[4] for line in lines if " host" in line}


async def test_exactly_the_addresses_that_were_asked_for_are_offered():
    with patches.offer_addresses(LOOPBACK):
        assert await gathered() == {"127.0.0.1"}
    with patches.offer_addresses([]):
        assert await gathered() == set()


async def test_a_machine_with_no_other_address_offers_loopback(monkeypatch):
    monkeypatch.setattr(patches, "_all_addresses", lambda **_: [])
    assert await gathered() == {"127.0.0.1"}
    monkeypatch.setattr(patches, "_all_addresses", lambda **_: ["127.0.0.2"])
    assert await gathered() == {"127.0.0.2"}


async def test_a_sender_has_what_is_listened_to():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sender = connection.addTransceiver("audio").sender
    reports = []
    patches.listen(sender, reports.append)
    mine, other = (RtcpReceiverInfo(ssrc, 26, 7, 100, 480, 0, 0) for ssrc in (sender._ssrc, sender._ssrc ^ 1))
    await sender._handle_rtcp_packet(RtcpRrPacket(ssrc=1, reports=[other, mine]))
    await sender._handle_rtcp_packet(RtcpByePacket(sources=[1]))
    assert reports == [Report(lost=7, loss=26 / 256, jitter=480, round_trip=None)]
    kept = await sender.getStats()
    assert kept[f"remote-inbound-rtp_{id(sender)}"].packetsLost == 7, "aiortc's own handler is called, too"
    assert "recipient._handle_rtcp_packet(packet)" in inspect.getsource(RTCDtlsTransport._handle_rtcp_data)
    await connection.close()


def test_aioice_asks_the_loop_for_any_port():
    source = inspect.getsource(aioice.ice.Connection.get_component_candidates)
    assert "loop.create_datagram_endpoint(" in source
    assert "local_addr=(address, 0)" in source


def test_a_vanished_peer_is_noticed_within_ten_seconds():
    source = inspect.getsource(aioice.ice.Connection.query_consent)
    assert "CONSENT_INTERVAL * (0.8 + 0.4 * random.random())" in source
    assert "failures >= CONSENT_FAILURES" in source
    assert "retransmissions=0" in source
    longest = aioice.ice.CONSENT_FAILURES * (1.2 * aioice.ice.CONSENT_INTERVAL + aioice.stun.RETRY_RTO)
    assert longest == pytest.approx(8.8)


async def test_the_last_datagram_is_noticed_also_of_a_peer_that_sends_no_sound():
    async with asyncio.timeout(20), connected() as (_, _, connection):
        connection.getTransceivers()[0].sender.replaceTrack(None)
        before = patches.last_heard(connection)
        assert before > 0
        while patches.last_heard(connection) == before:
            await asyncio.sleep(0.05)
    fresh = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    fresh.addTransceiver("audio")
    assert patches.last_heard(fresh) == 0
    await fresh.close()


async def test_all_datagrams_that_wait_are_read_in_one_round_of_the_loop():
    with patches.offer_addresses(LOOPBACK):
        ice = aioice.ice.Connection(ice_controlling=True)
        await ice.gather_candidates()
    ice.reads_all = True
    [candidate] = ice.local_candidates
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        for _ in range(40):
            far.sendto(bytes([patches.FIRST_MEDIA]), (candidate.host, candidate.port))
    while ice._queue.empty():
        await asyncio.sleep(0)
    assert ice._queue.qsize() == 40
    await ice.close()


def test_the_default_configuration_would_ask_a_public_server():
    """Why every RTCConfiguration of ours names its servers."""
    assert "stun:" in str(RTCPeerConnection.__init__.__globals__["RTCIceGatherer"].getDefaultIceServers())
