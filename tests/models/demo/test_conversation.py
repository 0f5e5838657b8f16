"""The demo recipe's dialogue: wordings, and the right answer to each in its place."""

import json
import re
from random import Random
from statistics import mean

import pytest

from models.demo import dialogue, functions, rules, unknown
from models.demo.conversation import (
    INTERRUPTED,
    TALK,
    TRANSCRIBE,
    Mix,
    Setting,
    Turn,
    answer,
    converse,
    draw_conversation,
    draw_setting,
    draw_utterances,
    grouped,
)
from models.demo.functions import Function
from models.demo.phrases import LANGUAGES, PHRASES
from models.demo.utterances import (
    UNFINISHED,
    Utterance,
    break_off,
    draw_break,
    draw_digits,
    draw_utterance,
    expand,
    spell,
    typed,
)
from models.demo.voices import HELD_OUT, PEOPLE, TRAINED, hold_out
from models.demo.wordings import NEW_WORDINGS

STORY = next(kind.answer for kind in dialogue.KINDS if kind.name == "story")
PATTERNS = [ask for kind in dialogue.KINDS for ask in kind.asks] + [
    *rules.DIGIT_ASKS,
    *rules.PHONE_ASKS,
    *rules.CORRECTION_ASKS,
    *rules.SUM_ASKS,
    *rules.DIFFERENCE_ASKS,
    *rules.REPEAT_ASKS,
    *rules.RECALL_ASKS,
    *(ask for asks in functions.ASKS.values() for ask in asks),
    *unknown.SENTENCES,
]
GROUPS = [*(kind.name for kind in dialogue.KINDS), *Mix().weights, "correction", "phrase", "speech"]
GROUPS.remove("fixed")
NUMBER = (5, 5, 5, 1, 2, 3, 4, 5, 6, 7)


def reply(utterance: Utterance, before=(), setting=None) -> str:
    return answer(utterance, before, setting or Setting(), Random(0)).answer


def phone(*digits: int) -> Utterance:
    return Utterance("phone", f"my number is {spell(digits)}", digits)


# wordings


def wordings(pattern: str) -> set[str]:
    """Write out all that a pattern can say."""
    group = re.search(r"\(([^()]*)\)", pattern)
    if group is None:
        return {" ".join(pattern.split())}
    choices = (pattern[: group.start()] + choice + pattern[group.end() :] for choice in group[1].split("|"))
    return set[str]().union(*map(wordings, choices))


def test_no_wording_has_two_right_answers():
    asks = {kind.name: kind.asks for kind in dialogue.KINDS}
    asks |= {"repeat": rules.REPEAT_ASKS, "recall": rules.RECALL_ASKS, **functions.ASKS}
    kinds = dict[str, set[str]]()
    for kind, patterns in asks.items():
        for wording in set[str]().union(*map(wordings, patterns)):
            kinds.setdefault(wording, set()).add(kind)
    for wording in list(kinds):
        for prefix in rules.PREFIXES:
            kinds.get(f"{prefix} {wording}", set()).update(kinds[wording])
    assert len(kinds) > 3000
    assert {wording: of for wording, of in kinds.items() if len(of) > 1} == {}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_expands_to_spoken_words(pattern):
    for seed in range(10):
        words = expand(pattern, Random(seed)).strip()
        assert re.fullmatch(r"[a-z' {}]+", words), words
        assert words == " ".join(words.split())


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_drawn_as_words_that_can_be_typed(group):
    for seed in range(20):
        utterance = draw_utterance(group, Random(seed))
        assert utterance == draw_utterance(group, Random(seed))
        assert re.fullmatch(r"[a-z' ]*", utterance.words), utterance
        assert utterance.words == " ".join(utterance.words.split())
        assert typed(utterance, Random(seed)) is not None


