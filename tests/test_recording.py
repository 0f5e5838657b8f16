"""Calls that are recorded, and what is found on disk afterwards; and recorded calls that are run again."""

import asyncio
import base64
import io
import json
import stat
from dataclasses import asdict
from types import SimpleNamespace

import aiohttp
import numpy as np
import pytest
import soundfile

from agent import tts, vad
from agent.__main__ import main
from agent.audio import INPUT_RATE, Frame
from agent.caller.peer import call as call_server
from agent.edge.recording import Recording, make_room, recorded, turn_sound, without_secrets
from agent.engine.scripted import ScriptedEngine
from agent.realtime.events import SpeechStarted
from agent.simulation.call import opening
from agent.simulation.caller import Caller, Play, Say, Send, Wait, audible
from agent.simulation.expectations import Outcome
from agent.simulation.loop import run
from agent.simulation.replay import differences
from agent.simulation.sound import tone
from agent.traces.trace import Trace
from agent.turns.turn import TurnSettings
from tests.serving import serving
from tests.simulation.calls import session_of, stages_of

STORY = " ".join(f"word{n}" for n in range(30)) + "."
SCRIPT = [Wait(0.3), Say(1.0), Wait(2.5), Say(1.0), Wait(3)]
"""A question, and an interruption of the answer at 3.8 s."""


def keep(folder, script=SCRIPT, engine=None, detector=None, **about):
    """Run a call in virtual time and record it; gives the caller."""
    stages, settings = stages_of(engine or ScriptedEngine([STORY, "Yes."], per_token=0)), TurnSettings()

    async def call():
        caller = Caller(script)
        recording = Recording(folder, 3, {**begun, **about})
        with recorded(caller, recording, stages.traces) as edge:
            await session_of(edge, stages, settings, detector).run()
        return caller

    begun = {
        "id": "call",
        "session": opening(stages, settings, "Be brief.").model_dump(mode="json"),
        "vad": "silero",
        "voice": "tones",
        "turn": asdict(settings),
        "prompts": asdict(stages.prompts),
        "speculation": asdict(stages.speculation),
    }

    return run(call())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_sides_are_on_one_time_line(tmp_path):
    caller = keep(tmp_path)
    sound, rate = soundfile.read(tmp_path / "call" / "call.wav", dtype="int16")
    assert (rate, sound.shape[1]) == (INPUT_RATE, 2)
    assert sound.shape[0] == sum(map(len, caller.said))
    assert np.array_equal(sound[:, 0], np.concatenate(caller.said))
    spans = [(start - 0.02, end - 0.02) for start, end in audible(sound[:, 1])]  # a frame is heard once it has left
    assert np.allclose(spans, caller.audible(), atol=0.021)


def test_a_turn_is_both_sides_from_its_first_syllable_to_the_end_of_its_answer(tmp_path):
    keep(tmp_path)
    sound, _ = soundfile.read(io.BytesIO(turn_sound(tmp_path / "call", "resp_5")), dtype="int16")
    [(start, end)] = audible(sound[:, 0])
    assert start < 0.32, "the padding of a turn"
    assert end - start == pytest.approx(1.0, abs=0.05)
    [(_, stopped), (answered, _)] = audible(sound[:, 1])
    assert stopped < end, "the answer that was interrupted"
    assert answered - end == pytest.approx(0.52, abs=0.05), "the wait is heard as it was"
    assert turn_sound(tmp_path / "call", "resp_9") is None


def test_events_and_traces_have_the_same_time_line(tmp_path):
    hello = '{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}}'
    engine = ScriptedEngine(["-", STORY, "Yes."], per_token=0)
    caller = keep(tmp_path, [Wait(1.0), Send(hello), *SCRIPT], engine)
    events = lines(tmp_path / "call" / "events.jsonl")
    assert [line["event"]["type"] for line in events if line["from"] == "server"] == [e.type for _, e in caller.log]
    assert [line["time"] for line in events if line["from"] == "server"] == pytest.approx([t for t, _ in caller.log])
    [sent] = [line for line in events if line["from"] == "client"]
    assert (sent["time"], sent["event"]["item"]["content"][0]["text"]) == (1.0, "Hi")
    first, second = lines(tmp_path / "call" / "traces.jsonl")
    assert (first["status"], second["status"]) == ("cancelled", "completed")
    assert first["marks"]["speech_stopped"] == pytest.approx(2.3, abs=0.011)


