"""What the agent says of its own accord: a greeting, what it promised to say, a word when the caller is quiet for long. Pure; seconds."""

from dataclasses import dataclass, field
from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field

from agent.audio import FRAME_SECONDS

Words = Annotated[str, Field(max_length=1000)]


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class Prompts:
    """Words that no model makes."""

    greeting: Words = ""
    """Said when a call begins; nothing: the caller speaks first."""

    idle: Words = ""
    """Said when both were quiet for long; nothing: the model is asked to answer the silence."""

    idle_after: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Seconds of it; 0: never, unless a client's `idle_timeout_ms` asks for it."""

    idle_times: Annotated[int, Field(ge=1)] = 2
    """How often in one silence."""

    filler: Words = ""
    """Said when a function takes long that the server runs, such as "One moment.", unless the answer had begun; nothing: it is waited for."""

    filler_after: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Seconds after which."""

    not_understood: Words = "Sorry, I did not understand that."
    """Said in the place of `((noise))`, which Ultravox from v0.6 on answers to what is no speech; nothing: such sounds are not answered."""

    interrupted: Words = "—"
    """Ends an answer that was cut, in what the model is given: so it knows that it was interrupted."""


@dataclass
class Reminders:
    """Words that are to be said after some time, as soon as neither side is speaking."""

    most: int = 20
    """At a time; one more and the first is forgotten."""
    _position: float = 0.0
    _due: list[tuple[float, str]] = field(default_factory=list)

    def add(self, seconds: float, words: str) -> None:
        """To be said in so many seconds."""
        self._due = sorted([*self._due[-self.most + 1 :], (self._position + seconds, words)])

    def push(self, *, quiet: bool) -> str:
        """Count a frame; the words that are due and can be said now, if there are any."""
        self._position += FRAME_SECONDS
        if not (quiet and self._due and self._due[0][0] <= self._position):
            return ""
        return self._due.pop(0)[1]


@dataclass
class Quiet:
    """How long neither side has said anything."""

    _seconds: float = 0.0
    _times: int = 0

    def push(self, after: float, times: int, *, speaking: bool, answering: bool) -> bool:
        """Count a frame; whether the silence has now lasted `after` seconds (0: never), at most so many times until the caller speaks."""
        self._seconds = 0.0 if speaking or answering else self._seconds + FRAME_SECONDS
        self._times = 0 if speaking else self._times
        if not after or self._seconds < after or self._times >= times:
            return False
        self._seconds, self._times = 0.0, self._times + 1
        return True