def test_at_least_fifteen_kinds_with_several_wordings_each():
    assert len(dialogue.KINDS) >= 15
    for kind in dialogue.KINDS:
        wordings = {expand(rng_ask, Random(seed)) for rng_ask in kind.asks for seed in range(40)}
        assert len(wordings) >= 8, kind.name


def test_names_of_kinds_are_unique_and_answers_are_sentences():
    assert len({kind.name for kind in dialogue.KINDS}) == len(dialogue.KINDS)
    for kind in dialogue.KINDS:
        assert kind.answer[0].isupper()
        assert kind.answer[-1] in ".?!"
        assert kind.recall[0].isupper()
        assert kind.recall[-1] == "."


def test_the_story_is_long_enough_to_interrupt():
    assert 35 <= len(STORY.split()) <= 60


def test_an_unknown_sentence_never_asks_for_what_is_known():
    keywords = {"story", "joke", "poem", "plus", "minus", "count", "parley", "light", "lights", "timer", *rules.DIGITS}
    rng = Random(0)
    for _ in range(500):
        assert not keywords & set(draw_utterance("unclear", rng).words.split())


def test_wordings_for_the_evaluation_are_not_trained():
    asks = {kind.name: kind.asks for kind in dialogue.KINDS} | {"repeat": rules.REPEAT_ASKS}
    prefixes = "|".join(f"{prefix} " for prefix in rules.PREFIXES)
    for kind, wordings in NEW_WORDINGS.items():
        for words in wordings:
            assert not any(re.fullmatch(f"({prefixes})?({pattern})", words) for pattern in asks[kind]), words


def test_no_voice_and_no_rate_of_the_evaluation_is_trained():
    assert not set(HELD_OUT.variants) & set(TRAINED.variants)
    assert not set(HELD_OUT.flite) & set(TRAINED.flite)
    assert not set(HELD_OUT.people) & set(TRAINED.people)
    trained = {rate for first, last in TRAINED.rates for rate in range(first, last + 1)}
    assert not trained & {rate for first, last in HELD_OUT.rates for rate in range(first, last + 1)}


@pytest.mark.parametrize("person", PEOPLE)
def test_each_person_can_be_held_out(person):
    trained, held_out = hold_out(person)
    assert held_out.people == (person,)
    assert {*trained.people, person} == set(PEOPLE)
    assert person not in trained.people
    assert (trained == TRAINED) == (held_out == HELD_OUT) == (person == "jackson")


def test_typed_words_keep_their_meaning():
    asked = Utterance("difference", "what is seven minus four", (7, 4))
    seen = {typed(asked, Random(seed)) for seed in range(300)}
    assert "What is 7 - 4?" in seen
    assert asked.words in seen


def test_strings_have_up_to_fourteen_digits():
    assert {len(draw_utterance("digits", Random(seed)).numbers) for seed in range(400)} == set(range(1, 15))
    assert {len(draw_utterance("digits", Random(seed), 7).numbers) for seed in range(400)} == set(range(7, 15))
    assert len(draw_digits(Random(0), 12)) == 12


# numbers


@pytest.mark.parametrize(
    ("digits", "groups"),
    [
        ((7,), "seven"),
        ((1, 4, 4, 2), "one four four two"),
        ((1, 2, 3, 4, 5), "one two three, four five"),
        (NUMBER, "five five five, one two three, four five six seven"),
        (range(9), "zero one two, three four five, six seven eight"),
    ],
)
def test_digits_are_read_back_in_groups(digits, groups):
    assert grouped(digits) == groups
    assert reply(Utterance("digits", spell(digits), tuple(digits))) == groups.capitalize() + "."


def test_sums_and_differences_stay_within_twenty():
    rng = Random(0)
    results = {"sum": set(), "difference": set()}
    for kind, sign in (("sum", "plus"), ("difference", "minus")):
        for _ in range(2000):
            a, b = draw_utterance(kind, rng).numbers
            result = a + b if kind == "sum" else a - b
            assert 0 <= result <= 20
            results[kind].add(result)
            told = f"{rules.NUMBERS[a]} {sign} {rules.NUMBERS[b]} is {rules.NUMBERS[result]}."
            assert reply(Utterance(kind, "", (a, b))) == told.capitalize()
    assert results["sum"] == results["difference"] == set(range(21))


