"""The log as JSON: one object a line, with exceptions and turns as fields."""

import json
import logging
import sys

from agent.traces.logs import JSONFormatter
from agent.traces.trace import Trace


def written(message, *args, **fields):
    record = logging.LogRecord("agent.replies.reply", logging.INFO, "", 0, message, args, fields.get("exc_info"))
    record.created = 1_700_000_000.25
    return json.loads(JSONFormatter().format(record))


def test_a_line_is_one_object():
    assert written("%s began; %d in progress", "rtc_1", 2) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "logger": "agent.replies.reply",
        "message": "rtc_1 began; 2 in progress",
    }


def test_a_turn_is_told_in_fields():
    trace = Trace("rtc_1", "resp_2", "completed", {"speech_stopped": 1.0, "turn_ended": 1.4})
    fields = written("%s", trace)
    assert fields["message"] == "resp_2 completed speech_stopped=0 turn_ended=400"
    assert fields["turn"]["call"] == "rtc_1"
    assert fields["turn"]["marks"] == {"speech_stopped": 0, "turn_ended": 400}


def test_an_exception_stays_on_its_line():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        fields = written("failed", exc_info=sys.exc_info())
    assert "ValueError: two\nlines" in fields["error"]
