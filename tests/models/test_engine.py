"""Many requests at once give what each would give alone; faults, limits and priorities stay with whom they belong to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import InputError, Model, load, memory
from models.engine import Engine, EngineFullError, Limits, _said
from models.request import Delta, Failed, Finished, Options, Output, Prefilled, Priority, Request
from models.sampling import Sampling
from tests.models import checkpoints

SMALL = Limits(conversations=3, waiting=5, capacity=700, piece=32)
SYSTEM = {"role": "system", "content": "be kind"}


def user(content: str = "<|audio|>") -> dict[str, str]:
    return {"role": "user", "content": content}


def sound(seed: int, samples: int = 9000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


def run(engine: Engine, steps: int = 1000) -> list[tuple[Request, Output]]:
    """Step until nothing is left to do."""
    outputs = []
    while not engine.idle and steps:
        outputs += engine.step()
        steps -= 1
    return outputs


def of(outputs: Sequence[tuple[Request, Output]], request: Request) -> list[Output]:
    return [output for owner, output in outputs if owner is request]


def text(outputs: Sequence[tuple[Request, Output]], request: Request) -> str:
    return "".join(output.text for output in of(outputs, request) if isinstance(output, Delta))


def answer(engine: Engine, messages: Sequence[dict[str, Any]], audios: Sequence[Any] = (), tokens: int = 12) -> str:
    request = engine.ask(messages, audios, Options(tokens))
    outputs = run(engine)
    assert isinstance(of(outputs, request)[-1], Finished)
    return text(outputs, request)


def alone(model: Model, messages: Sequence[dict[str, Any]], audios: Sequence[Any] = (), tokens: int = 12) -> str:
    return "".join(model.generate(messages, audios, tokens))


@pytest.fixture
def engine(model: Model) -> Engine:
    return Engine(model, SMALL)


CHATS = [
    ([user("hello")], []),
    ([SYSTEM, user("what is <|audio|>?")], [sound(1)]),
    (
        [SYSTEM, user(), {"role": "assistant", "content": "hello there"}, user("and <|audio|> or <|audio|>")],
        [sound(1), sound(2, 30_000), sound(3)],
    ),
    ([SYSTEM, user("translate " * 20 + "<|audio|>")], [sound(4, 70_000)]),
    ([SYSTEM, user("a much longer text " * 10)], []),
]


def test_answers_made_together_are_those_made_alone(model: Model, engine: Engine) -> None:
    requests = [engine.ask(messages, audios, Options(12)) for messages, audios in CHATS]
    outputs = run(engine)
    for request, (messages, audios) in zip(requests, CHATS, strict=True):
        assert text(outputs, request) == alone(model, messages, audios)
        assert isinstance(of(outputs, request)[-1], Finished)
    assert len({text(outputs, request) for request in requests}) > 2


def test_an_audio_of_several_windows_is_heard_in_pieces(model: Model) -> None:
    engine = Engine(model, Limits(conversations=1, capacity=700, piece=50))
    chat = [SYSTEM, user("<|audio|> and <|audio|>")], [sound(5, 31 * 16_000), sound(6)]
    assert answer(engine, *chat) == alone(model, *chat)


def test_a_new_prompt_delays_others_by_one_piece(engine: Engine) -> None:
    talking = engine.ask([user("hello")], options=Options(50))
    engine.step()
    engine.ask([user("long " * 60)])
    for _ in range(3):
        before = len(talking.made)
        engine.step()
        assert len(talking.made) == before + 1


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_came_before_answers_are_those_from_nothing(model: Model, data: st.DataObject) -> None:
    """Conversations go on, are cut, change their instructions, are withdrawn and evicted, in any order."""
    engine = Engine(model, Limits(conversations=2, capacity=700, piece=data.draw(st.sampled_from([7, 32, 256]))))
    history: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for _ in range(data.draw(st.integers(1, 5))):
        call = data.draw(st.integers(0, 2))
        system = {"role": "system", "content": data.draw(st.sampled_from(["be kind", "be brief"]))}
        turn = (
            (user(), [sound(data.draw(st.integers(0, 3)), 3000)]) if data.draw(st.booleans()) else (user("hello"), [])
        )
        chat = [*history[call], turn]
        messages = [system, *(message for message, _ in chat)]
        audios = [audio for _, of_message in chat for audio in of_message]
        if data.draw(st.booleans()):  # a speculation that is withdrawn
            withdrawn = engine.ask(
                [*messages[:-1], user()], [*audios[: len(audios) - len(turn[1])], sound(9, 2000)], Options(5)
            )
            for _ in range(data.draw(st.integers(0, 3))):
                engine.step()
            engine.cancel(withdrawn)
        made = answer(engine, messages, audios, 6)
        assert made == alone(model, messages, audios, 6)
        heard = made[: data.draw(st.integers(0, len(made)))]  # the caller interrupts
        history[call] = [*chat, ({"role": "assistant", "content": heard}, [])]


def computed(engine: Engine, request: Request) -> int:
    """Step until the request's prompt is on the tape; give the positions that were computed for it."""
    assert request.tape is None
    engine._admit()
    count = request.pending
    while request.pending:
        engine.step()
    return count


