"""Named moments of one turn: what the log says, what the dashboards draw, what the benchmarks compute from.

Marks are times of the running loop in seconds, passed in; nothing here asks the time. Voice-to-voice latency at the server is
`playout_started` - `speech_stopped`.
"""

from dataclasses import dataclass, field
from typing import Literal

Mark = Literal[
    "speech_stopped",  # capture time of the caller's last speech sample
    "started",  # work on the answer began: at a pause, before the turn was over, or when it was
    "prefill_done",  # the engine has heard the turn; only of an answer that was prepared
    "turn_ended",  # the end-of-turn silence was over
    "first_token",  # the engine's first text
    "first_chunk",  # enough text to speak
    "first_audio",  # the voice's first piece of speech
    "playout_started",  # the first sample was handed to the network
    "overlap",  # the caller made a sound, and the agent fell silent for it
    "interrupted",  # the reply was cancelled
    "done",  # the reply was played to its end, cut, or failed
]

Status = Literal["in_progress", "completed", "cancelled", "failed"]


@dataclass
class Trace:
    """One reply's marks."""

    call: str
    response: str
    status: Status = "in_progress"
    marks: dict[Mark, float] = field(default_factory=dict)
    wait: float | None = None
    """Seconds of silence that were decided on as the end of the turn."""
    end_of_turn: float | None = None
    """The engine's probability of it."""
    tries: int = 0
    """Answers prepared at pauses of this turn."""
    hit: bool = False
    """The last of them is this one."""

    def mark(self, name: Mark, time: float) -> None:
        """Note a moment; the first of a name counts."""
        self.marks.setdefault(name, time)

    def milliseconds(self) -> dict[str, float]:
        """The marks in milliseconds from the first of them, in order of time (to a hundredth)."""
        zero = min(self.marks.values(), default=0.0)
        return {
            name: round(1000 * (time - zero), 2) for name, time in sorted(self.marks.items(), key=lambda mark: mark[1])
        }

    @property
    def saved_ms(self) -> float:
        """Milliseconds by which the first audio came sooner because the answer was prepared (to a hundredth)."""
        if not self.hit or "first_audio" not in self.marks:
            return 0.0
        ready = min(self.marks["first_audio"], self.marks["turn_ended"])
        return round(1000 * max(0.0, ready - self.marks["started"]), 2)

    def as_json(self) -> dict[str, object]:
        """All of it, times in milliseconds."""
        return {
            "status": self.status,
            "marks": self.milliseconds(),
            "wait_ms": None if self.wait is None else round(1000 * self.wait),
            "end_of_turn": self.end_of_turn,
            "tries": self.tries,
            "hit": self.hit,
            "saved_ms": self.saved_ms,
        }

    def __str__(self) -> str:
        """The log's line of a turn."""
        return f"{self.response} {self.status} " + " ".join(
            f"{name}={ms:.0f}" for name, ms in self.milliseconds().items()
        )