def test_only_its_owner_may_read_it(tmp_path):
    keep(tmp_path / "kept")
    files = [tmp_path / "kept", tmp_path / "kept" / "call", *(tmp_path / "kept" / "call").iterdir()]
    assert len(files) == 6
    assert [stat.S_IMODE(file.stat().st_mode) & 0o077 for file in files] == [0] * 6


def test_keys_are_never_kept(tmp_path):
    tool = {
        "type": "mcp",
        "server_label": "x",
        "server_url": "https://x",
        "authorization": "hush",
        "headers": {"X-Api-Key": "hush"},
    }
    assert "hush" not in json.dumps(without_secrets({"session": {"tools": [tool]}, "client_secret": {"value": "hush"}}))
    assert without_secrets({"max_output_tokens": 5, "keys": [1]}) == {"max_output_tokens": 5, "keys": [1]}
    keep(tmp_path, session={"api_key": "hush"})
    assert "hush" not in (tmp_path / "call" / "call.json").read_text()


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    caller = Caller([])
    with recorded(caller, None, ()) as edge:
        assert edge is caller
    assert not list(tmp_path.iterdir())


def test_the_oldest_are_dropped_and_nothing_else_is_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for number in range(4):
        keep(tmp_path, [Wait(0.1)], id=f"call{number}")
    make_room(tmp_path, 3)
    assert len(list(tmp_path.glob("call*"))) == 2
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_disk_that_fails_costs_the_recording_and_not_the_call(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    caller = keep(tmp_path / "file")
    assert len(caller.audible()) >= 2
    assert "cannot be recorded" in caplog.text


@pytest.mark.parametrize("cut", [0.5, 2.0])
def test_a_call_that_fails_is_kept_up_to_there(tmp_path, cut):
    def broken(_messages):
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup):
        keep(tmp_path, [Say(cut), Wait(3)], ScriptedEngine(broken))
    sound, _ = soundfile.read(tmp_path / "call" / "call.wav")
    assert sound.shape[0] / INPUT_RATE == pytest.approx(cut + 0.25, abs=0.1)


# Replay.


@pytest.fixture(scope="module")
def spoken():
    """A question in real speech, after half a second, with a pause of 0.7 s, and 4 s to answer."""

    async def say():
        voice = tts.load("en-us")
        return [await tts.recording(voice, text, INPUT_RATE) for text in ("I would like to book", "a table for two.")]

    first, second = asyncio.run(say())
    return [Wait(0.5), Play(first), Wait(0.4), Play(second), Wait(4.0)]


@pytest.fixture
def call(tmp_path, spoken):
    """A recorded call: the caller pauses in the middle of a sentence, and is waited for."""
    keep(tmp_path, spoken, ScriptedEngine(["For when?"], per_token=0), vad.load("silero")())
    return tmp_path / "call"


def test_a_call_goes_again_as_it_went(call, capsys):
    assert main(["simulate", "--replay", str(call)]) == 0
    assert "Nothing differs" in capsys.readouterr().out


def test_another_configuration_gives_another_call_and_the_difference_is_told(call, tmp_path, capsys):
    drawing = tmp_path / "call.svg"
    changes = ["--set", "turn.adaptive=false", "--set", "turn.silence=0.25", "--svg", str(drawing)]
    assert main(["simulate", "--replay", str(call), *changes]) == 0
    shown = capsys.readouterr().out
    assert "agent before" in shown
    assert "2 replies, and not 1" in shown, "the pause of 0.4 s ends the turn now"
    assert "reply 1 begins" in shown
    assert drawing.read_text().startswith("<svg")