def test_a_second_turn_computes_only_what_is_new(engine: Engine) -> None:
    first = [SYSTEM, user("<|audio|> " + "words " * 30)]
    said = answer(engine, first, [sound(1)])
    second = [*first, {"role": "assistant", "content": said}, user()]
    request = engine.ask(second, [sound(1), sound(2)])
    assert len(request.keys) > 150
    assert computed(engine, request) < 60


def test_audio_is_known_by_its_content(engine: Engine) -> None:
    messages = [SYSTEM, user()]
    answer(engine, messages, [sound(1)])
    assert computed(engine, engine.ask(messages, [sound(1).copy()])) == 1
    engine.cancel(engine._active[0])
    louder = sound(1)
    louder[-1] += 1
    assert computed(engine, engine.ask(messages, [louder])) > 4


def test_conversations_share_their_beginning_and_keep_their_own(engine: Engine) -> None:
    system = {"role": "system", "content": "words " * 30}
    first = engine.ask([system, user()], [sound(1)], Options(60))
    while not first.made:
        engine.step()
    second = engine.ask([system, user()], [sound(2)])  # while the first is still being answered
    assert computed(engine, second) < 40
    assert second.tape is not first.tape
    run(engine)
    third = engine.ask([system, user(), {"role": "assistant", "content": "hello"}, user()], [sound(1), sound(3)])
    engine._admit()
    assert third.tape is first.tape


def test_an_evicted_conversation_comes_back(model: Model) -> None:
    engine = Engine(model, Limits(conversations=1, capacity=700))
    chat = [SYSTEM, user()], [sound(1)]
    answer(engine, *chat)
    answer(engine, [user("other " * 20)])
    request = engine.ask(*chat)
    assert computed(engine, request) >= len(request.keys) - request.settled  # the audio, too
    engine.cancel(request)
    assert answer(engine, *chat) == alone(model, *chat)


def test_a_growing_audio_stays_on_its_tape(engine: Engine) -> None:
    other = engine.ask([SYSTEM, user("another call")], options=Options(1))
    run(engine)
    tapes = set()
    for length in (3000, 6000, 9000, 12_000):
        request = engine.ask([SYSTEM, user()], [sound(1)[:length]], Options(0, Priority.SPECULATIVE))
        run(engine)
        tapes.add(request.tape)
    assert len(tapes) == 1
    assert other.tape not in tapes


def end_of_turn(model: Model, audio: np.ndarray) -> float:
    prompt = model.prompt([SYSTEM, user()])
    inputs = model.prepare(prompt, [audio])
    last = inputs.audio_token_start_idx[-1] + inputs.audio_token_len[-1] - 1
    return float(model.logits(inputs)[last].softmax(-1)[sorted(model.stop)].sum())


def test_a_prefill_tells_how_probable_the_end_of_the_turn_is(model: Model, engine: Engine) -> None:
    told = []
    for length in (3000, 6000, 6000):
        audio = sound(1)[:length]
        request = engine.ask([SYSTEM, user()], [audio], Options(0, Priority.SPECULATIVE))
        [(_, output)] = run(engine)
        assert isinstance(output, Prefilled)
        assert output.end_of_turn == pytest.approx(end_of_turn(model, audio), rel=1e-2)
        told.append(output.end_of_turn)
        assert request.made == []
    assert told[1] == pytest.approx(told[2], rel=1e-3)
    assert computed(engine, engine.ask([SYSTEM, user()], [sound(1)[:6000]])) == 1


def test_a_typed_turn_has_no_end_to_hear(engine: Engine) -> None:
    engine.ask([SYSTEM, user(), {"role": "assistant", "content": "yes"}, user("typed")], [sound(1)], Options(0))
    assert [output for _, output in run(engine)] == [Prefilled(None)]


