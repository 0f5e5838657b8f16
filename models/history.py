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


@dataclass(frozen=True, slots=True)
class Truncation:
    """What is forgotten of a conversation that does not fit."""

    retention: float | None = 0.75  # part of the room that is kept at least; None: nothing is forgotten
    limit: int | None = None  # positions after the system message, where the room is more


BY_QUARTERS = Truncation()


def fit(
    messages: Messages,
    audios: Sequence[Any],
    length: Callable[[Messages, Sequence[Any]], int],
    room: int,
    truncation: Truncation = BY_QUARTERS,
) -> Chat:
    """Give the conversation that fits into `room` positions, as `length` counts them, or the least there can be of it."""
    whole = length(messages, audios)
    if truncation.limit is not None and messages[0]["role"] == "system" and len(messages) > 1:
        counts = (messages[0]["content"] or "").count(PLACEHOLDER)
        room = min(room, truncation.limit + whole - length(messages[1:], audios[counts:]))
    elif truncation.limit is not None:
        room = min(room, truncation.limit)
    if whole <= room or truncation.retention is None or not (starts := _turns(messages)):
        return messages, audios
    part = max(1, round(room * (1 - truncation.retention)))
    target = -(-(whole - room) // part) * part
    ends = starts[1:]
    enough = bisect_left(ends, target, key=lambda end: whole - length(*_without_before(end, messages, audios)))
    return _without_before([*ends, starts[-1]][enough], messages, audios)


def _turns(messages: Messages) -> list[int]:
    """Find where turns start: at what a user says first after anybody else."""
    roles = [None, *(message["role"] for message in messages)]
    return [i for i, (before, role) in enumerate(pairwise(roles)) if role == "user" != before]


def _without_before(end: int, messages: Messages, audios: Sequence[Any]) -> Chat:
    """Leave out the messages before `end`, but for the system's, and their audios."""
    first = 1 if messages[0]["role"] == "system" else 0
    counts = [(message["content"] or "").count(PLACEHOLDER) for message in messages]
    gone = sum(counts[:first]), sum(counts[:end])
    return [*messages[:first], *messages[end:]], [*audios[: gone[0]], *audios[gone[1] :]]
