"""What of OpenAI's Realtime protocol works here, as a page: made from the server's routes, its events, and those of the official SDK.

`python -m tests.matrix` writes docs/realtime.md; a test says when it is out of date.
"""

import inspect
import re
import types
import typing
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

from openai.types import realtime as sdk
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.http import routes
from agent.realtime import client_events, events
from agent.realtime.objects import SessionObject
from agent.server import Server
from agent.simulation.sound import LevelVAD, ToneVoice
from agent.stages import Stages

PAGE = Path(__file__).parent.parent / "docs" / "realtime.md"

HEAD = """# The OpenAI Realtime protocol in Parley

Made from the code by `python -m tests.matrix`; a test fails when it is out of date. [README](../README.md) ·
[configuration](configuration.md)

Give a client the base URL `http://127.0.0.1:8080/v1` and any key (with `PARLEY_KEY` set: that one). In [tests/clients](../tests/clients)
these talk to it, unmodified: they type, speak, are answered right, interrupt, run a function and hang up. The demo checkpoint answers; only
the calls of functions and the transcripts are scripted, which it never learnt.

| client | over | test |
| --- | --- | --- |
| openai (Python), with each event held against its models | WebSocket, HTTP | [test_openai.py](../tests/clients/test_openai.py) |
| openai (Node; it needs TLS in front of the server) | WebSocket | [test_openai_node.py](../tests/clients/test_openai_node.py) |
| @openai/agents-realtime | WebSocket | [test_agents.py](../tests/clients/test_agents.py) |
| @openai/agents-realtime, @pipecat-ai/client-js with small-webrtc-transport | WebRTC | [test_browser.py](../tests/clients/test_browser.py) |
| pipecat-ai's `OpenAIRealtimeLLMService` | WebSocket | [test_pipecat.py](../tests/clients/test_pipecat.py) |

Pipecat's clients with small-webrtc-transport take the address `http://127.0.0.1:8080/api/offer` (`webrtcRequestParams.endpoint`) and speak
RTVI; their `requestData` may be `{"session": …}`, a session as below.

What is other than at OpenAI: any model's name means the one that is loaded. A voice may change between answers. Calls of functions that
the server runs itself (`tools` in the configuration) are shown as items, and the client has nothing to do. A key may begin so many
requests and send so many events in a minute, and have so many calls (`key_requests`, `key_events`, `key_calls`): 429 with `Retry-After`,
or an `error` with the code `rate_limit_exceeded`; a full server answers 503. In [test_orders.py](../tests/simulation/test_orders.py)
stands the order of events in every situation. `PARLEY_FUZZ_EVENTS=10000 pytest tests/edge/test_fuzz_live.py` sends the server ten
thousand events that are wrong in every way.

- **works**: does what OpenAI's documentation says, with the server's own model and voice.
- **inert**: accepted, checked and echoed, without effect.
- **ignored**: accepted and not looked at, as are all fields that no table names.
- **refused**: answered with a clear error; the call goes on.
"""


OTHERS = {
    "/api/offer": "; Pipecat's, with RTVI messages",
    "/v1/agents": "; Parley's own",
    "/v1/parley": "; Parley's own",
}
"""Whose endpoints are not OpenAI's."""


class Field(typing.NamedTuple):
    """One field of an event."""

    info: FieldInfo | None
    doc: str


def members(annotation: Any) -> list[Any]:
    """The alternatives of a type, without None."""
    if get_origin(annotation) is typing.Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        return [each for option in get_args(annotation) for each in members(option)]
    if get_origin(annotation) in {list, tuple}:
        return [each for option in get_args(annotation) if option is not ... for each in members(option)]
    return [] if annotation is type(None) else [annotation]


def models(annotation: Any) -> list[type[BaseModel]]:
    return [each for each in members(annotation) if inspect.isclass(each) and issubclass(each, BaseModel)]


def kinds(model: type[BaseModel]) -> list[str]:
    """The values that the `type` of a model may have."""
    field = model.model_fields.get("type")
    return [value for each in members(field.annotation) for value in get_args(each)] if field else []


def fields(model: type[BaseModel], prefix: str, depth: int = 6) -> dict[str, Field]:
    """All fields by their path; objects that have types have a path for each of them."""
    found: dict[str, Field] = {}
    for name, info in model.model_fields.items():
        if name in {"type", "object", "event_id"}:
            continue
        path = f"{prefix}.{name}" if prefix else name
        inside = models(info.annotation)
        alone = len(inside) == len(members(info.annotation)) == 1
        found[path] = Field(info, info.description or (inspect.getdoc(inside[0]) or "" if alone else ""))
        for each in inside if depth else ():
            for variant in [f"{path}({kind})" for kind in kinds(each)] or [path]:
                found.setdefault(variant, Field(None, inspect.getdoc(each) or ""))
                found |= {key: value for key, value in fields(each, variant, depth - 1).items() if key not in found}
    return found


