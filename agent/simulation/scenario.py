"""A scenario: a TOML file that says who speaks when, what answers, and what is expected. Pure but for the reading of the file.

Times are seconds from the start of the call, to the millisecond. What is wrong in a file is told with its line and its key.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.audio import INPUT_RATE, Samples
from agent.config import INSTRUCTIONS
from agent.replies.prompts import Prompts
from agent.simulation.caller import Line, Play, Room, Script, Send
from agent.simulation.expectations import Expectation
from agent.stages import Speculation
from agent.turns.turn import TurnSettings

Time = Annotated[float, Field(ge=0, le=3600)]
Level = Annotated[float, Field(ge=-96, le=0)]
_STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ScenarioError(ValueError):
    """A scenario that cannot be used; the message names the file, the line and the key."""


class Act(BaseModel):
    """One thing that the caller does: exactly one of `says`, `coughs`, `plays` and `sends`."""

    model_config = _STRICT

    start: Time = Field(validation_alias=AliasChoices("from", "at", "start"))
    to: Time | None = None
    """End of a sound that has no length of its own: of tones, and of a cough. Real speech ends when its words do."""
    says: str | None = None
    """Words."""
    coughs: bool = False
    """A burst of noise."""
    plays: Path | None = None
    """A sound file beside the scenario."""
    sends: dict[str, Any] | None = None
    """A client event."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [bool(self.says), self.coughs, self.plays is not None, self.sends is not None]
        if sum(named) != 1:
            raise ValueError("needs exactly one of says, coughs, plays and sends")
        if self.to is not None and self.to <= self.start:
            raise ValueError(f"ends at {self.to:g} s, before it begins")
        if self.coughs and self.to is None:
            raise ValueError("a cough needs `to`, when it ends")
        return self


class Around(BaseModel):
    """What disturbs the call for a while, or all of it."""

    model_config = _STRICT

    start: Time = Field(default=0.0, validation_alias=AliasChoices("from", "start"))
    to: Time = 3600.0
    echo: Annotated[float, Field(ge=-60, le=6)] | None = None
    """The agent's own voice in the microphone, in decibels relative to what was played."""
    delay: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Seconds by which the echo is late."""
    noise: Level | None = None
    """Its level in dBFS; a quiet room has -60."""
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the caller's packets that is lost."""


class EngineSettings(BaseModel):
    """What answers, and how fast; the times of a real model are replaced by these, so that every run is equal."""

    model_config = _STRICT

    model: str = "scripted"
    """`scripted`, `demo`, a checkpoint folder, or a hub id."""
    answers: Annotated[tuple[str, ...], Field(min_length=1)] = ("Yes.",)
    """Of the scripted engine: the caller's n-th turn gets the n-th."""
    first_token: Time = 0.1
    per_token: Time = 0.02
    end_of_turn: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Its probability in the first pause, the second and so on; the last one then stays. Nothing: it cannot tell."""
    judging: Time = 0.0
    """Seconds that it takes to hear a turn."""
    fail_after: int | None = None
    """Words after which every answer fails."""


class VoiceSettings(BaseModel):
    """How the agent speaks, and how fast."""

    model_config = _STRICT

    name: str = "tones"
    """`tones`, an espeak-ng voice, or the path of a Piper voice."""
    first_audio: Time = 0.0
    """Seconds until each chunk of text is heard."""
    word: Annotated[float, Field(gt=0, le=5)] = 0.25
    """Seconds of tone for each word."""


class Scenario(BaseModel):
    """A whole call."""

    model_config = _STRICT

    title: str
    lasts: Annotated[float, Field(gt=0, le=3600)]
    """When the caller hangs up."""
    speech: str = "tones"
    """How the caller's words sound: `tones`, which a detector of levels finds to the 10 ms, or an espeak-ng voice, which Silero hears."""
    instructions: str = INSTRUCTIONS
    caller: tuple[Act, ...] = ()
    around: tuple[Around, ...] = ()
    engine: EngineSettings = EngineSettings()
    voice: VoiceSettings = VoiceSettings()
    turn: TurnSettings = TurnSettings()
    prompts: Prompts = Prompts()
    speculation: Speculation = Speculation()
    expect: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for number, act in enumerate(self.caller, 1):
            if max(act.start, act.to or 0.0) > self.lasts:
                raise ValueError(f"caller {number} is not over when the call is, at {self.lasts:g} s")
            if act.says and self.speech == "tones" and act.to is None:
                raise ValueError(
                    f'caller {number} needs `to`, when it ends: tones have no length (or set speech = "en-us")'
                )
        return self

    def script(self, sounds: dict[int, Samples]) -> Script:
        """The caller's steps; `sounds` are the acts that are heard, by their number, [n] at 16 kHz."""
        microphone = np.zeros(round(self.lasts * INPUT_RATE), np.int32)
        for number, samples in sounds.items():
            start = round(self.caller[number].start * INPUT_RATE)
            room = microphone[start : start + samples.size]
            room += samples[: room.size]
        heard = np.clip(microphone, -32768, 32767).astype(np.int16)
        steps: list[Play | Send | Room | Line] = []
        position = 0
        for time, step in self._changes():
            at = min(round(time * INPUT_RATE), heard.size)
            steps += [Play(heard[position:at]), step]
            position = at
        return [*steps, Play(heard[position:])]

    def _changes(self) -> list[tuple[float, Send | Room | Line]]:
        """What happens beside the sounds, in order of time."""
        changes: list[tuple[float, Send | Room | Line]] = [
            (act.start, Send(json.dumps(act.sends))) for act in self.caller if act.sends is not None
        ]
        for time in sorted({edge for around in self.around for edge in (around.start, around.to) if edge < self.lasts}):
            now = [around for around in self.around if around.start <= time < around.to]
            echo = next((around for around in now if around.echo is not None), Around())
            noise = max((around.noise for around in now if around.noise is not None), default=None)
            changes += [
                (time, Room(echo.echo, echo.delay, noise)),
                (time, Line(max((around.loss for around in now), default=0.0))),
            ]
        return sorted(changes, key=lambda change: change[0])


