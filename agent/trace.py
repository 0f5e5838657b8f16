"""Named moments of one turn: what the log says, what the dashboards draw, what the benchmarks compute from.

Marks are times of the running loop in seconds, passed in; nothing here asks the time. Voice-to-voice latency at the server is
`playout_started` - `speech_stopped`.
"""

from dataclasses import dataclass, field
from typing import Literal

Mark = Literal[
    "speech_stopped",  # capture time of the caller's last speech sample
    "turn_ended",  # the end-of-turn silence was over
    "first_token",  # the engine's first text
    "first_chunk",  # enough text to speak
    "first_audio",  # the voice's first piece of speech
    "playout_started",  # the first sample was handed to the network
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

    def mark(self, name: Mark, time: float) -> None:
        """Note a moment; the first of a name counts."""
        self.marks.setdefault(name, time)

    def milliseconds(self) -> dict[str, float]:
        """The marks in milliseconds from the first of them, in order of time (to a hundredth)."""
        zero = min(self.marks.values(), default=0.0)
        return {
            name: round(1000 * (time - zero), 2) for name, time in sorted(self.marks.items(), key=lambda mark: mark[1])
        }

    def __str__(self) -> str:
        """The log's line of a turn."""
        return f"{self.response} {self.status} " + " ".join(
            f"{name}={ms:.0f}" for name, ms in self.milliseconds().items()
        )
