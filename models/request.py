"""One request to the engine: a conversation, what is wanted of it, how far it is, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from torch import Tensor

from models.history import BY_QUARTERS, Truncation, fit
from models.inputs import PLACEHOLDER, InputError, Messages, Plan
from models.model import Model
from models.sampling import GREEDY, Sampling
from models.tape import Key, Tape, keys_of
from models.tokenizer import Detokenizer


class Priority(IntEnum):
    """Who goes first."""

    COMMITTED = 0  # a caller waits for it
    SPECULATIVE = 1  # a caller may come to wait for it
    OFF_PATH = 2  # nobody waits; rests while there is other work


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted."""

    max_new_tokens: int = 256  # 0: only the prefill
    priority: Priority = Priority.COMMITTED  # at first
    sampling: Sampling = GREEDY
    truncation: Truncation = BY_QUARTERS
    tools: tuple[dict[str, Any], ...] = ()  # functions that the answer may call
    call: str | None = None  # the answer calls a function: this one, or with "" any


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that has been made."""

    text: str


@dataclass(frozen=True, slots=True)
class Prefilled:
    """All that was wanted is on the tape."""

    end_of_turn: float | None  # probability of an end token after the newest turn's audio; None if it has none


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete, or as long as it may be."""

    tokens: int
    complete: bool  # the model ended it


@dataclass(frozen=True, slots=True)
class Failed:
    """The request came to nothing, or its answer ends here."""

    error: Exception


Output = Delta | Prefilled | Finished | Failed


@dataclass(eq=False)
class Request:
    """A prompt that is to be computed and, unless `limit` is 0, answered."""

    plan: Plan
    keys: list[Key]
    audios: Sequence[Any]
    limit: int  # tokens
    options: Options
    heard: int | None  # position of the newest turn's last row of audio, where a prefill tells if the turn is over
    text: Detokenizer
    priority: Priority  # may be changed at any time, as when a speculation comes true
    prompt: int  # positions of the prompt; `keys` may go on with what was made, after a pause
    tape: Tape | None = None
    made: list[int] = field(default_factory=list)  # tokens; the newest is not on the tape yet
    rows: dict[int, Tensor] = field(default_factory=dict)  # of windows, while their positions are computed
    end_of_turn: float | None = None
    started: bool = False
    cached: int = 0  # positions that were on the tape when it started

    def audio(self, end: int) -> int:
        """Positions of audio before `end`."""
        return sum(max(0, min(window.count, end - window.start)) for window in self.plan.windows)

    @property
    def pending(self) -> int:
        """Positions of the prompt that are not yet on the tape."""
        return max(0, len(self.keys) - (self.tape.cache.length if self.tape else 0))

    def pause(self) -> None:
        """Give the tape up; on another one the request will go on with what it has said as a part of its prompt."""
        self.tape = None
        said = self.made[len(self.keys) - self.prompt :]
        self.keys += said
        self.plan.ids.extend(said)

    @property
    def settled(self) -> int:
        """Positions with which the next request of this conversation will begin, whatever is said until then."""
        return self.plan.windows[-1].start if self.plan.windows else self.prompt - 1

    @property
    def reusable(self) -> int:
        """Positions that may come from a tape: the last one is computed, for what follows it; so is the one that tells the end of turn."""
        return len(self.keys) - 1 if self.limit or self.heard is None else self.heard


def build(model: Model, window: int, messages: Messages, audios: Sequence[Any], options: Options) -> Request:
    """Lay out a request for a window of so many positions; raises InputError.

    The oldest turns are left out, as the options say, where they do not leave room for the answer, or for a quarter of the window.
    """
    template = model.tokenizer.template
    opening = template.call(options.call) if template and options.call is not None and options.max_new_tokens else ""

    def plan(messages: Messages, audios: Sequence[Any], offered: Sequence[Any] = options.tools) -> Plan:
        prompt = model.prompt(messages, offered or None) + opening
        return model.plan(prompt, [len(audio) for audio in audios])

    def length(messages: Messages, audios: Sequence[Any]) -> int:
        return len(plan(messages, audios).ids)

    def alone(messages: Messages, audios: Sequence[Any]) -> int:
        return len(plan(messages, audios, ()).ids)

    room = window - min(max(1, options.max_new_tokens), window // 4)
    kept, kept_audios = fit(messages, audios, length, room, options.truncation, alone)
    planned = plan(kept, kept_audios)
    positions = len(planned.ids)
    if positions > window:
        what = "newest turn" if options.truncation.retention is not None else "conversation"
        raise InputError(f"the {what} takes {positions} tokens; the window holds {window}")
    spoken = planned.windows and PLACEHOLDER in (messages[-1]["content"] or "")
    last = planned.windows[-1] if spoken else None
    return Request(
        plan=planned,
        keys=keys_of(planned, kept_audios),
        audios=kept_audios,
        limit=min(options.max_new_tokens, window - positions + 1),  # the last token needs no position
        options=options,
        heard=last.start + last.count - 1 if last else None,
        text=Detokenizer(model.tokenizer, opening, calls=bool(options.tools)),
        priority=options.priority,
        prompt=positions,
    )
