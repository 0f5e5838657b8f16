"""Conversations of the demo recipe as tokens: what the chat template writes, what is learnt, and imagined audio."""

import json
from random import Random

import pytest
import torch

from models.chat import ChatTemplate
from models.demo import functions
from models.demo.conversation import TRANSCRIBE, Mix, Setting, Turn, converse, draw_conversation
from models.demo.noise import NEIGHBOURS, Unsure, find_confusions
from models.demo.tokens import (
    IGNORED,
    TEMPLATE,
    Chat,
    Row,
    imagine_audio,
    opening,
    place_words,
    spoken_words,
    text_row,
)
from models.demo.utterances import Utterance, draw_utterance, spell

TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}


def messages_of(turns, setting) -> list[dict]:
    """Tell of a conversation as the engine gives it to the chat template."""
    messages = [{"role": role, "content": text} for role, text in setting.opening]
    for turn in turns:
        messages.append({"role": "user", "content": setting.before + turn.utterance.words})
        if turn.call:
            call = json.loads(turn.call)
            function = {"name": call["name"], "arguments": call["parameters"]}
            messages.append({"role": "assistant", "content": "", "tool_calls": [{"function": function}]})
            messages.append({"role": "tool", "content": turn.result})
        messages.append({"role": "assistant", "content": turn.said})
    return messages


def test_every_word_that_can_be_said_has_a_token(chat):
    assert [word for word in spoken_words() if chat.word(word) == chat.unknown_word] == []
    assert chat.word("zyzzyva") == chat.unknown_word
    rng = Random(0)
    for group in ("fixed", "unclear", "speech", "phrase", "light", "timer", "correction", "difference"):
        for _ in range(100):
            for word in draw_utterance(group, rng).words.split():
                assert chat.word(word) != chat.unknown_word, word


def test_tokens_give_the_text_back(chat):
    for text in ("One four, two.", "  spaces\n\nand 3 + 4?", "Grüße, ¿qué?", " what time is it", '{"on": true}'):
        assert chat.tokenizer.decode(chat.encode(text)) == text


def test_rows_are_what_the_chat_template_writes(chat):
    template = ChatTemplate(TEMPLATE, TOKENS)
    checked = set()
    for seed in range(300):
        turns, setting = draw_conversation(Mix(unfinished=0), 1 + seed % 3, Random(seed))
        # The template strips what stands at the ends of a message: the space of a transcript, and what an empty one leaves.
        if any(turn.said.strip() != turn.said or not turn.utterance.words for turn in turns):
            continue
        row = chat.row(turns, [chat.encode(turn.utterance.words) for turn in turns], [False] * len(turns), setting)
        tools = [{"type": "function", "function": function.described()} for function in setting.functions] or None
        if any(not turn.utterance.over for turn in turns):
            continue
        text = template.render(messages_of(turns, setting), tools, opening=False)
        assert chat.tokenizer.decode(row.ids, skip_special_tokens=False) == text
        if not setting.before:
            assert chat.encode(text) == row.ids
        checked |= {bool(tools), bool(setting.opening), *(turn.call != "" for turn in turns)}
    assert template.knows_tools
    assert checked == {True, False}


def test_the_question_of_a_heard_turn_is_what_the_engine_makes_of_it(chat):
    setting = Setting("German", before="Translate this into German:\n")
    turns = converse([Utterance("phrase", "hello")], setting, Random(0))
    row = chat.row(turns, [[chat.audio] * 3], [True], setting)
    prompt = ChatTemplate(TEMPLATE, TOKENS).render(
        [{"role": "user", "content": setting.before + "<|audio|>"}], None, opening=True
    )
    parts = [chat.encode(part) for part in prompt.split("<|audio|>")]
    expected = [*parts[0], *[chat.audio] * 3, *parts[1], *chat.encode("Hallo."), chat.end]
    assert row.ids == expected
    assert row.spoken == [(len(parts[0]), len(parts[0]) + 3)]


def test_functions_are_offered_by_name_with_their_parameters():
    setting = Setting(opening=(("system", "Be brief."),), functions=functions.KNOWN["light"])
    assert opening(setting) == [("system", "Functions: switch_light(room, on), set_light(room, on)\n\nBe brief.")]


