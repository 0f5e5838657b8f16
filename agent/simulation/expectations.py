"""What a call is expected to have been: what the ear heard, events, marks of the replies, and the history. Pure.

Each expectation checks an `Outcome` and gives the message of its failure, or None. Times are seconds from the start of the call; a
tolerance, for calls in real time, widens all of them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from agent.audio import Samples
from agent.simulation.caller import audible
from agent.traces.trace import Mark, Status, Trace

Seconds = Annotated[float, Field(ge=0)]
Span = tuple[Seconds, Seconds]
_STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

EXACT = 0.02
"""Seconds that `at` allows to either side: a frame."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened in a call, in virtual time or in real time; all on one time line."""

    caller: Samples
    """[n] at 16 kHz, as they arrived at the agent."""
    agent: Samples
    """[n] at 16 kHz, as they left for the caller's ear, or arrived there."""
    events: list[tuple[float, dict[str, Any]]]
    """What the server sent."""
    traces: list[Trace]
    """Of the replies that ended, in order; marks count from the start of the call."""
    history: list[str]
    """The conversation, as `agent.simulation.history` writes it."""
    gap: float = 0.0
    """Seconds of silence inside the agent's speech: between the words of a real voice."""

    @property
    def spoken(self) -> list[tuple[float, float]]:
        """From when to when the agent was heard."""
        return audible(self.agent, self.gap)


class Sound(BaseModel):
    """What the ear hears: `{ agent = "begins", at = 2.0 }`, or `{ agent = "is silent", from = 5.1, to = 6.0 }`."""

    model_config = _STRICT

    agent: Literal["begins", "stops", "speaks", "is silent"]
    at: Seconds | None = None
    between: Span | None = None
    start: Seconds | None = Field(default=None, validation_alias=AliasChoices("from", "start"))
    to: Seconds | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.agent in {"begins", "stops"}:
            _needs_moment(self.at, self.between)
        elif self.start is None or self.to is None or self.to <= self.start:
            raise ValueError(f'agent = "{self.agent}" needs `from` and, later, `to`')
        return self

    def failure(self, outcome: Outcome, tolerance: float) -> str | None:
        """The message, where it is not so."""
        spans = outcome.spoken
        if self.agent in {"begins", "stops"}:
            moments = [start if self.agent == "begins" else end for start, end in spans]
            low, high = _bounds(self.at, self.between, tolerance)
            if any(low <= moment <= high for moment in moments):
                return None
            return f"the agent {self.agent} {_times(moments)}, and not {_span(low, high)}"
        assert self.start is not None
        assert self.to is not None
        start, end = self.start + tolerance, self.to - tolerance
        if self.agent == "speaks" and not any(a <= start and end <= b for a, b in spans):
            return (
                f"the agent does not speak all the time from {self.start:g} to {self.to:g} s; it speaks {_spans(spans)}"
            )
        if self.agent == "is silent" and any(a < end and start < b for a, b in spans):
            return f"the agent is not silent from {self.start:g} to {self.to:g} s; it speaks {_spans(spans)}"
        return None


class EventSent(BaseModel):
    """What the server sends: `{ event = "response.done", times = 2 }`, or with `at` or `between`, when."""

    model_config = _STRICT

    event: str
    fields: dict[str, Any] = Field(default={}, validation_alias=AliasChoices("with", "fields"))
    """Only events that hold these."""
    times: Annotated[int, Field(ge=0)] | None = None
    at: Seconds | None = None
    between: Span | None = None

    def failure(self, outcome: Outcome, tolerance: float) -> str | None:
        """The message, where it is not so."""
        sent = [time for time, event in outcome.events if event["type"] == self.event and _holds(event, self.fields)]
        if self.times is not None and len(sent) != self.times:
            return f"{self.event} is sent {len(sent)} times ({_times(sent)}), and not {self.times}"
        if self.at is None and self.between is None:
            return None if sent or self.times == 0 else f"{self.event} is never sent"
        low, high = _bounds(self.at, self.between, tolerance)
        return (
            None
            if any(low <= time <= high for time in sent)
            else f"{self.event} is sent {_times(sent)}, and not {_span(low, high)}"
        )


