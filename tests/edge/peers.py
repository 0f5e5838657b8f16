"""Two ends of a call in one process, over real sockets on 127.0.0.1: our edge and a caller."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from agent.audio import Samples
from agent.caller.peer import Caller
from agent.edge.keypad import MIME_TYPE
from agent.edge.link import Reach
from agent.edge.patches import offer_addresses
from agent.edge.webrtc import WebRTCEdge, answer

LOOPBACK = ["127.0.0.1"]


def tone(seconds: float, rate: int = 48_000) -> Samples:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


async def offer(codec: str | None = None, addresses: Sequence[str] = LOOPBACK) -> tuple[RTCPeerConnection, Caller]:
    """A caller that has made its offer, of all codecs or of one, and of telephone events."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    caller = Caller(connection)
    if codec:
        codecs = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType in {codec, MIME_TYPE}]
        connection.getTransceivers()[0].setCodecPreferences(codecs)
    with offer_addresses(addresses):
        await connection.setLocalDescription(await connection.createOffer())
    return connection, caller


@asynccontextmanager
async def connected(
    codec: str | None = None, waits: float = 0.0
) -> AsyncIterator[tuple[WebRTCEdge, Caller, RTCPeerConnection]]:
    """A call that is up; both ends are closed afterwards."""
    connection, caller = await offer(codec)
    edge, sdp = await answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK), "call", waits)
    try:
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: caller.started)
        yield edge, caller, connection
    finally:
        await connection.close()
        await edge.close()


def vanish(connection: RTCPeerConnection) -> None:
    """Close a peer's sockets without a goodbye, as a phone does that loses its network."""
    for transceiver in connection.getTransceivers():
        for protocol in transceiver.receiver.transport.transport._connection._protocols:
            protocol.transport.abort()


def footprint() -> tuple[int, int, int]:
    """Tasks, threads and open files of this process."""
    return len(asyncio.all_tasks()), threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