def test_a_cancelled_request_leaves_at_once(model: Model, engine: Engine) -> None:
    requests = [engine.ask(messages, audios, Options(40)) for messages, audios in CHATS[:4]]
    for _ in range(8):
        engine.step()
    kept, answering, prefilling, waiting = requests
    assert answering.made
    assert waiting.tape is None
    for request in (answering, prefilling, waiting):
        engine.cancel(request)
        engine.cancel(request)
    outputs = run(engine)
    assert {owner for owner, _ in outputs} <= {kept}
    assert answer(engine, *CHATS[1]) == alone(model, *CHATS[1])


def test_the_most_urgent_goes_first(engine: Engine) -> None:
    def ask(priority: Priority) -> Request:
        return engine.ask([user("words " * 20)], options=Options(3, priority))

    off, speculative, committed = map(ask, (Priority.OFF_PATH, Priority.SPECULATIVE, Priority.COMMITTED))
    done = [owner for owner, output in run(engine) if isinstance(output, Finished)]
    assert done == [committed, speculative, off]


def test_a_speculation_that_comes_true_is_served_as_what_is_waited_for(engine: Engine) -> None:
    def order(*, promote: bool) -> list[Request]:
        asked = [
            engine.ask([user(f"{number} " + "words " * 20)], options=Options(3, Priority.SPECULATIVE))
            for number in range(4)  # one more than there are tapes
        ]
        engine.step()
        if promote:
            asked[2].priority = asked[3].priority = Priority.COMMITTED
        done = [owner for owner, output in run(engine) if isinstance(output, Finished)]
        return [asked.index(owner) for owner in done]

    assert order(promote=False) == [0, 1, 2, 3]
    assert set(order(promote=True)[:2]) == {2, 3}


def test_equally_urgent_prompts_take_turns(engine: Engine) -> None:
    long = engine.ask([user("long " * 100)], options=Options(1))
    short = engine.ask([user("short")], options=Options(1))
    pieces = -(-len(short.keys) // SMALL.piece)
    assert len(long.keys) > 4 * pieces * SMALL.piece
    for _ in range(2 * pieces):
        engine.step()
    assert short.made
    assert not long.made


def test_the_more_urgent_takes_the_tape_of_the_less_urgent(model: Model) -> None:
    engine = Engine(model, Limits(conversations=1, capacity=700, piece=32))
    chats = CHATS[1], CHATS[2], CHATS[0]
    orders = (Priority.OFF_PATH, Priority.SPECULATIVE, Priority.COMMITTED)
    requests, outputs = [], []
    for (messages, audios), priority in zip(chats, orders, strict=True):
        requests.append(engine.ask(messages, audios, Options(12, priority)))
        while not requests[-1].made:
            outputs += engine.step()
    assert [request.tape is None for request in requests] == [True, True, False]
    outputs += run(engine)
    done = [owner for owner, output in outputs if isinstance(output, Finished)]
    assert done == requests[::-1]
    for request, (messages, audios) in zip(requests, chats, strict=True):
        assert text(outputs, request) == alone(model, messages, audios)
        assert of(outputs, request)[-1] == Finished(len(request.made) - 1, complete=True) or len(request.made) == 12


def test_off_path_work_rests_while_there_is_other_work(engine: Engine) -> None:
    off = engine.ask([user("hello")], options=Options(40, Priority.OFF_PATH))
    for _ in range(5):
        engine.step()
    made = len(off.made)
    committed = engine.ask([user("hello there")], options=Options(5))
    while committed in (*engine._waiting, *engine._active):
        assert len(off.made) == made
        engine.step()
    run(engine)
    assert len(off.made) > made


def test_too_many_requests_are_refused(engine: Engine) -> None:
    for _ in range(5):
        engine.ask([user("hello")])
    with pytest.raises(EngineFullError, match="3 conversations are being answered and 5 requests wait"):
        engine.ask([user("hello")])
    engine.step()
    engine.ask([user("hello")])


def test_bad_audio_fails_its_own_request(model: Model, engine: Engine) -> None:
    good = engine.ask(*CHATS[1], Options(12))
    bad = engine.ask([user()], [np.full(4000, np.nan, np.float32)])
    outputs = run(engine)
    [failed] = of(outputs, bad)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, InputError)
    assert text(outputs, good) == alone(model, *CHATS[1])
    with pytest.raises(InputError, match="0 audios"):
        engine.ask([user()])


