"""Who answers a call, as files: one agent in each TOML file of a folder, read and checked when the server starts.

Takes a folder, gives agents by id, which is the file's name without its end. What an agent's file leaves out is as the server's
settings say; what a client's session sets goes before both.
"""

import itertools
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from agent.realtime.objects import MAX_TEXT, SemanticVAD, ServerVAD


class AgentError(ValueError):
    """An agent's file is wrong; the message names the file and the key."""


class Agent(BaseModel, frozen=True, extra="forbid"):
    """Who answers a call."""

    id: str
    name: Annotated[str, Field(min_length=1, max_length=64)]
    number: Annotated[str, Field(pattern=r"^[0-9*#]{1,15}$")]
    """What a telephone dials; no two agents have the same."""
    instructions: Annotated[str, Field(max_length=MAX_TEXT)]
    greeting: Annotated[str, Field(max_length=1000)] = ""
    """Said when the call begins; nothing: the caller speaks first."""
    voice: str = ""
    """As the setting `voice` has it; nothing: that one."""
    tools: tuple[str, ...] | None = None
    """Of the server's functions (the setting `tools`), those that the agent may call; nothing: all."""
    turn: Annotated[ServerVAD | SemanticVAD, Field(discriminator="type")] | None = None
    """How the end of a turn is found, as a session's `turn_detection`; nothing: as the settings say."""
    codec: Literal["opus", "pcmu", "pcma"] | None = None
    """What a telephone offers for a call to this agent; nothing: G.711 as telephones do."""

    def session(self) -> dict[str, Any]:
        """The settings of a session, as a client would send them; the voice is the server's to set."""
        changes: dict[str, Any] = {"instructions": self.instructions}
        if self.turn:
            changes["audio"] = {"input": {"turn_detection": self.turn.model_dump()}}
        return changes


def load(folder: Path, functions: Collection[str] = ()) -> dict[str, Agent]:
    """The agents of a folder, by id, in the order of their numbers; `functions` are the server's, by name. Raises AgentError."""
    if not folder.is_dir():
        raise AgentError(f"agents: there is no folder {folder}")
    agents = sorted((_read(file) for file in folder.glob("*.toml")), key=lambda agent: agent.number)
    for agent in agents:
        if unknown := next((name for name in agent.tools or () if name not in functions), None):
            known = ", ".join(functions) or "none"
            raise AgentError(
                f"{folder / agent.id}.toml: tools: the server has no function {unknown!r}; it has: {known}"
            )
    for one, other in itertools.pairwise(agents):
        if one.number == other.number:
            raise AgentError(f"{folder / other.id}.toml: number: {one.id}.toml has {one.number}, too")
    return {agent.id: agent for agent in agents}


def _read(file: Path) -> Agent:
    """One agent. Raises AgentError."""
    try:
        return Agent.model_validate({**tomllib.loads(file.read_text(encoding="utf-8")), "id": file.stem})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"{file}: {error}") from None
    except ValidationError as error:
        finding = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, finding["loc"]))
        raise AgentError(f"{file}: {key}: {finding['msg']}") from None
