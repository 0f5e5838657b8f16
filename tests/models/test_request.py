"""What a request is before it runs: its positions, what of them a tape may bring, and how long its answer may be."""

import numpy as np
import pytest

from models import InputError, Model
from models.history import Truncation
from models.request import Options, Priority, Request, build

USER = {"role": "user", "content": "<|audio|>"}
TYPED = {"role": "user", "content": "typed"}
SAID = {"role": "assistant", "content": "said"}
AUDIO = np.arange(9000, dtype=np.int16)  # 57 mel frames, so 4 positions


def ask(model: Model, *messages: dict[str, str], tokens: int = 50, window: int = 400) -> Request:
    audios = [AUDIO for message in messages for _ in range(message["content"].count("<|audio|>"))]
    return build(model, window, messages, audios, Options(tokens))


def test_positions_are_those_of_the_models_own_inputs(model: Model) -> None:
    request = ask(model, USER, SAID, USER)
    inputs = model.prepare(model.prompt([USER, SAID, USER]), [AUDIO, AUDIO])
    assert request.plan.ids == inputs.input_ids.tolist()
    assert len(request.keys) == len(request.plan.ids)
    assert [window.start for window in request.plan.windows] == inputs.audio_token_start_idx
    assert [window.count for window in request.plan.windows] == inputs.audio_token_len == [4, 4]
    assert request.pending == len(request.keys)


def test_the_newest_audio_ends_where_the_turn_may_end(model: Model) -> None:
    request = ask(model, USER, SAID, USER)
    assert request.heard == request.plan.windows[-1].start + 3
    assert request.settled == request.plan.windows[-1].start
    assert ask(model, USER, SAID, TYPED).heard is None
    assert ask(model, TYPED).heard is None


def test_what_is_asked_for_is_computed_even_if_it_is_known(model: Model) -> None:
    answer, prefill = ask(model, USER), ask(model, USER, tokens=0)
    assert answer.reusable == len(answer.keys) - 1
    assert prefill.reusable == prefill.heard
    typed = ask(model, TYPED, tokens=0)
    assert typed.reusable == typed.settled == len(typed.keys) - 1


def test_an_answer_is_as_long_as_is_wanted_and_as_fits(model: Model) -> None:
    length = len(ask(model, TYPED).keys)
    assert ask(model, TYPED).limit == 50
    assert ask(model, TYPED, tokens=5000).limit == 400 - length + 1
    assert ask(model, TYPED, tokens=0).limit == 0
    assert ask(model, TYPED, window=length).limit == 1
    with pytest.raises(InputError, match=f"takes {length} tokens; the window holds {length - 1}"):
        ask(model, TYPED, window=length - 1)


def test_old_turns_make_room_for_the_answer(model: Model) -> None:
    turns = [USER, SAID] * 8
    whole = len(ask(model, *turns, TYPED, window=1000).keys)
    for tokens in (0, 20, 5000):
        request = ask(model, *turns, TYPED, tokens=tokens, window=whole - 1)
        assert len(request.keys) <= whole - 1 - min(max(1, tokens), whole // 4)
        assert len(request.audios) == len(request.plan.windows) < 8


def test_a_conversation_that_may_not_be_cut_is_refused_when_it_is_too_long(model: Model) -> None:
    turns = [*[USER, SAID] * 8, TYPED]
    with pytest.raises(InputError, match="the conversation takes"):
        build(model, 60, turns, [AUDIO] * 8, Options(truncation=Truncation(None)))


@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be kind."}]])
def test_functions_on_offer_are_no_part_of_the_conversation_that_is_limited(model: Model, system: list[dict]) -> None:
    """They are part of the instructions, as OpenAI's `post_instructions` counts."""
    messages, clock = [*system, *[TYPED, SAID] * 8, TYPED], {"name": "clock", "description": "Tell the time. " * 40}
    tools = ({"type": "function", "function": clock | {"parameters": {"type": "object", "properties": {}}}},)

    def kept(limit: int, offered: tuple[dict, ...]) -> int:
        options = Options(0, truncation=Truncation(0.75, limit), tools=offered)
        return model.tokenizer.decode(build(model, 4000, messages, [], options).plan.ids).count("typed")

    assert 1 < kept(200, ()) < kept(4000, ()) == 9
    assert [kept(limit, tools) for limit in (200, 4000)] == [kept(200, ()), 9]


def test_positions_of_audio_are_counted(model: Model) -> None:
    request = ask(model, USER, SAID, USER)
    [first, second] = request.plan.windows
    assert [request.audio(end) for end in (first.start, first.start + 3, second.start, second.start + 1, 999)] == [
        0,
        3,
        4,
        5,
        8,
    ]


@pytest.mark.parametrize(
    ("messages", "audios", "message"),
    [
        ([], [], "no messages"),
        ([USER], [], "1 .* but there are 0 audios"),
        ([TYPED], [AUDIO], "0 .* but there are 1 audios"),
        ([TYPED, SAID], [], "nothing to answer"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(model: Model, messages: list, audios: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(model, 400, messages, audios, Options())


def with_tools(model: Model, **options: object) -> str:
    """The prompt of a request, as text."""
    tools = ({"type": "function", "function": {"name": "clock", "parameters": {}}},)
    request = build(model, 900, [TYPED], [], Options(50, tools=tools, **options))
    return model.tokenizer._tokenizer.decode(request.plan.ids, skip_special_tokens=False)


def test_functions_stand_in_the_prompt_and_a_demanded_call_begins_the_answer(model: Model) -> None:
    prompt = with_tools(model)
    assert '"name": "clock"' in prompt
    assert with_tools(model, call="") == prompt + '{"name": "'
    assert with_tools(model, call="clock") == prompt + '{"name": "clock", "parameters":'


def test_a_prefill_does_not_hold_the_beginning_of_the_answer(model: Model) -> None:
    request = build(model, 400, [TYPED], [], Options(0, call="clock"))
    assert request.keys == ask(model, TYPED).keys


def test_the_order_of_priorities() -> None:
    assert sorted(Priority, reverse=True) == [Priority.OFF_PATH, Priority.SPECULATIVE, Priority.COMMITTED]