def ours(model: type[BaseModel]) -> dict[str, Field]:
    if model is not client_events.SessionUpdate:
        return fields(model, "")
    return {
        "session": Field(None, ""),
        "session(realtime)": Field(None, ""),
        **fields(SessionObject, "session(realtime)"),
    }


def by_type(union: Any) -> dict[str, type[BaseModel]]:
    """Events by their names."""
    return {
        name: model
        for model in models(union)
        for each in members(model.model_fields["type"].annotation)
        for name in get_args(each)
    }


def state(path: str, known: dict[str, Field]) -> str:
    field = known.get(path)
    if field is None:
        return "refused" if path.endswith(")") else "ignored"
    if field.info is not None and field.info.annotation is type(None):
        return "refused"
    if field.doc.startswith("The server's"):
        return "ignored"
    above = [path[:end] for end, character in enumerate(path) if character in ".("]
    if any(known[each].doc.startswith("Inert") for each in [*above, path] if each in known):
        return "inert"
    return "works"


def table(name: str, model: type[BaseModel], theirs: type[BaseModel] | None) -> list[str]:
    """The fields of one client event."""
    known, wanted = ours(model), fields(theirs, "") if theirs else {}
    paths = list(dict.fromkeys([*known, *wanted]))
    states = {path: state(path, known) for path in paths}
    hidden = {path for path in paths if is_hidden(path, states, known)}
    rows = [(path, states[path], note(known.get(path))) for path in paths if path not in hidden]
    if not rows:
        return []
    lines = [f"\n### `{name}`\n", "| field | here | |", "| --- | --- | --- |"]
    return lines + [f"| `{path}` | {what} | {why} |" for path, what, why in rows]


def is_hidden(path: str, states: dict[str, str], known: dict[str, Field]) -> bool:
    """What is inside of something without effect; what only stands for its variants; what OpenAI's own types of content do not have."""
    if any(path.startswith((f"{other}.", f"{other}(")) and what != "works" for other, what in states.items()):
        return True
    if path.startswith("response.input(") and ")." in path:  # as in conversation.item.create
        return True
    if states[path] == "ignored" and re.search(r"content\(\w+\)\.\w+$", path):
        return True
    variants = any(other.startswith(f"{path}(") for other in states)
    info = known[path].info if path in known else None
    return (
        states[path] == "works"
        and variants
        and (info is None or len(models(info.annotation)) == len(members(info.annotation)))
    )


def note(field: Field | None) -> str:
    """The first sentence of what our code says of a field."""
    text = " ".join((field.doc if field else "").split())
    text = text.removeprefix("Inert: ").removeprefix("Inert.").removeprefix("Inert, ").strip()
    return text.split(". ")[0].rstrip(".").replace("|", "\\|")


def endpoints() -> list[str]:
    stages = Stages(ScriptedEngine(["-"]), ToneVoice())
    app = routes.application(Server(Settings(), stages, LevelVAD))
    lines = ["\n## Endpoints\n", "| | here |", "| --- | --- |"]
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if route.method in {"HEAD", "OPTIONS", "*"} or not path.startswith(("/v1/", "/api/")):
            continue
        handler = route.handler.func if isinstance(route.handler, partial) else route.handler
        lines.append(
            f"| `{route.method} {path}` | {'refused' if '_refused' in handler.__qualname__ else 'works'}{OTHERS.get(path, '')} |"
        )
    return lines


def page() -> str:
    mine, theirs = by_type(client_events.ClientEvent), by_type(sdk.RealtimeClientEvent)
    lines = [HEAD, *endpoints(), "\n## Events of the client\n", "| | here |", "| --- | --- |"]
    for name in dict.fromkeys([*theirs, *mine]):
        what = "refused" if name not in mine else "works" if name in theirs else "works; Parley's own"
        lines.append(f"| `{name}` | {what} |")
    for name, model in mine.items():
        lines += table(name, model, theirs.get(name))
    sent, known = by_type(events.ServerEvent), by_type(sdk.RealtimeServerEvent)
    lines += ["\n## Events of the server\n", "| | here |", "| --- | --- |"]
    for name in dict.fromkeys([*known, *sent]):
        what = "never sent" if name not in sent else "sent" if name in known else "sent; Parley's own"
        lines.append(f"| `{name}` | {what} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