def test_a_replay_is_the_same_every_time(call, capsys):
    for _ in range(2):
        assert main(["simulate", "--replay", str(call), "--set", "turn.silence=0.8", "--events"]) == 0
    first, second = capsys.readouterr().out.split("call, again")[1:]
    assert first == second
    assert "reply 1 waits" in first


def test_the_clients_events_are_sent_again(tmp_path, spoken, capsys):
    hush = Send(
        '{"type":"session.update","session":{"audio":{"input":{"turn_detection":{"type":"server_vad","create_response":false}}}}}'
    )
    keep(tmp_path, [hush, *spoken], None, vad.load("silero")())
    assert main(["simulate", "--replay", str(tmp_path / "call")]) == 0
    shown = capsys.readouterr().out
    assert "Nothing differs" in shown
    assert "reply 1" not in shown


def test_the_engines_judgements_are_those_of_the_pauses(tmp_path, spoken, capsys):
    judged = iter([0.02, 0.9, 0.9])
    engine = ScriptedEngine(["For when?"], per_token=0, end_of_turn=lambda _: next(judged))
    keep(tmp_path, spoken, engine, vad.load("silero")(), turn={**asdict(TurnSettings()), "calibrated": True})
    assert main(["simulate", "--replay", str(tmp_path / "call"), "--set", "turn.calibrated=true"]) == 0
    assert "probability of the end 0.90; 2 tries" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"), [("events.jsonl", "{"), ("call.json", "{}"), ("traces.jsonl", "[]"), ("call.wav", "RIFF")]
)
def test_a_broken_recording_is_told(call, capsys, name, text):
    (call / name).write_text(text)
    assert main(["simulate", "--replay", str(call)]) == 2
    assert capsys.readouterr().err.startswith("parley simulate: ")


def test_what_is_no_recording_is_told(tmp_path, capsys):
    assert main(["simulate", "--replay", str(tmp_path)]) == 2
    assert "no recording of a call" in capsys.readouterr().err
    assert main(["simulate", "--replay", str(tmp_path), "--live"]) == 2


async def test_a_server_records_its_calls_when_it_is_told_to(tmp_path):
    question = np.repeat(tone(0.6), 3)
    async with serving(record=tmp_path / "kept", turn=TurnSettings(silence=0.2)) as (server, url):
        async with call_server(url) as caller, aiohttp.ClientSession(url) as http:
            await caller.ask(question, 10)
            [trace] = server.stages.traces
            address = f"/traces/{trace.call}/{trace.response}.wav"
            refusal = await (await http.get(address)).json()
            assert "when the call is over" in refusal["error"]["message"]
        async with aiohttp.ClientSession(url) as http:
            while server.calls:
                await asyncio.sleep(0.01)
            response = await http.get(address)
            assert (response.status, response.content_type) == (200, "audio/wav")
            turn, _ = soundfile.read(io.BytesIO(await response.read()), dtype="int16")
            assert audible(turn[:, 0])
            assert audible(turn[:, 1])
            assert (await http.get(f"/traces/{trace.call}/other.wav")).status == 404
            assert (await http.get("/traces/other/resp_1.wav")).status == 404
    [folder] = (tmp_path / "kept").iterdir()
    sound, _ = soundfile.read(folder / "call.wav", dtype="int16")
    (asked, _), *_ = audible(sound[:, 0])
    (answered, _), *_ = audible(sound[:, 1])
    assert answered > asked + 0.6
    [trace] = lines(folder / "traces.jsonl")
    assert trace["marks"]["playout_started"] == pytest.approx(answered, abs=0.1), "one clock"
    assert {"voice", "vad", "turn"} <= json.loads((folder / "call.json").read_text()).keys()