class OfReply(BaseModel):
    """How a reply went, and when: `{ reply = 1, mark = "playout_started", after = "turn_ended", between = [0, 0.04] }`."""

    model_config = _STRICT

    reply: Annotated[int, Field(ge=1)]
    """By the order in which they ended."""
    status: Status | None = None
    tries: int | None = None
    hit: bool | None = None
    mark: Mark | None = None
    never: Mark | None = None
    """A mark that it has not."""
    after: Mark | None = None
    """Times are counted from this mark; else from the start of the call."""
    at: Seconds | None = None
    between: Span | None = None

    def failure(self, outcome: Outcome, tolerance: float) -> str | None:
        """The message, where it is not so."""
        if self.reply > len(outcome.traces):
            return f"there is no reply {self.reply}; {len(outcome.traces)} ended"
        trace = outcome.traces[self.reply - 1]
        for name in ("status", "tries", "hit"):
            wanted, found = getattr(self, name), getattr(trace, name)
            if wanted is not None and wanted != found:
                return f"reply {self.reply}: {name} is {found}, and not {wanted}"
        if self.never in trace.marks:
            return f"reply {self.reply} has the mark {self.never}"
        return self._mark_failure(trace, tolerance) if self.mark else None

    def _mark_failure(self, trace: Trace, tolerance: float) -> str | None:
        missing = [name for name in (self.mark, self.after) if name and name not in trace.marks]
        if missing or self.mark is None:
            return f"reply {self.reply} has no mark {missing[0]}; it has {', '.join(trace.marks)}"
        if self.at is None and self.between is None:
            return None
        time = trace.marks[self.mark] - (trace.marks[self.after] if self.after else 0.0)
        low, high = _bounds(self.at, self.between, tolerance)
        if low <= time <= high:
            return None
        since = f" after {self.after}" if self.after else ""
        return f"reply {self.reply}: {self.mark} is at {time:.3f} s{since}, and not {_span(low, high)}"


class History(BaseModel):
    """The conversation at the end: `{ history = ["caller", "agent: Yes?"] }`; an answer that was cut ends with a dash."""

    model_config = _STRICT

    history: tuple[str, ...]

    def failure(self, outcome: Outcome, tolerance: float) -> str | None:
        """The message, where it is not so. In real time an answer may be cut two words sooner or later."""
        if len(self.history) == len(outcome.history) and all(
            _alike(wanted, found, 2 if tolerance else 0)
            for wanted, found in zip(self.history, outcome.history, strict=True)
        ):
            return None
        return f"the history is {outcome.history}, and not {list(self.history)}"


def _kind(value: object) -> str | None:
    keys = value if isinstance(value, dict) else vars(value)
    return next((f"~{key}" for key in ("agent", "event", "reply", "history") if key in keys), None)


Expectation = Annotated[
    Annotated[Sound, Tag("~agent")]
    | Annotated[EventSent, Tag("~event")]
    | Annotated[OfReply, Tag("~reply")]
    | Annotated[History, Tag("~history")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="needs one of the keys agent, event, reply and history",
    ),
]


def _needs_moment(at: float | None, between: tuple[float, float] | None) -> None:
    if (at is None) == (between is None):
        raise ValueError("needs one of `at` and `between`")


def _bounds(at: float | None, between: tuple[float, float] | None, tolerance: float) -> tuple[float, float]:
    """The earliest and the latest moment that is right."""
    low, high = between or ((at or 0.0) - EXACT, (at or 0.0) + EXACT)
    return low - tolerance - 1e-6, high + tolerance + 1e-6


def _holds(event: dict[str, Any], fields: dict[str, Any]) -> bool:
    """Whether an event has all of some fields, those of its objects included."""
    return all(
        _holds(event[name], value)
        if isinstance(value, dict) and isinstance(event.get(name), dict)
        else event.get(name) == value
        for name, value in fields.items()
    )


def _alike(wanted: str, found: str, words: int) -> bool:
    """Whether two lines are equal; where an answer was cut, but for so many words."""
    if wanted == found or not (wanted.endswith("—") and found.endswith("—")):
        return wanted == found
    shorter, longer = sorted((wanted[:-1], found[:-1]), key=len)
    return longer.startswith(shorter) and len(longer.split()) - len(shorter.split()) <= words


def _times(moments: list[float]) -> str:
    return "at " + ", ".join(f"{moment:.3f}" for moment in moments) + " s" if moments else "never"


def _spans(spans: list[tuple[float, float]]) -> str:
    return ", ".join(f"from {start:.3f} to {end:.3f} s" for start, end in spans) or "never"


def _span(low: float, high: float) -> str:
    return f"between {max(low, 0):.3f} and {high:.3f} s"
