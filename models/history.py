"""Which turns of a long conversation still fit: the oldest are forgotten whole, the system message and the newest turn never.

Turns are forgotten a part of the room at a time, so that the prompt's beginning stays the same from one request to
the next until the next part goes, and what has been computed for it stays of use.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from models.inputs import PLACEHOLDER, Messages

Chat = tuple[Messages, Sequence[Any]]  # messages and, in order of their placeholders, their audios
Length = Callable[[Messages, Sequence[Any]], int]


@dataclass(frozen=True, slots=True)
class Truncation:
    """What is forgotten of a conversation that does not fit."""

    retention: float | None = 0.75  # part of the conversation's room that is kept at least; None: nothing is forgotten
    limit: int | None = None  # positions after the system message and the functions, where the room is more


BY_QUARTERS = Truncation()


def fit(
    messages: Messages,
    audios: Sequence[Any],
    length: Length,
    room: int,
    truncation: Truncation = BY_QUARTERS,
    alone: Length | None = None,
) -> Chat:
    """Give the conversation that fits into `room` positions, as `length` counts them, or the least there can be of it.

    `alone` counts messages without the functions on offer, where `length` counts those, too.
    """
    whole = length(messages, audios)
    limit = room if truncation.limit is None else truncation.limit
    if whole <= min(room, limit) or truncation.retention is None:
        return messages, audios
    instructions = whole - (alone or length)(*_conversation(messages, audios))
    room = min(room, instructions + limit)
    if whole <= room or not (starts := _turns(messages)):
        return messages, audios
    part = max(1, round((room - instructions) * (1 - truncation.retention)))
    target = -(-(whole - room) // part) * part
    ends = starts[1:]
    enough = bisect_left(ends, target, key=lambda end: whole - length(*_without_before(end, messages, audios)))
    return _without_before([*ends, starts[-1]][enough], messages, audios)


def _turns(messages: Messages) -> list[int]:
    """Find where turns start: at what a user says first after anybody else."""
    roles = [None, *(message["role"] for message in messages)]
    return [i for i, (before, role) in enumerate(pairwise(roles)) if role == "user" != before]


def _conversation(messages: Messages, audios: Sequence[Any]) -> Chat:
    """Leave out the system message, where anything follows it."""
    if messages[0]["role"] != "system" or len(messages) == 1:
        return messages, audios
    return messages[1:], audios[(messages[0]["content"] or "").count(PLACEHOLDER) :]


def _without_before(end: int, messages: Messages, audios: Sequence[Any]) -> Chat:
    """Leave out the messages before `end`, but for the system's, and their audios."""
    first = 1 if messages[0]["role"] == "system" else 0
    counts = [(message["content"] or "").count(PLACEHOLDER) for message in messages]
    gone = sum(counts[:first]), sum(counts[:end])
    return [*messages[:first], *messages[end:]], [*audios[: gone[0]], *audios[gone[1] :]]