def test_a_telephone_number_is_confirmed_corrected_and_noted():
    last = Utterance("correction", "no the last digit is nine", (9,), "last")
    second = Utterance("correction", "the second one is zero", (0,), "second")
    turns = converse([phone(*NUMBER), last, second, Utterance("yes", "yes")], Setting(), Random(0))
    assert [turn.answer for turn in turns] == [
        "I heard five five five, one two three, four five six seven. Is that right?",
        "I heard five five five, one two three, four five six nine. Is that right?",
        "I heard five zero five, one two three, four five six nine. Is that right?",
        rules.CONFIRMED,
    ]
    assert reply(Utterance("yes", "yes")) != rules.CONFIRMED


def test_after_no_the_number_is_asked_for_again():
    again = Utterance("digits", spell(NUMBER), NUMBER)
    turns = converse([phone(*NUMBER), Utterance("no", "no"), again], Setting(), Random(0), cut=0)
    assert turns[1].answer == rules.AGAIN
    assert turns[2].noted == NUMBER
    assert turns[2].answer == turns[0].answer


def test_a_telephone_number_is_over_after_ten_digits_not_after_three_or_six():
    assert phone(*NUMBER).over
    assert not phone(5, 5, 5).over
    assert not phone(5, 5, 5, 1, 2, 3).over
    assert reply(phone(5, 5, 5)) == "I heard five five five. Is that right?"
    kept = {draw_break(phone(*NUMBER), Random(seed)) for seed in range(200)}
    assert {6, 9} <= kept  # "my number is" and three or six digits
    for words in kept:
        assert break_off(phone(*NUMBER), words).kind == UNFINISHED


# functions


OFFERED = (Function("search", ("query",)), Function("set_timer", ("seconds", "name")), Function("get_time"))


def test_a_function_is_called_as_llama_does_and_its_result_is_spoken():
    turn = answer(Utterance("timer", "", (5,)), (), Setting(functions=OFFERED), Random(3))
    assert json.loads(turn.call) == {"name": "set_timer", "parameters": {"seconds": 300}}
    assert turn.answer in (turn.result, functions.DONE, functions.FAILED)
    light = Setting(functions=(functions.KNOWN["light"][0],))
    turn = answer(Utterance("light", "", (1,), "kitchen"), (), light, Random(3))
    assert turn.call == '{"name": "switch_light", "parameters": {"room": "kitchen", "on": true}}'


def test_results_are_spoken_as_they_are():
    for seed in range(100):
        result, told = functions.draw_result("time", (), "", Random(seed))
        assert told == functions.FAILED or told == f"It is {result[:5]}."
        result, told = functions.draw_result("light", (0,), "hall", Random(seed))
        assert told in (functions.FAILED, functions.DONE, "The hall light is off.")


def test_what_is_not_offered_is_not_called():
    turn = answer(Utterance("date", "what day is it"), (), Setting(functions=OFFERED), Random(0))
    assert (turn.call, turn.answer) == ("", functions.MISSING)


# instructions


def test_a_transcriber_writes_the_words_and_a_translator_its_sentences():
    asked = Utterance("greeting", "good morning")
    assert reply(asked, setting=Setting(TRANSCRIBE)) == " good morning"
    assert reply(asked, setting=Setting("German")) == "Guten Morgen."
    assert reply(asked, setting=Setting("Spanish")) == "Buenos días."
    assert reply(Utterance("unclear", "the zebra is blue"), setting=Setting("German")) == rules.NOISE


def test_every_phrase_is_translated_to_all_languages():
    assert len(PHRASES) > 150
    for english, translated in PHRASES.items():
        assert re.fullmatch(r"[a-z ]+", english)
        assert set(translated) == set(LANGUAGES)
        assert all(text[-1] in ".?!" for text in translated.values())