def test_numbers_that_break_fail_their_own_request_and_leave_no_trace(model: Model, engine: Engine) -> None:
    good, bad = (engine.ask(*CHATS[1], Options(30)), engine.ask([user("hello")], options=Options(30)))
    outputs = [output for _ in range(6) for output in engine.step()]
    assert bad.tape
    engine._tapes.pool.buffer[:, :, bad.tape.slot, :, 2:] = float("nan")
    outputs += run(engine)
    failed = of(outputs, bad)[-1]
    assert isinstance(failed, Failed)
    assert "not a number" in str(failed.error)
    assert text(outputs, good) == alone(model, *CHATS[1], 30)
    assert bad.tape.keys == []
    requests = [engine.ask(messages, audios, Options(12)) for messages, audios in CHATS[:3]]
    outputs = run(engine)
    for request, (messages, audios) in zip(requests, CHATS, strict=False):
        assert text(outputs, request) == alone(model, messages, audios)


class Faulty:
    """A language model that runs out of memory whenever a given token is fed to it."""

    token: int | None = None

    def __init__(self, model: Any) -> None:
        self._model = model

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.shape[1] == 1 and self.token in ids.flatten().tolist():
            raise RuntimeError("out of memory")
        return self._model.embed(ids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *arguments: Any) -> Any:
        return self._model(*arguments)


def test_a_step_that_fails_costs_only_the_request_at_fault(model: Model) -> None:
    endless = Model(model._network, model.tokenizer, frozenset())  # so that both are in flight when it fails
    broken = Model(model._network, model.tokenizer, frozenset())
    broken.language_model = faulty = Faulty(model.language_model)
    engine = Engine(broken, SMALL)
    good, bad = engine.ask(*CHATS[1], Options(20)), engine.ask(*CHATS[2], Options(20))
    outputs: list[tuple[Request, Output]] = []
    while not (good.made and bad.made):
        outputs += engine.step()
    faulty.token = bad.made[-1]
    outputs += run(engine)
    assert bad.made[-1] not in good.made
    assert isinstance(of(outputs, bad)[-1], Failed)
    assert text(outputs, good) == alone(endless, *CHATS[1], 20)
    assert len(good.made) == 20


def test_a_step_that_fails_for_the_only_answer_in_flight_fails_that_answer(model: Model) -> None:
    broken = Model(model._network, model.tokenizer, model.stop)
    broken.language_model = faulty = Faulty(model.language_model)
    engine = Engine(broken, SMALL)
    bad = engine.ask(*CHATS[2], Options(20))
    outputs: list[tuple[Request, Output]] = []
    while not bad.made:
        outputs += engine.step()
    faulty.token = bad.made[-1]
    outputs += run(engine)
    assert [type(output) for output in of(outputs, bad)].count(Failed) == 1
    assert isinstance(of(outputs, bad)[-1], Failed)
    assert engine.idle
    faulty.token = None
    assert answer(engine, *CHATS[1]) == alone(model, *CHATS[1])


def test_a_long_conversation_forgets_its_oldest_turns(model: Model) -> None:
    engine = Engine(model, Limits(conversations=1, capacity=200))
    turns = [user("to"), {"role": "assistant", "content": "yes"}] * 6
    request = engine.ask([SYSTEM, *turns, user("last")], options=Options(100))
    assert 75 < len(request.keys) <= 150
    assert engine.model.tokenizer.encode("be kind")[0] in request.keys
    run(engine)
    with pytest.raises(InputError, match=r"the newest turn takes \d+ tokens; the window holds 200"):
        engine.ask([user("word " * 300)])


def test_an_answer_ends_where_the_window_does(model: Model) -> None:
    endless = Model(model._network, model.tokenizer, frozenset())
    engine = Engine(endless, Limits(conversations=1, capacity=110))
    request = engine.ask([user("hello " * 15)], options=Options(500))
    assert isinstance(of(run(engine), request)[-1], Finished)
    assert len(request.keys) + len(request.made) == 111


