"""A Python function as one that the model may call: its schema from the signature, its description from the docstring.

A plain function runs in a thread of its own, which is left behind when it takes too long; a coroutine function runs on the event
loop and is cancelled. Arguments are checked and converted as the annotations say.
"""

import asyncio
import importlib
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pydantic
from pydantic import ConfigDict, ValidationError, create_model

from agent.realtime.tools import FunctionTool
from agent.tools import Tool, ToolError

_KINDS = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def function(reference: str) -> Tool:
    """Import `module:function`. Raises ToolError when that fails, or when a model cannot be told how to call it."""
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise ToolError(f"{reference!r} is no function: write it as module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        made = getattr(importlib.import_module(module_name), name)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise ToolError(f"the function {reference} cannot be imported: {error}") from error
    if not callable(made):
        raise ToolError(f"{reference} is not a function but {type(made).__name__}")
    return as_tool(made, reference)


def as_tool(made: Callable[..., object], reference: str) -> Tool:
    """Offer a function. Raises ToolError, naming the `reference`."""
    description = inspect.getdoc(made)
    if not description:
        raise ToolError(f"{reference} needs a docstring: it tells the model what the function is for")
    model = _arguments(made, reference)
    schema = {key: value for key, value in model.model_json_schema().items() if key != "title"}
    tool = FunctionTool(name=made.__name__, description=description, parameters={"properties": {}, **schema})

    async def run(arguments: dict[str, object]) -> object:
        given = _checked(model, arguments)
        result = made(**given) if inspect.iscoroutinefunction(made) else in_thread(lambda: made(**given), tool.name)
        return await result if isinstance(result, Awaitable) else result

    return Tool(tool, run)


def in_thread(job: Callable[[], object], name: str) -> Awaitable[object]:
    """Run a job in a daemon thread, so that one which hangs holds up neither other calls nor the end of the program."""
    done: Future[object] = Future()
    done.set_running_or_notify_cancel()  # from now on nobody can cancel it, only stop waiting

    def work() -> None:
        with _Outcome(done):
            done.set_result(job())

    threading.Thread(target=work, name=name, daemon=True).start()
    return asyncio.wrap_future(done)


class _Outcome:
    """Hands what is raised inside to a future."""

    def __init__(self, future: Future[object]) -> None:
        self._future = future

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return error is not None


def _arguments(made: Callable[..., object], reference: str) -> type[pydantic.BaseModel]:
    """A model of the function's parameters."""
    fields: dict[str, Any] = {}
    try:
        parameters = inspect.signature(made, eval_str=True).parameters
    except (NameError, TypeError, ValueError) as error:
        raise ToolError(f"{reference} has a signature that cannot be read: {error}") from error
    for name, parameter in parameters.items():
        if parameter.kind not in _KINDS:
            raise ToolError(f"{reference}: the parameter {name!r} has no name of its own that a model can give")
        if parameter.annotation is parameter.empty:
            raise ToolError(f"{reference}: the parameter {name!r} needs a type")
        fields[name] = (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
    try:
        return create_model(reference, __config__=ConfigDict(extra="forbid"), **fields)
    except (pydantic.PydanticSchemaGenerationError, pydantic.PydanticUserError, NameError) as error:
        raise ToolError(f"{reference}: a type of its parameters cannot be written as JSON: {error}") from error


def _checked(model: type[pydantic.BaseModel], arguments: dict[str, object]) -> dict[str, object]:
    """The arguments as the function wants them. Raises ValueError, naming the one that is wrong."""
    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, finding['loc']))}: {finding['msg']}" for finding in findings)
        raise ValueError(said) from None
    return {name: getattr(checked, name) for name in checked.model_fields_set}