async def test_a_client_that_plays_by_itself_is_recorded_as_it_was_sent(tmp_path):
    async with serving(record=tmp_path) as (_, url), aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{url}/v1/realtime") as socket:
            sound = np.concatenate([np.repeat(tone(0.6), 3)[::2], np.zeros(24_000, np.int16)])
            audio = base64.b64encode(sound.astype("<i2").tobytes()).decode()
            await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})
            async for message in socket:
                if message.json()["type"] == "response.done":
                    break
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    events = lines(folder / "events.jsonl")
    assert "response.done" in [line["event"]["type"] for line in events]
    assert audio[:100] not in (folder / "events.jsonl").read_text()
    sound, _ = soundfile.read(folder / "call.wav", dtype="int16")
    assert audible(sound[:, 0])[0] == pytest.approx((0.0, 0.6), abs=0.021)


def outcome(*traces, history=()):
    silence = np.zeros(INPUT_RATE, np.int16)
    return Outcome(silence, silence, [], list(traces), list(history))


def reply(**fields):
    marks = {"playout_started": 2.0, "done": 3.0, **fields.pop("marks", {})}
    return Trace("call", "resp", **{"status": "completed", "wait": 0.5, **fields, "marks": marks})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (outcome(reply()), []),
        (outcome(reply(marks={"playout_started": 2.03})), []),
        (outcome(reply(marks={"playout_started": 1.7})), ["reply 1 begins at 1.70 s, -0.30 s"]),
        (outcome(reply(marks={"done": 3.5})), ["reply 1 ends at 3.50 s, +0.50 s"]),
        (outcome(reply(wait=0.25)), ["reply 1 waits 250 ms, and waited 500 ms"]),
        (outcome(reply(status="cancelled")), ["reply 1 is cancelled, and was completed"]),
        (outcome(), ["0 replies, and not 1"]),
        (outcome(reply(), reply()), ["2 replies, and not 1"]),
        (outcome(reply(), history=["caller"]), ["the history was", "and is now", "  caller"]),
    ],
)
def test_what_differs_between_two_calls_is_told(now, told):
    assert differences(outcome(reply()), now) == told


def test_a_reply_that_was_never_heard_before_or_is_not_now():
    silent = Trace("call", "resp", "completed", {"done": 3.0}, wait=0.5)
    assert differences(outcome(silent), outcome(reply())) == ["reply 1 begins at 2.00 s, and never did"]
    assert differences(outcome(reply()), outcome(silent)) == ["reply 1 begins no more"]


def test_a_long_call_is_kept_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.edge.recording.MAX_SECONDS", 3.0)
    caller = keep(tmp_path)
    sound, _ = soundfile.read(tmp_path / "call" / "call.wav")
    assert 3.0 <= sound.shape[0] / INPUT_RATE <= 4.5
    assert len(caller.said) * 0.02 > 7
    assert max(line["time"] for line in lines(tmp_path / "call" / "events.jsonl")) < 5.0


class Unpaced:
    """A caller's end that gets speech as soon as it is made, and plays it by itself: 2 s of it after 0.2 s, heard until it interrupts."""

    def __init__(self):
        self.speaker, self.sent = SimpleNamespace(paced=False, on_audio=None), []

    async def frames(self):
        for number in range(50):
            if number == 10:
                self.speaker.on_audio(tone(2.0), INPUT_RATE)
            yield Frame(np.zeros(320, np.int16), 0.0)

    def send(self, event):
        self.sent.append(event)


def test_what_a_client_did_not_play_because_it_interrupted_is_not_in_the_recording(tmp_path):
    async def call():
        client, count = Unpaced(), 0
        with recorded(client, Recording(tmp_path, 1, {"id": "call"}), ()) as edge:
            async for _ in edge.frames():
                count += 1
                if count == 25:
                    edge.send(SpeechStarted(audio_start_ms=500, item_id="item"))
        return client

    assert len(run(call()).sent) == 1
    sound, _ = soundfile.read(tmp_path / "call" / "call.wav", dtype="int16")
    assert audible(sound[:, 1]) == [(0.2, 0.5)]