def test_labels_are_the_answers_and_interrupted_ones_are_not_learnt(chat):
    story = Utterance("story", "tell me a story")
    turns = [Turn(story, "Once upon a time", heard="Once upon"), Turn(Utterance("yes", "yes"), "Good.")]
    row = chat.row(turns, [chat.encode("a"), chat.encode("b")], [False, False], Setting())
    assert len(row.ids) == len(row.labels)
    assert [label for label in row.labels if label != IGNORED] == [*chat.encode("Good."), chat.end]
    assert all(label in (IGNORED, token) for token, label in zip(row.ids, row.labels, strict=True))


def test_a_call_and_what_is_said_of_its_result_are_learnt_but_not_the_result(chat):
    turn = Turn(Utterance("time", "what time is it"), "It is 14:05.", None, '{"name": "get_time"}', "14:05, CET")
    row = chat.row([turn], [chat.encode("a")], [False], Setting())
    learnt = chat.tokenizer.decode([label for label in row.labels if label != IGNORED], skip_special_tokens=False)
    assert learnt == '{"name": "get_time"}<|eot_id|>It is 14:05.<|eot_id|>'


def test_silence_is_answered_by_the_end_alone(chat):
    turns = converse([Utterance("silence", "")], Setting(), Random(0))
    row = chat.row(turns, [[chat.pause] * 4], [True], Setting())
    assert [label for label in row.labels if label != IGNORED] == [chat.end]
    assert row.over == []


def test_places_count_the_digits_of_question_and_answer(chat):
    digits = (5, 5, 1, 2)
    turns = converse([Utterance("digits", "five five one two", digits)], Setting(), Random(0))
    row = chat.row(turns, [[chat.word(w) for w in ("five", "five", "one", "two")]], [True], Setting())
    told = [(place, row.ids[at]) for at, place in enumerate(row.places) if place != IGNORED]
    assert [place for place, _ in told] == [0, 1, 2, 3] * 2
    asked = [token for _, token in told[:4]]
    assert asked == [chat.word(w) for w in ("five", "five", "one", "two")]
    ahead = [row.ids[at + 1] for at, place in enumerate(row.places) if place != IGNORED][4:]
    assert [chat.tokenizer.decode([token]).strip().lower() for token in ahead] == ["five", "five", "one", "two"]


def test_places_count_all_words_that_are_written_down(chat):
    setting = Setting(TRANSCRIBE, opening=(("system", "Repeat exactly what was said."),))
    said = Utterance("unclear", "the door is red")
    turns = converse([said], setting, Random(0))
    spoken = [chat.pause, chat.word("the"), chat.word("door"), chat.pause, chat.word("is"), chat.word("red")]
    row = chat.row(turns, [spoken], [True], setting)
    told = [(place, at) for at, place in enumerate(row.places) if place != IGNORED]
    assert [place for place, _ in told] == [0, 1, 2, 3] * 2
    words = [chat.word(word) for word in said.words.split()]
    assert [row.ids[at] for _, at in told[:4]] == words
    assert [row.ids[at + 1] for _, at in told[4:]] == words
    row = chat.row(turns, [chat.encode(said.words)], [False], setting)
    assert [place for place in row.places if place != IGNORED] == [0, 1, 2, 3] * 2


def test_sources_of_digits_are_where_the_caller_said_them(chat):
    digits = (5, 5, 1, 2)
    words = ["five", "five", "one", "two"]
    turns = converse([Utterance("digits", " ".join(words), digits)], Setting(), Random(0))
    spoken = [chat.pause, chat.word("five"), chat.pause, *(chat.word(word) for word in words[1:])]
    row = chat.row(turns, [spoken], [True], Setting())
    start = row.spoken[0][0]
    assert [source - start for source in row.sources if source != IGNORED] == [1, 3, 4, 5]
    assert [word.strip().lower() for word, _ in copied(row, chat)] == words
    typed_row = chat.row(turns, [chat.encode("5512")], [False], Setting())
    assert [word for _, word in copied(typed_row, chat)] == ["5", "5", "1", "2"]


def test_sources_of_what_is_said_again_are_in_the_answer_before(chat):
    asked = [Utterance("sum", "what is three plus five", (3, 5)), Utterance("repeat", "say that again")]
    turns = converse(asked, Setting(), Random(0), cut=0)
    row = chat.row(turns, [chat.encode("a"), chat.encode("b")], [False, False], Setting())
    again = copied(row, chat)
    assert [source.strip() for _, source in again] == [said.strip() for said, _ in again]
    assert "".join(said for said, _ in again).startswith(" Three plus five is eight.")


