"""Chunks: nothing lost, nothing unspeakable, cut where a speaker would pause."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.chunk import LONGEST, Chunker


def chunked(*deltas: str) -> list[str]:
    chunker = Chunker()
    return [chunk for delta in deltas for chunk in chunker.push(delta)] + chunker.flush()


def by_characters(text: str) -> list[str]:
    return chunked(*text)


def by_words(text: str) -> list[str]:
    return chunked(*re.findall(r"\s*\S+|\s+$", text))


pieces = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["Hello", " world", ". ", ", ", "...", "3.5", "Dr. ", "e.g. ", "\n", "!", "?!", " ", '"', "—", "。", "x" * 99]
    ),
)


@given(st.lists(pieces, max_size=60))
def test_chunks_are_the_text_and_each_but_the_last_can_be_spoken(deltas: list[str]) -> None:
    result = chunked(*deltas)
    assert "".join(result) == "".join(deltas)
    assert all(result)
    assert all(any(character.isalnum() for character in chunk) for chunk in result[:-1])
    for chunk in result:
        if speakable := re.search(r"[^\W_]", chunk):
            assert len(chunk) - speakable.start() <= LONGEST


@given(
    st.lists(
        st.sampled_from(["3.5", "1,000", "Dr. Smith", "e.g. this", "Wait... ", "10:30", "a.m. today", "so, ", "and. "]),
        max_size=40,
    )
)
def test_numbers_abbreviations_and_ellipses_stay_whole(parts: list[str]) -> None:
    text = " ".join(parts)
    for result in (by_characters(text), by_words(text)):
        at = 0
        cuts = [at := at + len(chunk) for chunk in result][:-1]
        whole = [
            match.span() for match in re.finditer(r"3\.5|1,000|Dr\. Smith|e\.g\. this|\.\.\.|10:30|a\.m\. today", text)
        ]
        assert not [text[start:end] for start, end in whole for cut in cuts if start < cut < end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. I am Parley.", ["Hello.", " I am Parley."]),
        ("Yes, of course.", ["Yes,", " of course."]),
        ("I, for one, agree.", ["I, for one,", " agree."]),
        ("It is 3.5 percent. Or 1,000 of them.", ["It is 3.5 percent.", " Or 1,000 of them."]),
        ("Well... I am not sure.", ["Well...", " I am not sure."]),
        ("Well . . . no. Sorry.", ["Well . . . no.", " Sorry."]),
        ("Ask Dr. Smith, e.g. today. Fine.", ["Ask Dr. Smith,", " e.g. today.", " Fine."]),
        ("No. 5 is alive. Good.", ["No. 5 is alive.", " Good."]),
        ("No. I think so.", ["No.", " I think so."]),
        ("1. Bread\n2. Butter\n", ["1. Bread", "\n2. Butter", "\n"]),
        ('He said "stop." Then left.', ['He said "stop."', " Then left."]),
        ("See example.com now. Fine.", ["See example.com now.", " Fine."]),
        (
            "Once upon a time there lived a fox who was hungry.",
            ["Once upon a time there lived", " a fox who was hungry."],
        ),
        ("I have to read you 1 4 2 7 and more", ["I have to read you 1 4 2 7", " and more"]),
        ("你好。我是一个语音助手，很高兴。", ["你好。", "我是一个语音助手，很高兴。"]),  # noqa: RUF001
        ("", []),
        (" \n", [" \n"]),
        ("🙂", ["🙂"]),
    ],
)
def test_cuts(text: str, expected: list[str]) -> None:
    assert by_words(text) == expected
    assert by_characters(text) == expected


def test_the_first_chunk_waits_for_no_more_text_than_it_must() -> None:
    assert Chunker().push("Hello!") == ["Hello!"]
    assert Chunker().push("Yes,") == ["Yes,"]
    assert Chunker().push("You owe 1,") == []
    assert Chunker().push("It is 3.") == []
    assert Chunker().push("Well.") == []  # may yet become an ellipsis


def test_later_clauses_grow_and_sentences_end_chunks() -> None:
    clause = " one two three four five,"
    lengths = [len(chunk) for chunk in by_words("Right, " + clause.strip() + clause * 20)]
    assert lengths[:5] == sorted(lengths[:5])
    assert lengths[1] == len(clause)
    assert lengths[4] >= LONGEST // 2
    assert by_words("One, two, three. Go. Now.") == ["One,", " two, three.", " Go.", " Now."]


def test_text_without_any_boundary_is_bounded() -> None:
    words = by_words("word " * 500)
    assert all(chunk.endswith("word") for chunk in words[:-1])
    assert [len(chunk) for chunk in by_words("x" * 500)] == [LONGEST, LONGEST, 20]
    assert len(chunked("x " * 20_000)) > 20_000 * 2 / LONGEST
