"""pipecat-ai's OpenAI realtime service, unmodified, in a pipeline of its own process; the demo checkpoint answers."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import gone

HERE = Path(__file__).parent
PACKAGES = HERE / ".pipecat"

pytestmark = pytest.mark.skipif(not PACKAGES.is_dir(), reason="needs: make tests/clients/.pipecat")


async def test_the_realtime_service(demo, speech):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", str(HERE / "pipecat_realtime.py"), demo, str(speech)),
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    seen = json.loads(out)
    assert seen["errors"] == []
    typed, _, summed, call, told = seen["texts"]
    assert "four" in typed
    assert "seven" in summed
    assert (call, seen["cities"], told) == ("", ["Paris"], 'It is "noon".')
    seconds = [size / 48_000 for size in seen["audio"]]
    assert [length > 0.5 for length in seconds] == [True, True, True, False, True], "answers are heard"
    assert seconds[1] > seconds[0], "the story is the longest"
    # The service tells what it had played of each answer when the caller spoke.
    first, second = [event for event in seen["events"] if event["type"] == "conversation.item.truncated"]
    spoken = [event["item"]["id"] for event in seen["events"] if event["type"] == "response.output_item.done"]
    assert [first["item_id"], second["item_id"]] == spoken[:2]
    assert 400 <= second["audio_end_ms"] < 1000 * seconds[1]
    await gone(demo)
