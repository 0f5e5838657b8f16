"""The picture of a call: columns that mean what they say, signs in their places, and SVG that can be read."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from agent.audio import INPUT_RATE
from agent.simulation import picture
from agent.simulation.expectations import Outcome
from agent.simulation.sound import tone
from agent.traces.trace import Trace

SVG = "{http://www.w3.org/2000/svg}"


def outcome(*events, seconds=5.0, **fields):
    silence = np.zeros(round(seconds * INPUT_RATE), np.int16)
    return Outcome(silence, silence, [(time, {"type": kind}) for time, kind in events], fields.get("traces", []), [])


def rows(caller):
    return (("caller", caller), ("agent", np.zeros_like(caller)))


def drawn(call, caller=None):
    text = picture.draw("A call", rows(call.caller if caller is None else caller), call)
    return {line[:6].strip(): line[8:] for line in text.splitlines()[2:6]}


@pytest.mark.parametrize(("seconds", "step"), [(1, 0.02), (2.1, 0.05), (5, 0.05), (5.1, 0.1), (60, 1), (600, 10)])
def test_a_time_line_has_at_most_a_hundred_columns(seconds, step):
    call = outcome(seconds=seconds)
    text = picture.draw("A call", rows(call.caller), call)
    assert f"a column is {step:g} s" in text
    assert 0 < len(drawn(call)["caller"]) <= picture.COLUMNS


def test_seconds_stand_above_the_column_in_which_they_begin():
    ruler = drawn(outcome(seconds=5.0))[""]
    assert [ruler.index(second) for second in "012345"] == [0, 20, 40, 60, 80, 100]


def test_a_block_is_as_high_as_the_sound_is_loud():
    caller = np.concatenate([tone(1), (tone(1) * 0.03).astype(np.int16), tone(1) * 0, tone(1), tone(1) * 0])
    levels = drawn(outcome(), caller)["caller"]
    assert set(levels[:20]) == {picture.BLOCKS[-1]}
    assert len(set(levels[20:40])) == 1
    assert levels[20] in picture.BLOCKS[1:-1]
    assert set(levels[40:60]) == {picture.BLOCKS[0]}
    assert set(levels[60:80]) == {picture.BLOCKS[-1]}


def test_signs_stand_where_their_events_were():
    signs = drawn(outcome((1.0, "input_audio_buffer.speech_started"), (2.5, "error"), (3.0, "session.updated")))[
        "events"
    ]
    assert (signs[20], signs[50]) == ("S", "!")
    assert len(signs) == 51, "what has no sign is not shown"


def test_signs_of_one_column_stand_beside_one_another():
    events = [(2.0, "input_audio_buffer.speech_stopped"), (2.02, "output_audio_buffer.started"), (2.06, "error")]
    assert drawn(outcome(*events))["events"][40:] == "E▶!"


def test_an_event_after_the_end_is_shown_at_the_end():
    assert drawn(outcome((9.0, "error")))["events"].endswith("!")


def test_a_held_voice_has_a_sign():
    held = Trace("call", "resp", "completed", {"playout_started": 1.0, "overlap": 2.0})
    assert drawn(outcome(traces=[held]))["events"][40] == "~"


def test_a_reply_is_told_with_its_marks_in_order_of_time():
    marks = {"done": 3.0, "started": 1.0, "turn_ended": 1.5, "first_audio": 1.2}
    trace = Trace("call", "resp", "cancelled", marks, wait=0.5, end_of_turn=0.25, tries=2, hit=True)
    text = picture.draw("A call", rows(outcome().caller), outcome(traces=[trace]))
    assert (
        "reply 1  cancelled after 500 ms of silence, the engine's probability of the end 0.25; 2 tries, 200 ms saved"
        in text
    )
    assert "started 1.000 · first_audio 1.200 · turn_ended 1.500 · done 3.000" in text


def test_svg_has_a_row_for_each_side_and_a_line_for_each_sign():
    call = outcome((1.0, "input_audio_buffer.speech_started"), (2.0, "output_audio_buffer.started"))
    three = (*rows(tone(5)), ("agent <now>", tone(5)))
    document = ET.fromstring(picture.svg('"A" & <B>', three, call))
    assert document.find(f"{SVG}title").text == '"A" & <B>'
    polygons = document.findall(f"{SVG}polygon")
    assert [polygon.get("class") for polygon in polygons] == ["side", "side agent", "side agent"]
    lines = [line for line in document.findall(f"{SVG}line") if line.get("class") == "event"]
    assert [float(line.get("x1")) for line in lines] == [190, 290], "a hundred pixels a second, after the names"


def test_a_long_call_is_no_wider_than_a_page_takes():
    call = outcome(seconds=600)
    width = float(ET.fromstring(picture.svg("Long", rows(call.caller), call)).get("viewBox").split()[2])
    assert width <= picture.WIDEST + 200
