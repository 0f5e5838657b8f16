"""Named moments of one turn: what the log says, what the dashboards draw, what metrics and benchmarks compute from.

Marks are times of the running loop in seconds, passed in; nothing here asks the time. Voice-to-voice latency (V2V) is `heard` -
`spoken`, as the caller's end measured them; where it does not, the server's own `playout_started` and `speech_stopped` stand in.
docs/latency.md defines every mark and stage.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

Mark = Literal[
    "spoken",  # the caller's last audible sample at the caller's own microphone, by the caller's report
    "speech_stopped",  # capture time of the caller's last speech sample
    "started",  # work on the answer began: at a pause, before the turn was over, or when it was
    "prefill_done",  # the engine has heard the turn; only of an answer that was prepared
    "turn_ended",  # the end-of-turn silence was over
    "first_token",  # the engine's first text
    "first_chunk",  # enough text to speak
    "first_audio",  # the voice's first piece of speech
    "playout_started",  # the first sample was handed to the network
    "heard",  # the first audible sample at the caller's ear, by the caller's report
    "overlap",  # the caller made a sound, and the agent fell silent for it
    "interrupted",  # the reply was cancelled
    "done",  # the reply was played to its end, cut, or failed
]

Status = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]

Outcome = Status | Literal["barge_in", "false_start"]

STAGES: dict[str, Mark] = {
    "silence": "turn_ended",
    "hearing": "prefill_done",
    "first_word": "first_token",
    "first_clause": "first_chunk",
    "voice": "first_audio",
    "sending": "playout_started",
    "network": "heard",
}
"""What the caller waits for, in order, and the mark that ends each."""

FALSE_START = 1.0
"""Seconds: a caller who goes on so soon after the last word had not finished (as `agent.turns.hearing` has it)."""

MAX_LEAD, MAX_LAG = 1.0, 5.0
"""Seconds by which a caller's report may differ from what the server saw; beyond, it is a mistake."""

Seconds = Annotated[float, Field(gt=0, le=60)]


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class Budget:
    """How long a caller should wait at most, in seconds: in all, and the share of each stage."""

    voice_to_voice: Seconds = 0.8
    """From the caller's last syllable to the first audible sample of the answer."""

    silence: Seconds = 0.45
    """Waiting for the end of the turn."""

    hearing: Seconds = 0.05
    """The engine hears the turn, beyond the silence."""

    first_word: Seconds = 0.1
    """The engine's first text."""

    first_clause: Seconds = 0.05
    """Enough text to speak."""

    voice: Seconds = 0.05
    """The voice's first piece of speech."""

    sending: Seconds = 0.03
    """Until the first frame leaves."""

    network: Seconds = 0.07
    """The way to the caller's ear, its jitter buffer included."""


@dataclass(frozen=True)
class Decision:
    """What a wait was computed from (`agent.turns.endpointing`): a turn is over when so few pauses would still be longer."""

    at: float
    """Seconds of silence after which it was decided."""
    median: float
    """Seconds: half of the caller's pauses are shorter, as the settings and the question stretch them."""
    spread: float
    """Standard deviation of the logarithm of their lengths."""
    evidence: float
    """Log-odds that the turn is over, by the engine and by earlier answers to the same question; 0: nothing is known."""
    allowed: float
    """The share of pauses that may still be longer, without evidence; evidence multiplies it."""


@dataclass(frozen=True)
class Pause:
    """A silence of the caller in a turn, and what was decided in it."""

    start: float
    """The loop's time of the last speech sample before it."""
    wait: float
    """Seconds of silence after which the turn would be over."""
    end_of_turn: float | None
    """The engine's probability that it is, where it gave one in time."""
    expected: str
    """What the agent had asked for, which makes the wait longer or shorter."""
    length: float | None = None
    """Seconds after which the caller went on; None: it ended the turn."""
    decision: Decision | None = None
    """What the wait was computed from; None: it is a fixed one."""


class Ear(BaseModel, frozen=True):
    """What the caller's end says of its own measurement and of the sound that reached it, since its last report."""

    clock_error_ms: float
    """Half of the shortest round trip of the clock comparison: the mapped times are right within it."""
    round_trip_ms: float | None = None
    jitter_ms: float | None = None
    """Of the packets' arrival (RFC 3550)."""
    jitter_buffer_ms: float | None = None
    """Mean time that a sample waited there."""
    packets_lost: int | None = None
    concealed_ms: float | None = None
    """Sound that was made up where packets were missing."""


