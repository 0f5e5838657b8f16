"""What all calls share: the engine, the voice, what they may do without the model, and where traces go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field

from agent.engine import Engine
from agent.replies.prompts import Prompts
from agent.tools import Toolbox
from agent.traces.recent import Traces
from agent.tts import TTS
from agent.turns.endpointing import Experience


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class Speculation:
    """How far answers are prepared before a turn is over."""

    tries: Annotated[int, Field(ge=0)] = 3
    """Answers begun in one turn; at later pauses the engine only hears the turn. 0: never."""

    busy: Annotated[int, Field(ge=0)] = 1
    """Replies of all calls that wait for their first word, from which on nothing is prepared: what is due comes first."""


@dataclass
class Ability:
    """What was found out of the engine while it served."""

    repeats: bool | None = None
    """Whether it can say what it heard, word for word; None: it was not asked yet."""


@dataclass(frozen=True)
class Stages:
    """What answers, shared by all calls, and where the traces of its replies go."""

    engine: Engine
    voice: TTS
    speculation: Speculation = field(default_factory=Speculation)
    traces: Traces = field(default_factory=Traces)
    prompts: Prompts = field(default_factory=Prompts)
    ability: Ability = field(default_factory=Ability)
    experience: Experience = field(default_factory=Experience)
    """What the calls so far taught about the ends of turns."""
    voices: Mapping[str, TTS] = field(default_factory=dict)
    """Those that a call may change to, by name."""
    toolbox: Toolbox = field(default_factory=Toolbox)
    """The functions that the server runs."""
    agent: str = ""
    """Who answers, for the traces; empty: the server's own settings do."""
    waiting: set[object] = field(default_factory=set)
    """The replies whose first word the engine has not given yet."""
