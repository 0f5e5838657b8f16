"""The demo recipe's dialogue: wordings, answers, and both as tokens."""

import re
from random import Random

import jinja2
import pytest

from models.demo import dialogue, rules, unknown
from models.demo.conversation import (
    INTERRUPTED,
    Turn,
    Utterance,
    answer,
    converse,
    draw_digits,
    draw_utterance,
    expand,
    typed,
)
from models.demo.evaluate import NEW_WORDINGS
from models.demo.tokens import IGNORED, TEMPLATE, Chat, imagine_audio, place_words, text_row, train_tokenizer
from models.demo.voices import HELD_OUT, TRAINED

RATE = 16_000
STORY = next(kind.answer for kind in dialogue.KINDS if kind.name == "story")
PATTERNS = [ask for kind in dialogue.KINDS for ask in kind.asks] + [
    *rules.DIGIT_ASKS,
    *rules.SUM_ASKS,
    *rules.REPEAT_ASKS,
    *rules.RECALL_ASKS,
    *unknown.SENTENCES,
]


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer())


# dialogue


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_expands_to_spoken_words(pattern):
    for seed in range(20):
        words = expand(pattern, Random(seed))
        assert re.fullmatch(r"[a-z' {}]+", words), words
        assert words == " ".join(words.split())


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


def test_an_unknown_sentence_never_asks_for_a_story():
    keywords = {"story", "joke", "poem", "plus", "count", "parley", *rules.DIGITS}
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


# answers


def test_digits_are_read_back():
    assert answer(Utterance("digits", "one four four", (1, 4, 4))) == "One, four, four."


@pytest.mark.parametrize("a", range(10))
@pytest.mark.parametrize("b", range(10))
def test_sums(a, b):
    said = answer(Utterance("sum", "", (a, b)))
    assert said == f"{rules.NUMBERS[a].capitalize()} plus {rules.NUMBERS[b]} is {rules.NUMBERS[a + b]}."


def test_repeat_and_recall_look_back_at_the_turn_before():
    said = [Utterance("sum", "two plus two", (2, 2)), Utterance("repeat", "again"), Utterance("repeat", "again")]
    turns = converse([*said, Utterance("recall", "what did i say")], Random(0), cut=0)
    assert [turn.answer for turn in turns[1:]] == ["I said: Two plus two is four."] * 2 + [
        "You asked me to repeat that."
    ]
    assert answer(Utterance("repeat", "again")) == rules.REPEAT_FIRST
    assert answer(Utterance("recall", "what did i say")) == rules.RECALL_FIRST
    assert answer(Utterance("recall", ""), turns[:1]) == "You asked me to add two and two."


def test_every_utterance_can_be_recalled():
    rng = Random(1)
    for name in [*(kind.name for kind in dialogue.KINDS), "digits", "sum", "repeat", "recall", "unclear"]:
        turn = converse([draw_utterance(name, rng)], rng)[0]
        assert answer(Utterance("recall", ""), [turn]).endswith(".")


def test_interrupted_answers_are_cut_between_words_but_the_last_never():
    asked = [Utterance("story", "tell me a story")] * 3
    turns = converse(asked, Random(0), cut=1)
    assert turns[-1].heard is None
    for turn in turns[:-1]:
        assert STORY.startswith(turn.said.removesuffix(INTERRUPTED))
        assert STORY[len(turn.said.removesuffix(INTERRUPTED))] == " "


def test_draws_are_the_same_for_a_seed_and_bounded():
    assert [draw_utterance("fixed", Random(5)) for _ in range(3)] == [
        draw_utterance("fixed", Random(5)) for _ in range(3)
    ]
    lengths = {len(draw_digits(Random(seed), 4)) for seed in range(100)}
    assert lengths == {1, 2, 3, 4}


def test_typed_words_keep_their_meaning():
    seen = {typed("what is three plus four", Random(seed)) for seed in range(200)}
    assert "What is 3 + 4?" in seen
    assert "what is three plus four" in seen


# tokens


def test_every_word_of_the_dialogue_has_a_token(chat):
    words = {
        word
        for pattern in PATTERNS[: -len(unknown.SENTENCES)]
        for word in re.findall(r"[a-z']+", pattern.replace("{a}", "").replace("{b}", "").replace("{d}", ""))
    }
    assert [word for word in sorted(words | set(rules.NUMBERS)) if chat.word(word) == chat.unknown_word] == []
    assert chat.word("zyzzyva") == chat.unknown_word


def test_tokens_give_the_text_back(chat):
    for text in (STORY, "One, four, two.", "  spaces\n\nand 3 + 4?", "Grüße"):
        assert chat.tokenizer.decode(chat.encode(text)) == text


def test_rows_are_what_the_chat_template_writes(chat):
    turns = converse([Utterance("greeting", "hello"), Utterance("digits", "one", (1,))], Random(0), cut=0)
    row = chat.row(turns, [chat.encode("hello"), [chat.audio] * 5], [False, True], [("system", "Be brief.")])
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": turns[0].answer},
        {"role": "user", "content": "<|audio|>" * 5},
        {"role": "assistant", "content": turns[1].answer},
    ]

    text = jinja2.Template(TEMPLATE).render(
        messages=messages, bos_token="<|begin_of_text|>", add_generation_prompt=False
    )
    assert chat.encode(text) == row.ids
    ((start, end),) = row.spoken
    assert row.ids[start:end] == [chat.audio] * 5


def test_labels_are_the_answers_and_interrupted_ones_are_not_learnt(chat):
    story = Utterance("story", "tell me a story")
    turns = [Turn(story, STORY, heard="Once upon"), Turn(Utterance("yes", "yes"), "Good.")]
    row = chat.row(turns, [chat.encode("a"), chat.encode("b")], [False, False])
    assert len(row.ids) == len(row.labels)
    assert [label for label in row.labels if label != IGNORED] == [*chat.encode("Good."), chat.end]
    assert all(label in (IGNORED, token) for token, label in zip(row.ids, row.labels, strict=True))


@pytest.mark.parametrize(
    ("ends", "slots_", "placed"),
    [
        ([0.5, 3.2], 5, [7, 0, 0, 8, 0]),
        ([1.1, 1.9, 1.95], 5, [0, 7, 8, 9, 0]),  # two words in one slot: the later one moves on
        ([3.0, 3.5], 4, [0, 0, 0, 7]),  # no room: dropped
        ([], 2, [0, 0]),
    ],
)
def test_words_stand_where_they_end(ends, slots_, placed):
    assert place_words([7, 8, 9][: len(ends)], ends, slots_, pause=0) == placed


def test_imagined_audio_holds_all_numbers_in_order(chat):
    for seed in range(50):
        ids = imagine_audio("my number is five five three", chat, Random(seed))
        digits = {chat.word(word): word for word in rules.DIGITS}
        assert [digits[token] for token in ids if token in digits] == ["five", "five", "three"]


def test_text_rows_begin_once_and_end_with_an_end(chat):
    row = text_row(converse([draw_utterance("digits", Random(3))], Random(3)), chat, Random(3))
    assert row.ids.count(chat.begin) == 1
    assert row.ids[-1] == row.labels[-1] == chat.end