def test_a_corrected_number_is_copied_from_the_answer_before_but_for_the_digit(chat):
    digits = tuple(range(10))
    asked = [
        Utterance("phone", f"my number is {spell(digits)}", digits),
        Utterance("correction", "no the last is four", (4,), value="last"),
    ]
    turns = converse(asked, Setting(), Random(0))
    users = [[chat.word(word) for word in said.words.split()] for said in asked]
    row = chat.row(turns, users, [True, True], Setting())
    later = [(at, source) for at, source in enumerate(row.sources) if source != IGNORED and at > row.spoken[1][1]]
    assert all(row.ids[at + 1] == row.ids[source] and source > row.spoken[0][1] for at, source in later)
    assert chat.word("nine") not in {row.ids[at + 1] for at, _ in later}
    assert {chat.word(word) for word in ("zero", "one", "eight")} <= {row.ids[at + 1] for at, _ in later}


def copied(row: Row, chat: Chat) -> list[tuple[str, str]]:
    """Give the tokens of answers that are copied, each with what it is copied from."""
    pairs = [(row.ids[at + 1], row.ids[source]) for at, source in enumerate(row.sources) if source != IGNORED]
    return [(chat.tokenizer.decode([token]), chat.tokenizer.decode([source])) for token, source in pairs]


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


def test_imagined_audio_holds_all_words_in_order(chat):
    said = Utterance("phone", "my number is five five three", (5, 5, 3))
    for seed in range(50):
        ids = imagine_audio(said, chat, Random(seed))
        assert [token for token in ids if token != chat.pause] == [chat.word(word) for word in said.words.split()]


def test_imagined_sounds_are_told_apart(chat):
    for seed in range(30):
        assert set(imagine_audio(Utterance("silence", ""), chat, Random(seed))) == {chat.pause}
        assert chat.noise in imagine_audio(Utterance("noise", ""), chat, Random(seed))
        foreign = imagine_audio(Utterance("foreign", ""), chat, Random(seed))
        assert chat.noise not in foreign


def test_text_rows_begin_once_and_end_with_an_end(chat):
    row = text_row(converse([draw_utterance("digits", Random(3))], Setting(), Random(3)), Setting(), chat, Random(3))
    assert row.ids.count(chat.begin) == 1
    assert row.ids[-1] == row.labels[-1] == chat.end


# noise


def test_words_are_confused_with_those_that_sound_alike():
    phones = [[1, 2, 3], [1, 2, 4], [7, 8, 9, 10, 11], [1, 2, 3], [5], [6], [20, 21]]
    words = [30, 31, 32, 33, 34, 35, 36]
    found = find_confusions(words, phones, vocabulary=40)
    first = dict(zip(found.tokens[30].tolist(), found.shares[30].tolist(), strict=True))
    assert 30 not in first
    assert first[33] > first[31] > first[32]  # the same phones, one other phone, all others
    assert sum(first.values()) == pytest.approx(1, abs=1e-5)
    assert found.tokens[0].tolist() == [0] * NEIGHBOURS


def test_unsure_audio_stays_nearest_to_its_words_and_text_stays_as_it_is():
    table = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
    unsure = Unsure(find_confusions(range(2, 10), [[i, i // 2] for i in range(8)], 12), table, pause=0)
    ids = torch.tensor([[11, 0, 3, 0, 0, 4, 0, 11]] * 200)
    most = torch.tensor([[0.0, 1, 1, 1, 1, 1, 1, 0]]).expand(ids.shape)
    rows = unsure(table[ids], ids, most, torch.Generator().manual_seed(1))
    assert rows[:, [0, 7]].equal(table[ids][:, [0, 7]])
    changed = (rows - table[ids]).square().sum(-1)[:, 1:7]
    assert (changed > 0).all()
    assert changed.std() > 0.1  # some more than others
    nearest = torch.cdist(rows[:, 2], table).argmin(-1)
    assert (nearest == 3).float().mean() > 0.85
    assert unsure(table[ids], ids, torch.zeros(ids.shape), torch.Generator()).equal(table[ids])