def read(path: Path, changes: Sequence[str] = ()) -> Scenario:
    """Read a scenario; `changes` such as `turn.silence=0.3` come before what it says.

    Raises ScenarioError, whose message has one line for each finding.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: no valid TOML: {error}") from None
    for change in changes:
        set_value(values, change)
    try:
        return Scenario.model_validate(values)
    except ValidationError as error:
        raise ScenarioError("\n".join(_findings(path, text, error))) from None


def set_value(values: dict[str, Any], change: str) -> None:
    """Put a value such as `turn.silence=0.3` into nested tables; what is no TOML value is a text. Raises ScenarioError."""
    path, equals, text = change.partition("=")
    *tables, key = path.strip().split(".")
    if not equals or not all((*tables, key)):
        raise ScenarioError(f"{change!r} is no change such as turn.silence=0.3")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ScenarioError(f"{change!r}: {table} is no table")
    try:
        values[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[key] = text.strip()


def _findings(path: Path, text: str, error: ValidationError) -> list[str]:
    """One line for each: file, line, key, and what is wrong."""
    found = []
    for finding in error.errors(include_url=False):
        where = [part for part in finding["loc"] if not str(part).startswith("~")]  # the kinds of expectations
        line, key = _line(text, where), _key(where)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            message = "there is no such key"
        elif finding["type"] == "missing":
            message = "is missing"
        found.append(f"{path}{f':{line}' if line else ''}: {key + ': ' if key else ''}{message}")
    return list(dict.fromkeys(found))


def _key(where: list[str | int]) -> str:
    """`expect 2, between`: entries of arrays counted from 1, as a person counts."""
    text = ""
    for part in where:
        text += (
            f" {part + 1}" if isinstance(part, int) else f"{', ' if text[-1:].isdigit() else '.' if text else ''}{part}"
        )
    return text


def _line(text: str, where: list[str | int]) -> int | None:
    """The line of a key: of the table or array, its entry, and the key in that, as far as they can be found."""
    lines, at = text.splitlines(), 0
    found = None
    for part in where:
        if isinstance(part, int):
            starts = [
                number
                for number, line in enumerate(lines)
                if number >= at and re.match(r"\s*\{|.*=\s*\[\s*\{|\[\[", line)
            ]
            found = at = starts[part] if part < len(starts) else at
        else:
            name = re.escape(part)
            pattern = re.compile(rf"\s*\[+\s*{name}\s*\]+|.*\b{name}\s*=")
            match = next((number for number, line in enumerate(lines) if number >= at and pattern.match(line)), None)
            if match is None:
                break
            found = at = match
    return None if found is None else found + 1
