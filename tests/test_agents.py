"""Agents as files: what ships, what is checked, and what a call with one begins with."""

import base64
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from agent import agents
from agent.config import AGENTS
from agent.realtime.tools import FunctionTool
from agent.serve import voices
from agent.tools import Tool, Toolbox
from tests.serving import serving

DESK = 'name = "Desk"\nnumber = "100"\ninstructions = "Help."\n'


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.toml").write_text(text)
    return path


def test_the_agents_that_ship_are_sound():
    shipped = agents.load(AGENTS)
    assert list(shipped) == ["receptionist", "number-taker", "translator"]
    assert all(agent.greeting and agent.instructions for agent in shipped.values())


def test_a_file_may_leave_out_what_the_settings_say(tmp_path):
    [agent] = agents.load(folder(tmp_path, desk=DESK)).values()
    assert (agent.id, agent.voice, agent.greeting, agent.codec) == ("desk", "", "", None)
    assert agent.session() == {"instructions": "Help."}


def test_a_turn_policy_becomes_the_session_s(tmp_path):
    text = DESK + '[turn]\ntype = "semantic_vad"\neagerness = "low"\n'
    [agent] = agents.load(folder(tmp_path, desk=text)).values()
    assert agent.session()["audio"]["input"]["turn_detection"]["eagerness"] == "low"


async def test_an_agent_may_call_the_functions_that_its_file_names(tmp_path):
    tools = {name: Tool(FunctionTool(name=name), echo) for name in ("ring", "open")}
    files = folder(
        tmp_path,
        desk=DESK + 'tools = ["ring"]\n',
        all=DESK.replace("100", "2"),
        none=DESK.replace("100", "3") + "tools = []\n",
    )
    chosen = agents.load(files, tools)
    async with serving() as (server, _):
        server.agents, server.stages = chosen, replace(server.stages, toolbox=Toolbox(tools))
        offered = {name: list(server._stages(server.session("rtc", {"agent": name})).toolbox.tools) for name in chosen}
    assert offered == {"desk": ["ring"], "all": ["ring", "open"], "none": []}
    with pytest.raises(agents.AgentError, match=r"desk\.toml: tools: the server has no function 'ring'; it has: open"):
        agents.load(files, ["open"])


async def echo(arguments):
    return arguments


def test_agents_come_in_the_order_of_their_numbers(tmp_path):
    files = folder(tmp_path, first=DESK.replace("100", "300"), second=DESK)
    assert list(agents.load(files)) == ["second", "first"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "Invalid value"),
        ('name = "Desk"\ninstructions = "Help."\n', "number: Field required"),
        (DESK.replace("100", "one"), "number: String should match"),
        (DESK + 'gretting = "Hello"\n', "gretting: Extra inputs"),
        (DESK + 'codec = "mp3"\n', "codec: Input should be"),
        (DESK + '[turn]\ntype = "server_vad"\nthreshold = 2\n', "turn.server_vad.threshold: Input should be less"),
        (DESK + 'tools = "ring"\n', "tools: Input should be a valid"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(tmp_path, text, says):
    with pytest.raises(agents.AgentError, match=r"desk\.toml") as caught:
        agents.load(folder(tmp_path, desk=text))
    assert says in str(caught.value)


def test_two_agents_cannot_have_one_number(tmp_path):
    with pytest.raises(agents.AgentError, match=r"b\.toml: number: a\.toml has 100"):
        agents.load(folder(tmp_path, a=DESK, b=DESK))


async def test_a_voice_that_is_not_there_is_named_with_the_file(tmp_path):
    chosen = agents.load(folder(tmp_path, desk=DESK + 'voice = "klingon-x"\n'))
    with pytest.raises(agents.AgentError, match=r"desk\.toml: voice: .*klingon-x"):
        voices(chosen, tmp_path)


async def test_callers_choose_who_answers(tmp_path):
    text = DESK + 'greeting = "Desk here."\nvoice = "en-gb-x-rp"\n'
    chosen = agents.load(folder(tmp_path, desk=text))
    async with serving(agents=tmp_path) as (server, url), aiohttp.ClientSession(url) as http:
        server.agents, server.voices = chosen, voices(chosen, tmp_path)
        listed = await (await http.get("/v1/agents")).json()
        assert [(agent["id"], agent["number"], "instructions" in agent) for agent in listed["data"]] == [
            ("desk", "100", False)
        ]
        assert listed["voices"][-1] == "en-gb-x-rp"
        wanted = server.session("rtc", {"audio": {"output": {"voice": "en-gb-x-rp"}}})
        assert server._stages(wanted).voice is server.voices["en-gb-x-rp"]
        async with http.ws_connect("/v1/realtime?agent=desk") as socket:
            session = (await socket.receive_json())["session"]
            assert (session["agent"], session["instructions"]) == ("desk", "Help.")
            assert session["audio"]["output"]["voice"] == "en-gb-x-rp"
            silence = base64.b64encode(bytes(4800)).decode()
            await socket.send_json({"type": "input_audio_buffer.append", "audio": silence})
            while (event := await socket.receive_json())["type"] != "response.output_audio_transcript.done":
                pass
            assert event["transcript"] == "Desk here."
            await socket.send_json({"type": "session.update", "session": {"type": "realtime", "agent": "other"}})
            while (event := await socket.receive_json())["type"] != "session.updated":
                pass
            assert event["session"]["agent"] == "desk"


async def test_a_call_with_an_agent_that_is_not_there_is_refused():
    async with serving() as (server, url), aiohttp.ClientSession(url) as http:
        body = aiohttp.FormData({"sdp": "v=0", "session": '{"agent": "nobody"}'}, default_to_multipart=True)
        refused = await http.post("/v1/realtime/calls", data=body)
        error = (await refused.json())["error"]
        assert (refused.status, error["code"], error["param"]) == (400, "agent_not_found", "agent")
        assert "'nobody'; this server has: none" in error["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect("/v1/realtime?agent=nobody")
        assert server.calls == {}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(agents.AgentError, match=r"no folder .*nowhere"):
        agents.load(tmp_path / "nowhere")
