"""The official @openai/agents-realtime, unmodified, in Node over a WebSocket against a running server."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime.tools import FunctionTool
from agent.tools import Tool, Toolbox
from tests.serving import serving

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason="needs: cd tests/clients && npm ci"),
]

ANSWER = "One two three four five six seven eight."


async def drive(url, script="agents.js"):
    """What the client saw."""
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / script), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(out)


async def test_a_typed_and_a_spoken_turn_and_a_barge_in():
    async with serving(ScriptedEngine([ANSWER], first_token=0.01, per_token=0)) as (_, url):
        seen = await drive(url)
    assert seen["errors"] == []
    assert "error" not in seen["events"]
    assert seen["audioBytes"] == 3 * 8 * 6000 * 2
    assert seen["interruptions"] >= 1
    roles = [(item["role"], item["status"]) for item in seen["history"]]
    assert roles[:3] == [("user", "completed"), ("assistant", roles[1][1]), ("user", "completed")]
    assert roles[3:] == [("assistant", "incomplete"), ("user", "completed"), ("assistant", "completed")]
    assert seen["history"][0]["text"] == "Hello."
    cut = seen["history"][3]["text"]
    assert cut != ANSWER
    assert ANSWER.startswith(cut), "the client shows the words that it played"
    assert seen["history"][5]["text"] == ANSWER


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
