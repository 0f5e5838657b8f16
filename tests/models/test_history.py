from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.history import Truncation, fit

SYSTEM = {"role": "system", "content": "s"}


def length(messages: Any, audios: Any) -> int:
    """Ten positions a message, and what each audio says it takes."""
    return 10 * len(messages) + sum(audios)


def chat(*roles: str) -> list[dict[str, str]]:
    return [
        {"role": role, "content": f"{index} <|audio|>" if role == "user" else str(index)}
        for index, role in enumerate(roles)
    ]


def test_what_fits_is_kept_as_it_is() -> None:
    messages = [SYSTEM, *chat("user", "assistant", "user")]
    assert fit(messages, [5, 6], length, 51) == (messages, [5, 6])


def test_whole_turns_are_forgotten_with_their_audios() -> None:
    messages = [
        SYSTEM,
        *chat("assistant", "user", "assistant", "tool", "assistant", "user", "user", "assistant", "user"),
    ]
    assert fit(messages, [1, 2, 3, 4], length, 100) == ([SYSTEM, *messages[6:]], [2, 3, 4])
    assert fit(messages, [1, 2, 3, 4], length, 45) == ([SYSTEM, messages[-1]], [4])


def test_the_newest_turn_stays_whatever_its_length() -> None:
    messages = [SYSTEM, *chat("user", "assistant", "user")]
    assert fit(messages, [1, 999], length, 50) == ([SYSTEM, messages[-1]], [999])
    assert fit(messages[:2], [999], length, 50) == (messages[:2], [999])
    assert fit([SYSTEM], [], length, 5) == ([SYSTEM], [])


def test_the_beginning_stays_the_same_for_several_turns() -> None:
    """Else every request of a long call would be computed anew from its first token."""
    beginnings = []
    for turns in range(1, 41):
        messages = [SYSTEM, *chat(*["user", "assistant"] * turns), {"role": "user", "content": "now"}]
        kept, audios = fit(messages, [5] * turns, length, 400)
        assert length(kept, audios) <= 400
        beginnings.append(kept[1]["content"])
    assert len(set(beginnings)) <= 8


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(40, 500), st.booleans())
def test_it_fits_or_is_the_least_there_can_be(audios: list[int], room: int, system: bool) -> None:
    messages = chat(*["user", "assistant"] * len(audios))[:-1]
    messages = [SYSTEM, *messages] if system else messages
    kept, kept_audios = fit(messages, audios, length, room)
    assert kept[-1] == messages[-1]
    assert list(kept_audios) == audios[len(audios) - len(kept_audios) :]
    assert [message for message in kept if message["role"] == "user"] == messages[int(system) :: 2][-len(kept_audios) :]
    assert length(kept, kept_audios) <= room or len(kept) == 1 + system
    if system:
        assert kept[0] == SYSTEM


@pytest.mark.parametrize("content", [None, ""])
def test_a_tool_call_has_no_content(content: str | None) -> None:
    call = {"role": "assistant", "content": content}
    messages = [*chat("user"), call, *chat("tool", "user")]
    assert fit(messages, [1, 2], length, 15)[1] == [2]


def test_nothing_is_forgotten_where_that_is_not_wanted() -> None:
    messages = [SYSTEM, *chat("user", "assistant", "user")]
    assert fit(messages, [5, 999], length, 50, Truncation(None)) == (messages, [5, 999])


def test_a_lower_limit_counts_what_follows_the_instructions() -> None:
    messages = [SYSTEM, *chat("user", "assistant", "user")]
    assert fit(messages, [5, 5], length, 500, Truncation(0.75, 40)) == (messages, [5, 5])
    assert fit(messages, [5, 5], length, 500, Truncation(0.75, 39)) == ([SYSTEM, messages[-1]], [5])
    assert fit(messages[1:], [5, 5], length, 500, Truncation(0.75, 39)) == ([messages[-1]], [5])


@pytest.mark.parametrize(("retention", "begun"), [(1.0, 31), (0.75, 8), (0.5, 5), (0.0, 4)])
def test_the_less_is_kept_the_longer_a_beginning_lasts(retention: float, begun: int) -> None:
    beginnings = []
    for turns in range(1, 41):
        messages = [SYSTEM, *chat(*["user", "assistant"] * turns), {"role": "user", "content": "now"}]
        kept, audios = fit(messages, [5] * turns, length, 400, Truncation(retention))
        assert length(kept, audios) <= 400
        beginnings.append(kept[1]["content"])
    assert len(set(beginnings)) <= begun
