"""Events that are not OpenAI's, for pages that show more; clients that do not know them leave them alone."""

from typing import Literal

from pydantic import BaseModel


class SpokenWord(BaseModel, frozen=True):
    """A word's end: after `ms` of the response's speech, `text` characters of its transcript were said."""

    text: int
    ms: int


class WordsTimed(BaseModel, frozen=True):
    """When words that are about to be played will have been said, for captions that follow the voice."""

    type: Literal["parley.words"] = "parley.words"
    response_id: str
    words: tuple[SpokenWord, ...]


class TurnTrace(BaseModel, frozen=True):
    """When each stage of a turn happened, in milliseconds from the caller's last syllable (or the turn's first mark).

    `heard` are the words that were played: an answer can be cut after its `response.done`, and no other event tells them then.
    A greeting and what is said into a silence are `unasked`: nobody waited for them.
    The turn was over after `wait_ms` of silence, with the engine's probability `end_of_turn` of it, where there was one.
    `tries` answers were prepared before the turn was over; `hit` tells that the last of them was used, which saved `saved_ms`.
    """

    type: Literal["parley.trace"] = "parley.trace"
    response_id: str
    status: str
    unasked: bool
    marks: dict[str, float]
    heard: str
    wait_ms: int | None
    end_of_turn: float | None
    tries: int
    hit: bool
    saved_ms: float


class Pong(BaseModel, frozen=True):
    """The answer to a `parley.ping`, with its `client_ms` and the server's clock when it came."""

    type: Literal["parley.pong"] = "parley.pong"
    client_ms: float
    server_ms: float
