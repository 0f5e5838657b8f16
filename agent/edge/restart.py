"""ICE restart (RFC 8445, section 9): a caller whose network changed goes on over another path, on the same peer connection.

aioice cannot restart an agent, so a fresh one takes the place of the old below aiortc's DTLS transport, once it is connected. DTLS, SRTP, the
data channel and what is on its way go on as if nothing had happened. This and `patches.py` are the places that reach into aiortc and aioice
beyond their public interface; `tests/edge/test_patches.py` checks both.
"""

import asyncio
import logging
import re

import aioice.ice
from aiortc import RTCConfiguration, RTCIceGatherer, RTCPeerConnection
from aiortc.rtcicetransport import candidate_to_aioice
from aiortc.sdp import SessionDescription

from agent.edge.sdp import audio

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0
"""How long the new path may take; the old one stays until it is there."""


def restarts(offer: str, before: str) -> bool:
    """Whether an offer restarts ICE in the session of the one before: the same peer connection with other ICE credentials."""
    return _identity(offer) == _identity(before) and _credentials(offer) != _credentials(before)


def _identity(offer: str) -> tuple[str, ...]:
    """Of a peer connection: its session's id, and its certificate."""
    origin = re.search(r"^o=\S+ (\S+)", offer, re.MULTILINE)
    return (origin[1] if origin else "", *sorted(set(re.findall(r"^a=fingerprint:(.+?)\r?$", offer, re.MULTILINE))))


def _credentials(offer: str) -> set[str]:
    return set(re.findall(r"^a=ice-(?:ufrag|pwd):.+?\r?$", offer, re.MULTILINE))


class Restart:
    """The agent that is to take the place of a connection's own: `gather`, `answer`, then `connect`."""

    def __init__(self, connection: RTCPeerConnection, configuration: RTCConfiguration) -> None:
        # The transports are bundled, so that any of them is the one.
        self._transport = connection.getTransceivers()[0].receiver.transport.transport
        gatherer = RTCIceGatherer(configuration.iceServers, configuration.iceTransportPolicy)
        self._agent: aioice.ice.Connection = gatherer._connection  # noqa: SLF001
        self._agent.reads_all = True
        # The caller may use the new path before we know that it is the one: its packets go where the old one's go.
        self._agent._queue = self._transport._connection._queue  # noqa: SLF001

    async def gather(self) -> bool:
        """Find our addresses; whether there is one."""
        await self._agent.gather_candidates()
        return bool(self._agent.local_candidates)

    def answer(self, before: str) -> str:
        """The SDP to send back: the answer before, with the new agent's credentials and candidates."""
        candidates = [f"a=candidate:{candidate.to_sdp()}" for candidate in self._agent.local_candidates]
        lines = []
        for line in before.splitlines():
            match line.partition(":")[0]:
                case "a=candidate":
                    pass
                case "a=ice-ufrag":
                    lines.append(f"a=ice-ufrag:{self._agent.local_username}")
                case "a=ice-pwd":
                    lines += [f"a=ice-pwd:{self._agent.local_password}", *candidates]
                case _:
                    lines.append(_next_version(line))
        return "\r\n".join(lines) + "\r\n"

    async def connect(self, offer: str) -> None:
        """Find the path to the caller who made the offer, and take the old one's place; without one the old one stays."""
        section = audio(SessionDescription.parse(offer))
        assert section.ice is not None, "the offer is checked"
        self._agent.remote_username, self._agent.remote_password = section.ice.usernameFragment, section.ice.password
        replaced = self._agent
        try:
            for candidate in section.ice_candidates:
                await self._agent.add_remote_candidate(candidate_to_aioice(candidate))
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._agent.connect()
            replaced = self._take_over()
        except (ConnectionError, TimeoutError):
            logger.info("no other path to the caller was found")
        finally:
            await _close(replaced)

    def _take_over(self) -> aioice.ice.Connection:
        """Let the transport use the new agent; returns the old one."""
        transport, old = self._transport, self._transport._connection  # noqa: SLF001
        transport._connection = transport.iceGatherer._connection = self._agent  # noqa: SLF001
        transport._recv, transport._send = self._agent.recv, self._agent.send  # noqa: SLF001
        transport._RTCIceTransport__monitor_task.cancel()  # type: ignore[attr-defined]  # noqa: SLF001
        monitor = asyncio.get_running_loop().create_task(transport._monitor())  # noqa: SLF001
        transport._RTCIceTransport__monitor_task = monitor  # type: ignore[attr-defined]  # noqa: SLF001
        return old


async def _close(agent: aioice.ice.Connection) -> None:
    """Close an agent, and let whoever reads from the queue that both share read on."""
    agent._queue = asyncio.Queue()  # noqa: SLF001
    await agent.close()


def _next_version(line: str) -> str:
    """The `o=` line with its version counted up (RFC 8829, section 5.3.2); any other as it is."""
    if not line.startswith("o="):
        return line
    name, number, version, rest = line.split(" ", 3)
    return f"{name} {number} {int(version) + 1} {rest}"
