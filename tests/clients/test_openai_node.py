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

from tests.clients.conftest import gone

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, for a certificate"),
    pytest.mark.skipif(not (HERE / "node_modules" / "openai").is_dir(), reason="needs: cd tests/clients && npm ci"),
]


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


async def test_typed_and_spoken_turns_a_barge_in_a_function_and_an_error(demo, speech, certificate):
    async with behind_tls(demo, certificate) as address:
        process = await asyncio.create_subprocess_exec(
            *("node", str(HERE / "openai.js"), address, str(speech)),
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate[0])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
    seen = json.loads(out)
    [typed], _, [summed], [call], [told] = seen["texts"]
    assert "four" in typed
    assert "seven" in summed
    assert (call, told) == ('get_time({"city": "Paris"})', "It is noon.")
    heard = [size / 48_000 > 0.5 for size in seen["audioBytes"]]
    assert heard == [False, True, True, False, True], "spoken answers are heard"
    assert seen["truncated"] == 700
    assert seen["errors"] == ["response_cancel_not_active"]
    assert all(total > 0 for total in seen["usage"])
    await gone(demo)