@pytest.mark.parametrize("task", [TRANSCRIBE, *LANGUAGES])
def test_the_task_is_told_in_a_system_message_or_before_the_sound(task):
    told = [draw_setting(task, [Utterance("phrase", "hello")], Random(seed)) for seed in range(30)]
    assert {bool(setting.opening) for setting in told} == {True, False}
    for setting in told:
        text = setting.before or setting.opening[0][1]
        assert bool(setting.before) != bool(setting.opening)
        assert [language for language in LANGUAGES if language in text] == [task] * (task in LANGUAGES)
        assert "{" not in text


# what is not understood, and what was before


@pytest.mark.parametrize("kind", ["noise", "foreign", "unclear"])
def test_what_is_not_understood_is_noise(kind):
    assert reply(Utterance(kind, "")) == "((noise))"


def test_silence_is_answered_with_nothing():
    assert reply(Utterance("silence", "")) == ""


def test_after_noise_stands_what_the_agent_said_in_its_place():
    turns = converse([Utterance("noise", ""), Utterance("repeat", "again")], Setting(), Random(0))
    assert turns[0].heard
    assert turns[1].answer == rules.REPEAT + turns[0].heard


def test_results_are_asked_for_again_more_often_than_other_answers():
    rng, mix = Random(0), Mix(weights={"sum": 1, "timer": 1, "repeat": 0.1})
    drawn = [draw_utterances(mix, TALK, 2, rng) for _ in range(400)]
    result, timer = (
        mean(then.kind == "repeat" for first, then in drawn if first.kind == kind) for kind in ("sum", "timer")
    )
    assert result > 0.2 > 0.1 > timer


def test_repeat_and_recall_look_back_at_the_turn_before():
    said = [Utterance("sum", "two plus two", (2, 2)), Utterance("repeat", "again"), Utterance("repeat", "again")]
    turns = converse([*said, Utterance("recall", "what did i say")], Setting(), Random(0), cut=0)
    assert [turn.answer for turn in turns[1:]] == ["I said: Two plus two is four."] * 2 + [
        "You asked me to repeat that."
    ]
    assert reply(Utterance("repeat", "again")) == rules.REPEAT_FIRST
    assert reply(Utterance("recall", "what did i say")) == rules.RECALL_FIRST
    assert reply(Utterance("recall", ""), turns[:1]) == "You asked me to add two and two."


@pytest.mark.parametrize("group", GROUPS)
def test_every_utterance_can_be_recalled(group):
    turns = converse([draw_utterance(group, Random(1)), Utterance("recall", "")], Setting(), Random(1))
    assert turns[1].answer.endswith(".")


def test_interrupted_answers_are_cut_between_words_but_the_last_never():
    asked = [Utterance("story", "tell me a story")] * 3
    turns = converse(asked, Setting(), Random(0), cut=1)
    assert turns[-1].heard is None
    for turn in turns[:-1]:
        assert STORY.startswith(turn.said.removesuffix(INTERRUPTED))
        assert STORY[len(turn.said.removesuffix(INTERRUPTED))] == " "


def test_an_unfinished_utterance_has_no_answer():
    assert converse([break_off(Utterance("story", "tell me a story"), 2)], Setting(), Random(0)) == [
        Turn(Utterance(UNFINISHED, "tell me"), "")
    ]


def test_conversations_hold_every_kind_and_task():
    drawn = [draw_conversation(Mix(), 1 + seed % 3, Random(seed)) for seed in range(1500)]
    kinds = {turn.utterance.kind for turns, _ in drawn for turn in turns}
    assert kinds >= set(GROUPS)
    assert {setting.task for _, setting in drawn} == set(Mix().tasks)
    assert any(turn.call for turns, _ in drawn for turn in turns)
    assert all(turn.utterance.kind != UNFINISHED for turns, _ in drawn for turn in turns[:-1])