@dataclass
class Trace:
    """One reply's marks."""

    call: str
    response: str
    status: Status = "in_progress"
    marks: dict[Mark, float] = field(default_factory=dict)
    wait: float | None = None
    """Seconds of silence that were decided on as the end of the turn."""
    speech: float | None = None
    """Seconds from where the turn's audio begins, just before its first syllable, to its last."""
    end_of_turn: float | None = None
    """The engine's probability of it."""
    tries: int = 0
    """Answers prepared at pauses of this turn."""
    hit: bool = False
    """The last of them is this one."""
    agent: str = ""
    model: str = ""
    voice: str = ""
    unasked: bool = False
    """A greeting or a reminder: nobody waited for it, so that it has neither V2V nor stages."""
    reason: str | None = None
    """Why it was cancelled."""
    pauses: tuple[Pause, ...] = ()
    withdrawn: tuple[dict[Mark, float], ...] = ()
    """Marks of the answers that were prepared at pauses of this turn in vain; `done` is when each was given up."""
    ear: Ear | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    """`prompt`, `cached` (of the prompt, computed earlier) and `output`."""
    media: dict[str, float] = field(default_factory=dict)
    """What the call's audio went through since the turn before, as the server counts (`agent.edge.statistics`), and what holds now."""

    def mark(self, name: Mark, time: float) -> None:
        """Note a moment; the first of a name counts."""
        self.marks.setdefault(name, time)

    def report(self, spoken: float | None, heard: float, ear: Ear) -> bool:
        """Take what the caller's end measured, in the loop's time; False if it cannot be true, and then nothing is taken."""
        left, stopped = self.marks.get("playout_started"), self.marks.get("speech_stopped")
        if self.ear or left is None or not left - MAX_LEAD <= heard <= left + MAX_LAG:
            return False
        self.mark("heard", heard)
        if spoken is not None and stopped is not None and stopped - MAX_LEAD <= spoken <= min(heard, left):
            self.mark("spoken", spoken)
        self.ear = ear
        return True

    @property
    def zero(self) -> float:
        """When the caller's wait began: the last syllable, or the arrival of typed words."""
        for name in ("spoken", "speech_stopped"):
            if name in self.marks:
                return self.marks[name]
        return min(self.marks.values(), default=0.0)

    @property
    def voice_to_voice(self) -> float | None:
        """Seconds; None for a reply that never became audible, or that nobody waited for."""
        end = self.marks.get("heard", self.marks.get("playout_started"))
        return None if end is None or self.unasked else end - self.zero

    def stages(self) -> dict[str, float]:
        """Seconds that the caller waited for each stage, in order; they add up to V2V.

        Work that was finished before the stage in front of it, such as an answer prepared ahead, has no length: nobody waited for it.
        """
        found: dict[str, float] = {}
        if self.unasked:
            return found
        start = self.zero
        for stage, mark in STAGES.items():
            if (end := self.marks.get(mark)) is not None:
                found[stage] = max(0.0, end - start)
                start = max(start, end)
        return found

    def over(self, budget: Budget) -> str | None:
        """The stage that is furthest over its share, of a turn that is over its budget; None for one that is not."""
        if self.voice_to_voice is None or self.voice_to_voice <= budget.voice_to_voice:
            return None
        excess = {stage: seconds - getattr(budget, stage) for stage, seconds in self.stages().items()}
        return max(excess, key=excess.__getitem__)

    @property
    def outcome(self) -> Outcome:
        """How it ended; a false start is an answer to a caller who had not finished."""
        if self.status == "failed" or "interrupted" not in self.marks:
            return self.status
        if self.reason != "turn_detected":
            return "cancelled"
        gap = self.marks["interrupted"] - self.zero
        return "false_start" if "playout_started" not in self.marks or gap < FALSE_START else "barge_in"

    def milliseconds(self) -> dict[str, float]:
        """The marks in milliseconds from `zero`, in order of time (to a hundredth)."""
        return self.since_zero(self.marks)

    @property
    def saved_ms(self) -> float:
        """Milliseconds by which the first audio came sooner because the answer was prepared (to a hundredth)."""
        if not self.hit or "first_audio" not in self.marks:
            return 0.0
        ready = min(self.marks["first_audio"], self.marks["turn_ended"])
        return round(1000 * max(0.0, ready - self.marks["started"]), 2)

    def as_json(self) -> dict[str, object]:
        """What the call's own client is told, times in milliseconds from `zero`."""
        return {
            "status": self.status,
            "unasked": self.unasked,
            "marks": self.milliseconds(),
            "wait_ms": None if self.wait is None else round(1000 * self.wait),
            "end_of_turn": self.end_of_turn,
            "tries": self.tries,
            "hit": self.hit,
            "saved_ms": self.saved_ms,
        }

    def since_zero(self, marks: dict[Mark, float]) -> dict[str, float]:
        """Moments in milliseconds from `zero`, in order of time (to a hundredth)."""
        ordered = sorted(marks.items(), key=lambda mark: mark[1])
        return {name: round(1000 * (time - self.zero), 2) for name, time in ordered}

    def __str__(self) -> str:
        """The log's line of a turn."""
        return f"{self.response} {self.status} " + " ".join(
            f"{name}={ms:.0f}" for name, ms in self.milliseconds().items()
        )


def full_json(trace: Trace, budget: Budget) -> dict[str, object]:
    """All of a turn, for reports, times in milliseconds; work before `zero` has negative ones."""
    v2v = trace.voice_to_voice
    return {
        "call": trace.call,
        "response": trace.response,
        "agent": trace.agent,
        "model": trace.model,
        "voice": trace.voice,
        **trace.as_json(),
        "outcome": trace.outcome,
        "v2v_ms": None if v2v is None else round(1000 * v2v, 2),
        "measured": "ear" if "heard" in trace.marks else "server",
        "speech_ms": None if trace.speech is None else round(1000 * trace.speech),
        "stages": {stage: round(1000 * seconds, 2) for stage, seconds in trace.stages().items()},
        "over": trace.over(budget),
        "pauses": [_pause(pause, trace.zero) for pause in trace.pauses],
        "withdrawn": [trace.since_zero(marks) for marks in trace.withdrawn],
        "tokens": trace.tokens,
        "ear": trace.ear.model_dump() if trace.ear else None,
        "media": trace.media,
    }


def _pause(pause: Pause, zero: float) -> dict[str, object]:
    return {
        "start": round(1000 * (pause.start - zero), 2),
        "wait_ms": round(1000 * pause.wait),
        "length_ms": None if pause.length is None else round(1000 * pause.length),
        "end_of_turn": pause.end_of_turn,
        "expected": pause.expected,
        "decision": None if pause.decision is None else _decision(pause.decision),
    }


def _decision(decision: Decision) -> dict[str, float]:
    return {
        "at_ms": round(1000 * decision.at),
        "median_ms": round(1000 * decision.median, 1),
        "spread": decision.spread,
        "evidence": round(decision.evidence, 3),
        "allowed": round(decision.allowed, 4),
    }
