"""`parley simulate`: the scenarios that ship run as they say, broken ones are told by line and key, and a failure is a failure."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.simulation.scenario import ScenarioError, read

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

CALL = """
title = "A call"
lasts = 5.0
caller = [
  { says = "Hello.", from = 0.5, to = 1.5 },
]
"""


def run(path, *options):
    return main(["simulate", str(path), *map(str, options)])


def written(folder, text):
    file = folder / "call.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_go_as_they_say(path, capsys):
    assert run(path) == 0
    assert "As expected" in capsys.readouterr().out


def test_there_are_four_examples():
    assert {path.stem for path in EXAMPLES.glob("*.toml")} >= {"interruption", "backchannel", "hesitation", "slow"}


def test_two_runs_are_equal(capsys):
    path = EXAMPLES / "slow.toml"
    assert run(path, "--events") == run(path, "--events") == 0
    first, second = capsys.readouterr().out.split("A slow engine")[1:]
    assert first == second


def test_the_picture_shows_both_sides_on_one_time_line(tmp_path, capsys):
    assert run(written(tmp_path, CALL + 'engine = { answers = ["One two three four."] }')) == 0
    drawn = capsys.readouterr().out.split("reply 1")[0].splitlines()
    lines = {line.split()[0]: line[8:] for line in drawn if line.strip()}
    spoken = [column for column, block in enumerate(lines["caller"]) if block in "▁▂▃▄▅▆▇█"]
    answered = [column for column, block in enumerate(lines["agent"]) if block in "▁▂▃▄▅▆▇█"]
    assert (spoken[0], spoken[-1]) == (10, 29), "0.5 to 1.5 s in columns of 50 ms"
    assert (answered[0], answered[-1]) == (40, 60), "2.02 to 3.02 s"
    assert lines["events"][answered[0] :].startswith(("E▶", "▶"))


def test_the_picture_can_be_svg(tmp_path):
    file = tmp_path / "call.svg"
    assert run(written(tmp_path, CALL.replace("A call", "A & B")), "--svg", file) == 0
    drawn = ET.parse(file).getroot()
    assert next(element.text for element in drawn.iter("{http://www.w3.org/2000/svg}title")) == "A & B"
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polygon"))) == 2


UNMET = {
    '{ agent = "begins", at = 1.0 }': "begins at 2.020 s",
    '{ agent = "stops", between = [0, 1] }': "stops at 2.280 s",
    '{ agent = "speaks", from = 1.0, to = 3.0 }': "from 2.020 to 2.280 s",
    '{ agent = "is silent", from = 1.0, to = 3.0 }': "not silent",
    '{ event = "response.done", times = 2 }': "1 times",
    '{ event = "response.done", with = { response = { status = "failed" } } }': "never sent",
    '{ event = "response.created", at = 1.0 }': "at 2.000 s",
    '{ event = "error" }': "never sent",
    "{ reply = 2 }": "no reply 2",
    '{ reply = 1, status = "failed" }': "status is completed",
    '{ reply = 1, mark = "interrupted" }': "no mark interrupted",
    '{ reply = 1, never = "first_token" }': "has the mark first_token",
    '{ reply = 1, mark = "turn_ended", after = "speech_stopped", at = 0.3 }': "0.500 s after speech_stopped",
    '{ history = ["caller", "agent: No."] }': "agent: Yes.",
}


@pytest.mark.parametrize(("expected", "message"), UNMET.items())
def test_what_is_not_met_is_exit_1_and_says_what_happened(tmp_path, capsys, expected, message):
    assert run(written(tmp_path, f"{CALL}expect = [\n  {expected},\n]")) == 1
    failure = capsys.readouterr().out.splitlines()[-1]
    assert failure.startswith("NOT AS EXPECTED: ")
    assert message in failure


BROKEN = {
    "title = ": "no valid TOML",
    CALL.replace("lasts = 5.0", ""): "lasts: is missing",
    CALL.replace("to = 1.5", "until = 1.5"): ":5: caller 1, until: there is no such key",
    CALL.replace("from = 0.5", "from = -1"): ":5: caller 1, from: Input should be greater than or equal to 0",
    CALL.replace("0.5, to", "2.5, to"): ":5: caller 1: ends at 1.5 s, before it begins",
    CALL.replace(", to = 1.5", ""): "caller 1 needs `to`",
    CALL.replace("5.0", "1.0"): "caller 1 is not over when the call is",
    CALL.replace("says = ", 'coughs = true, says = "'[:-1]): "exactly one of says, coughs, plays and sends",
    CALL
    + 'expect = [\n  { event = "error", times = 0 },\n  { agent = "sings" },\n]': ":9: expect 2, agent: Input should be",
    CALL + "expect = [\n  { at = 1 },\n]": "expect 1: needs one of the keys agent, event, reply and history",
    CALL + 'expect = [{ agent = "begins" }]': "needs one of `at` and `between`",
    CALL + "[turn]\nsilence = -1": ":8: turn.silence: Input should be greater",
    CALL + "[voice]\nspeed = 2": ":8: voice.speed: there is no such key",
    CALL.replace('says = "Hello."', 'plays = "none.wav"'): "no such file",
    CALL + 'speech = "no-such-voice"': "no-such-voice",
    CALL.replace("Hello.", "Hello, how are you? " * 5)
    + 'speech = "en-us"': "caller 1 is not over when the call is: it ends at",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items())
def test_a_broken_scenario_is_exit_2_and_names_the_line_and_the_key(tmp_path, capsys, text, message):
    assert run(written(tmp_path, text)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("parley simulate: ")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.toml: No such file"):
        read(tmp_path / "none.toml")


def test_every_mistake_is_told(tmp_path):
    with pytest.raises(ScenarioError) as error:
        read(written(tmp_path, CALL.replace("from = 0.5", "from = -1") + "[turn]\nsilence = -1"))
    assert len(str(error.value).splitlines()) == 2


def test_a_client_event_is_sent_when_its_time_comes(tmp_path):
    act = '{ at = 3.0, sends = { type = "response.cancel" } },'
    answer = 'engine = { answers = ["' + "word " * 40 + '."] }'
    expected = 'expect = [{ agent = "stops", at = 3.0 }]'
    assert run(written(tmp_path, CALL.replace("]", f"  {act}\n]") + answer + "\n" + expected)) == 0


def test_disturbances_last_as_long_as_they_say(tmp_path):
    """Noise as loud as speech is a turn, from its beginning to its end."""
    around = "around = [{ from = 2.0, to = 3.0, noise = -20 }]\n"
    expected = 'expect = [{ reply = 1, mark = "speech_stopped", at = 3.0 }]'
    silent = CALL[: CALL.index("caller")]
    assert run(written(tmp_path, silent + around + expected)) == 0


def test_real_speech_is_heard_by_the_real_detector_and_answered_by_a_real_voice(tmp_path, capsys):
    spoken = CALL.replace(", to = 1.5", "") + 'speech = "en-us"\nvoice = { name = "en-gb-x-rp" }\n'
    assert run(written(tmp_path, spoken + 'expect = [{ history = ["caller", "agent: Yes."] }]')) == 0
    assert "reply 1  completed" in capsys.readouterr().out
