"""What a model's text means, however it is cut into deltas."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tools.call import LONGEST
from agent.tools.recognise import CallArguments, CallBroken, CallEnded, CallStarted, Noise, Recogniser

CALL = '{"name": "weather", "parameters": {"place": "Zürich {now}", "days": [1, {"a": "\\"}"}]}}'
ARGUMENTS = '{"place": "Zürich {now}", "days": [1, {"a": "\\"}"}]}'
OTHER = '{"name": "clock", "parameters": {}}'


def pieces(text, size=1):
    """What comes of a text in deltas of a size: words joined, arguments joined."""
    recogniser = Recogniser()
    found = [piece for at in range(0, len(text), size) for piece in recogniser.push(text[at : at + size])]
    joined = []
    for piece in [*found, *recogniser.end()]:
        before = joined[-1] if joined else None
        if isinstance(piece, str) and isinstance(before, str):
            joined[-1] += piece
        elif isinstance(piece, CallArguments) and isinstance(before, CallArguments):
            joined[-1] = CallArguments(before.delta + piece.delta)
        else:
            joined.append(piece)
    return joined


def call(name, arguments):
    return [CallStarted(name), CallArguments(arguments), CallEnded(arguments)]


WEATHER, CLOCK = call("weather", ARGUMENTS), call("clock", "{}")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello there. 3 < 4 (or so) [yes] ((really))", ["Hello there. 3 < 4 (or so) [yes] ((really))"]),
        (CALL, WEATHER),
        (f"\n\n{CALL}", ["\n\n", *WEATHER]),
        (f"<|python_tag|>{CALL}", WEATHER),
        (f"<|python_tag|> {CALL}; {OTHER}", [*WEATHER, *CLOCK]),
        (f"{CALL};\n{OTHER}", [*WEATHER, *CLOCK]),
        (f"Let me look. {CALL}", ["Let me look. ", *WEATHER]),
        (f"{CALL} There you are.", [*WEATHER, "There you are."]),
        (f"{CALL}}}", WEATHER),
        (f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{OTHER}\n</tool_call>", [*WEATHER, *CLOCK]),
        (f"[TOOL_CALLS][{CALL}, {OTHER}]", [*WEATHER, *CLOCK]),
        (f'{{"type": "function", {CALL[1:]}', WEATHER),
        ('{"function": "clock", "args": {} }', CLOCK),
        ('{"parameters": {"a": 1}, "name": "f"}', call("f", '{"a": 1}')),
        ('{"name": "clock"}', [CallStarted("clock"), CallArguments("{}"), CallEnded("{}")]),
        ('{"name": "clock", "parameters": null}', CLOCK),
        ('{"name": "f", "parameters": "{\\"a\\": 1}"}', call("f", '{"a": 1}')),
        (CALL[:-1], WEATHER),
        ("((noise))", [Noise()]),
        ("((Noise)) ", [Noise(), " "]),
        ("Well, ((noise))", ["Well, ", Noise()]),
        ("((nois", ["((nois"]),
        ("{smile} Hello {", ["{smile} Hello {"]),
        ('{"mood": "good"} {}', ['{"mood": "good"} {}']),
        ("{}", ["{}"]),
    ],
)
def test_recognised(text, expected, size):
    assert pieces(text, size) == expected


@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        (CALL[:-8], "cut off", True),
        (CALL[:25], "cut off", True),
        ('{"name": "we', "cut off", False),
        ('{"na', "cut off", False),
        ("<|python_tag|>print(1)", "JSON object", False),
        ("<tool_call>", "JSON object", False),
        ('<tool_call>{"mood": 1}</tool_call> Hello', "none of", False),
        ("<tool_call>{]", "match", False),
        ('{"name": 7, "parameters": {}}', "must be a string", False),
        ('{"parameters": {"a": 1}}', 'no "name"', False),
        ('{"name": "f", "parameters": {"a": "' + "x" * LONGEST, "longer", True),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_broken_call_is_told_and_never_spoken(text, reason, named, size):
    *before, broken = pieces(text, size)
    assert isinstance(broken, CallBroken)
    assert reason in broken.reason
    assert not [piece for piece in before if isinstance(piece, str)]
    assert any(isinstance(piece, CallStarted) for piece in before) == named


def test_words_do_not_wait():
    recogniser = Recogniser()
    assert recogniser.push("Hello") == ["Hello"]
    assert recogniser.push(" (") == [" "]
    assert recogniser.push("yes") == ["(yes"]


def test_a_call_is_given_as_it_comes():
    recogniser = Recogniser()
    assert recogniser.push('{"name": "weather"') == []
    assert recogniser.push(', "parameters": {"pla') == [CallStarted("weather"), CallArguments('{"pla')]
    assert recogniser.push('ce": "Bern"}') == [CallArguments('ce": "Bern"}')]
    assert recogniser.push("}") == [CallEnded('{"place": "Bern"}')]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.text(min_size=1), st.dictionaries(st.text(), values, max_size=4), st.integers(1, 9), st.sampled_from([None, 2])
)
def test_any_arguments_survive(name, arguments, size, indent):
    written = json.dumps({"name": name, "parameters": arguments}, indent=indent)
    started, *deltas, ended = pieces(f"Yes: {written}", size)[1:]
    assert started == CallStarted(name)
    assert json.loads(ended.arguments) == arguments
    assert "".join(delta.delta for delta in deltas) == ended.arguments


@given(st.text(alphabet='{}[]"\\:, na<|>_(noise)tool_call/', max_size=60), st.integers(1, 5))
def test_how_text_is_cut_changes_nothing(text, size):
    assert pieces(text, size) == pieces(text, 1000)
