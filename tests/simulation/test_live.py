"""`parley simulate --live`: the same scenario through a real server, a real caller and a WebRTC call over loopback."""

import pytest

from agent.__main__ import main
from agent.simulation.live import play_live
from agent.simulation.play import play
from agent.simulation.scenario import read

CALL = """
title = "A call"
lasts = 6.5
caller = [
  { says = "Tell me a story.", from = 0.2, to = 1.0 },
  { at = 2.5, sends = { type = "conversation.item.create", item = { type = "message", role = "system", content = [
    { type = "input_text", text = "It rains." },
  ] } } },
  { says = "Stop, please.", from = 3.0, to = 4.2 },
]
around = [{ echo = -25, delay = 0.1 }, { noise = -65 }]
engine = { answers = ["One two three four five six seven eight nine ten eleven twelve thirteen fourteen. " , "Yes."] }
expect = [
  { reply = 1, mark = "interrupted" },
  { reply = 2, status = "completed", never = "overlap" },
  { event = "input_audio_buffer.committed", times = 2 },
]
"""


@pytest.fixture
def scenario(tmp_path):
    file = tmp_path / "call.toml"
    file.write_text(CALL)
    return file


def test_a_live_call_goes_as_the_simulated_one(scenario):
    simulated, live = (run(read(scenario), scenario.parent) for run in (play, play_live))
    assert [line.split(":")[0] for line in live.history] == ["caller", "agent", "system", "caller", "agent"]
    assert live.history[2:] == simulated.history[2:] == ["system: It rains.", "caller", "agent: Yes."]
    assert live.history[1].startswith("agent: One two")
    assert live.history[1].endswith("—")
    assert [trace.marks.keys() for trace in live.traces] == [trace.marks.keys() for trace in simulated.traces]
    assert len(live.spoken) >= 2
    assert all(start >= 1.0 for start, _ in live.spoken), "on the caller's time line"


def test_the_command_waits_for_it_and_checks(scenario, capsys):
    assert main(["simulate", str(scenario), "--live", "--set", "expect=[{ event = 'error' }]"]) == 1
    shown = capsys.readouterr().out
    assert "A call  (6.5 s" in shown
    assert "NOT AS EXPECTED: error is never sent" in shown


@pytest.mark.parametrize("play", [play, play_live])
def test_packets_are_lost(play, scenario):
    lossy = read(scenario, ["around=[{ loss = 0.99, from = 0.0, to = 1.8 }]"])
    assert play(lossy, scenario.parent).history[:2] == ["system: It rains.", "caller"], "the first turn is not heard"


@pytest.mark.parametrize("change", ["lasts", "=1", "title.x=1"])
def test_a_change_that_is_none(scenario, capsys, change):
    assert main(["simulate", str(scenario), "--set", change]) == 2
    assert change in capsys.readouterr().err
