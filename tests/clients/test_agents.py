"""The official @openai/agents-realtime, unmodified, in Node over a WebSocket; the demo checkpoint answers, but for calls of functions."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime.tools import FunctionTool
from agent.tools import Tool, Toolbox
from tests.clients.conftest import gone
from tests.clients.server import SAID
from tests.serving import serving

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason="needs: cd tests/clients && npm ci"),
]


async def drive(url, script, *arguments):
    """What the client saw."""
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / script), url, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(out)


async def test_a_typed_and_a_spoken_turn_and_a_barge_in(demo, speech):
    seen = await drive(demo, "agents.js", str(speech))
    assert seen["errors"] == []
    assert "error" not in seen["events"]
    assert seen["interruptions"] >= 1
    assert [item["role"] for item in seen["history"]] == ["user", "assistant"] * 3
    typed, _, spoken, cut, over, last = seen["history"]
    assert (typed["text"], typed["status"]) == ("What is two plus two?", "completed")
    assert "four" in seen["transcripts"][0]
    assert (spoken["text"], over["text"]) == (SAID, SAID)
    assert cut["status"] == "incomplete"
    assert seen["transcripts"][1].startswith(cut["text"]), "the client shows the words that it played"
    assert 300 < seen["truncated"][-1] <= seen["audioBytes"][1] / 48
    assert ("seven" in last["text"], last["status"]) == (True, "completed")
    assert [size / 48_000 > 0.5 for size in seen["audioBytes"]] == [True, True, True, False], "answers are heard"
    await gone(demo)


def caller(messages):
    """A model that calls a function and says its result."""
    *_, last = messages
    return last.content[0].output if last.role == "tool" else '{"name": "weather", "parameters": {"place": "Bern"}}'


async def test_the_client_runs_its_function_and_asks_for_what_follows():
    async with serving(ScriptedEngine(caller, first_token=0.01, per_token=0)) as (_, url):
        seen = await drive(url, "agents-tools.js")
    assert seen["errors"] == []
    assert "error" not in seen["events"]
    assert seen["places"] == ["Bern"]
    kinds = [item["type"] for item in seen["history"]]
    assert kinds == ["message", "function_call", "message"]
    assert seen["history"][1]["output"] == "It is grey in Bern."
    assert seen["history"][2]["text"] == "It is grey in Bern."


async def test_a_function_of_the_server_leaves_the_client_nothing_to_do():
    async def weather(arguments):
        return f"It is grey in {arguments['place']}."

    toolbox = Toolbox({"climate": Tool(FunctionTool(name="climate"), weather)})

    def climate(messages):
        return caller(messages).replace("weather", "climate")

    async with serving(ScriptedEngine(climate, first_token=0.01, per_token=0), toolbox=toolbox) as (_, url):
        seen = await drive(url, "agents-tools.js")
    assert seen["errors"] == []
    assert "error" not in seen["events"]
    assert seen["places"] == []
    assert seen["events"].count("response.done") == 1
    assert seen["history"][-1]["text"] == "It is grey in Bern."
