"""Calls through a TURN server, Debian's coturn, on loopback: over UDP and TCP, with credentials that end by themselves."""

import asyncio
import contextlib
import shutil
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCSessionDescription

from agent.audio import Speech, dbfs
from agent.caller.peer import Caller, call
from agent.config import IceServer, Settings
from agent.edge.link import NoPortError, Reach
from agent.edge.webrtc import answer
from agent.http.calls import ice_servers, reach
from tests.edge.peers import offer, tone
from tests.serving import serving
from tests.test_server import QUESTION

COTURN = shutil.which("turnserver")
SECRET = "north"
ENOUGH = 30.0

needs_coturn = pytest.mark.skipif(COTURN is None, reason="coturn is not installed")


@asynccontextmanager
async def coturn(path, transport):
    """A TURN server on a free port; gives it as a setting."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    flags = ["--listening-ip=127.0.0.1", f"--listening-port={port}", "--allow-loopback-peers", "--realm=parley"]
    files = [f"--pidfile={path}/pid", f"--userdb={path}/db", "--log-file=stdout", "--no-tls", "--no-dtls", "--no-cli"]
    assert COTURN is not None
    process = await asyncio.create_subprocess_exec(
        COTURN,
        "-n",
        *flags,
        *files,
        "--use-auth-secret",
        f"--static-auth-secret={SECRET}",
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(ConnectionError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield IceServer(urls=f"turn:127.0.0.1:{port}?transport={transport}", secret=SECRET)
    finally:
        process.terminate()
        await process.wait()


def kinds(sdp):
    return {line.split()[7] for line in sdp.splitlines() if line.startswith("a=candidate")}


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_both_ends_can_hide_behind_the_relay(transport, tmp_path):
    async with asyncio.timeout(ENOUGH), coturn(tmp_path, transport) as server:
        settings = Settings(ice_servers=(server,), relay_only=True)
        told = [RTCIceServer(**one) for one in ice_servers(settings)]
        connection = RTCPeerConnection(RTCConfiguration(told, iceTransportPolicy=RTCIceTransportPolicy.RELAY))
        caller = Caller(connection)
        await connection.setLocalDescription(await connection.createOffer())
        edge, sdp = await answer(connection.localDescription.sdp, reach(settings))
        assert kinds(connection.localDescription.sdp) == kinds(sdp) == {"relay"}
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: caller.started)
        caller.mouth.say(tone(0.3))
        async for frame in edge.frames():
            if dbfs(frame.samples) > -25:
                break
        await edge.speaker.write(Speech(tone(0.3), 48_000))
        await caller.until(lambda: caller.ear.last)
        await connection.close()
        await edge.close()


@needs_coturn
async def test_a_question_is_answered_by_a_server_that_is_reached_only_through_the_relay(tmp_path):
    async with asyncio.timeout(ENOUGH), coturn(tmp_path, "udp") as server:
        async with serving(ice_servers=(server,), relay_only=True) as (_, url):
            async with aiohttp.ClientSession() as http:
                about = await (await http.get(f"{url}/v1/parley")).json()
            assert about["ice_servers"][0].keys() == {"urls", "username", "credential"}
            async with call(url) as caller:
                assert (await caller.ask(QUESTION, 10)).transcript == "Hello there."


@needs_coturn
async def test_a_credential_that_the_relay_does_not_know_is_told(tmp_path):
    connection, _ = await offer()
    async with asyncio.timeout(ENOUGH), coturn(tmp_path, "udp") as server:
        wrong = RTCIceServer(server.urls, username="1:parley", credential="south")
        with pytest.raises(NoPortError, match="TURN"):
            await answer(connection.localDescription.sdp, Reach([wrong], relay_only=True))
    await connection.close()


def test_a_relay_that_is_the_only_way_must_be_named():
    with pytest.raises(ValueError, match="relay_only needs a TURN server"):
        Settings(relay_only=True, ice_servers=(IceServer(urls="stun:127.0.0.1"),))
