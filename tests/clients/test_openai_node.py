"""The official openai SDK for Node, unmodified, over a WebSocket. It speaks TLS only, so a proxy ends that in front of the server."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.engine.scripted import ScriptedEngine
from tests.serving import serving

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, for a certificate"),
    pytest.mark.skipif(not (HERE / "node_modules" / "openai").is_dir(), reason="needs: cd tests/clients && npm ci"),
]

ANSWER = "One two three four five six seven eight."


def answer(messages):
    if messages[-1].role == "tool":
        return "It is noon."
    return '{"name": "get_time", "parameters": {}}' if "time" in messages[-1].text else ANSWER


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine, and its key."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    output = ["-out", str(files[0]), "-keyout", str(files[1])]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *output]
    subprocess.run(command, check=True, capture_output=True)
    return files


@asynccontextmanager
async def behind_tls(url, certificate):
    """The server's address through a proxy that ends TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def pump(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def carry(reader, writer):
        inside = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        await asyncio.gather(pump(reader, inside[1]), pump(inside[0], writer), return_exceptions=True)

    async with await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context) as proxy:
        yield f"https://localhost:{proxy.sockets[0].getsockname()[1]}"


async def test_typed_and_spoken_turns_a_function_and_an_error(certificate):
    engine = ScriptedEngine(answer, first_token=0.01, per_token=0)
    async with serving(engine, key="secret") as (_, url), behind_tls(url, certificate) as address:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "openai.js"),
            address,
            "secret",
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate[0])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
    seen = json.loads(out)
    assert seen["texts"] == [[ANSWER], [ANSWER], ["get_time({})"], ["It is noon."]]
    assert seen["audioBytes"] == (8 + 3) * 6000 * 2
    assert seen["errors"] == ["response_cancel_not_active"]
    assert all(total > 0 for total in seen["usage"])