@pytest.mark.parametrize("family", ["mistral", "qwen3"])
def test_every_family_answers_from_its_tape(tmp_path: Path, family: str) -> None:
    """Mistral's layers see a window of positions, Qwen's normalise each head."""
    changes = {"sliding_window": 20} if family == "mistral" else {}
    text_model = checkpoints.language_model(family, **changes)
    parts = checkpoints.Parts(
        checkpoints.whisper(), checkpoints.projector(32, 48, norm_mid=False), text_model, norm_mid=False
    )
    model = load(checkpoints.write(tmp_path, "whole", parts)[0], dtype="float32")
    expected = [alone(model, messages, audios) for messages, audios in CHATS]
    engine = Engine(model, Limits(conversations=2, capacity=700, piece=9))
    for _ in range(2):  # from nothing, and from the tape
        requests = [engine.ask(messages, audios, Options(12)) for messages, audios in CHATS]
        outputs = run(engine)
        assert [text(outputs, request) for request in requests] == expected


def test_a_tape_changes_little_in_bfloat16(whole: Path) -> None:
    """Pieces of another size round differently, so logits are near, not equal."""
    model = load(whole, dtype="bfloat16")
    told = []
    for piece in (5, 700):
        engine = Engine(model, Limits(conversations=1, capacity=700, piece=piece))
        engine.ask(*CHATS[3], Options(0))
        told += [output.end_of_turn for _, output in run(engine) if isinstance(output, Prefilled)]
    assert told[0] == pytest.approx(told[1], rel=0.3, abs=1e-3)


def test_each_request_is_sampled_its_own_way(model: Model, engine: Engine) -> None:
    torch.manual_seed(0)
    hot = Options(20, sampling=Sampling(temperature=3.0))
    requests = [engine.ask(*CHATS[0], options) for options in (Options(20), hot, hot)]
    outputs = run(engine)
    answers = [text(outputs, request) for request in requests]
    assert answers[0] == alone(model, *CHATS[0], 20)
    assert len(set(answers)) == 3


def test_a_repetition_penalty_avoids_what_was_said_but_not_the_end(model: Model) -> None:
    engine = Engine(Model(model._network, model.tokenizer, frozenset()), SMALL)
    request = engine.ask([user("hello")], (), Options(60, sampling=Sampling(repetition_penalty=1e9)))
    plain = engine.ask([user("hello")], (), Options(60))
    run(engine)
    assert len(set(request.made)) > len(set(plain.made))
    end = model.tokenizer.eos
    ended = engine.ask([user("hello")], (), Options(60, sampling=Sampling(repetition_penalty=1e9)))
    ended.made.append(end)
    assert end not in _said(ended, model)
    assert set(model.tokenizer.encode("hello")) <= set(_said(ended, model).tolist())


def test_characters_are_never_split(model: Model) -> None:
    engine = Engine(Model(model._network, model.tokenizer, frozenset()), SMALL)
    request = engine.ask([user("hello")], (), Options(80, sampling=Sampling(temperature=5.0)))
    outputs = of(run(engine), request)
    deltas = [output.text for output in outputs if isinstance(output, Delta)]
    assert all(deltas)
    assert "".join(deltas) == model.tokenizer.decode(request.made)
    assert outputs[-1] == Finished(80, complete=False)


def test_off_path_work_leaves_the_callers_tape_alone(engine: Engine) -> None:
    chat = [SYSTEM, user()], [sound(1)]
    answer(engine, *chat)
    transcript = engine.ask([SYSTEM, user("repeat <|audio|>")], [sound(1)], Options(5, Priority.OFF_PATH))
    run(engine)
    assert transcript.tape
    assert computed(engine, engine.ask(*chat)) == 1


def test_by_default_the_memory_decides_how_many_conversations_there_are(model: Model) -> None:
    assert Engine(model).conversations == 32
    one = memory.cache_bytes(model.config.text, torch.float32, 100)
    assert memory.conversations(model.config.text, torch.float32, 100, 10 * one) == 5
    assert memory.conversations(model.config.text, torch.float32, 100, 0) == 1
    assert memory.conversations(model.config.text, torch.float32, 100, None) == 8


class Broken:
    """Graphs of which none can be replayed."""

    def decode(self, *_arguments: Any) -> torch.Tensor:
        raise RuntimeError("replay failed")


def test_answers_go_on_without_graphs_that_fail(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(model, SMALL)
    engine._graphs = Broken()  # type: ignore[assignment]  # as on a GPU, where they are captured
    requests = [engine.ask(messages, audios, Options(12)) for messages, audios in CHATS[:2]]
    outputs = run(engine)
    for request, (messages, audios) in zip(requests, CHATS, strict=False):
        assert text(outputs, request) == alone(model, messages, audios)
    assert [record.message for record in caplog.records] == [
        "tokens are computed without CUDA graphs from now on: replay failed"
    ]
