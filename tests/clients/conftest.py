"""What the clients share: one server with the demo checkpoint, and what is said to it."""

import asyncio
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agent import tts, wav
from agent.config import DEMO_MODEL

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def demo():
    """The address of `tests/clients/server.py`."""
    if not DEMO_MODEL.is_dir():
        pytest.skip("the demo checkpoint is not there; `make demo` makes it")
    command = [sys.executable, "-m", "tests.clients.server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.stdin.close()


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """A folder with what callers say as WAV files of 24 kHz, each with the silence in which its answer begins."""
    folder, voice = tmp_path_factory.mktemp("speech"), tts.load("en-us")
    for name, words in {"story": "Tell me a story.", "sum": "What is three plus four?"}.items():
        wav.write(folder / f"{name}.wav", asyncio.run(tts.recording(voice, words, 24_000)), 24_000)
    return folder


def calls(url):
    """How many calls a server has."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith("parley_calls_in_progress ")]
    return float(line.split()[1])


async def gone(url):
    """Wait until a server has no calls."""
    async with asyncio.timeout(15):
        while calls(url):
            await asyncio.sleep(0.05)
