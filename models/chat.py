"""Chat messages -> the prompt text, by the Jinja template that a checkpoint's tokenizer carries.

Templates come from strangers, so they run in Jinja's sandbox and see plain data only.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.inputs import InputError, Messages


class ChatTemplate:
    """One compiled template with the special tokens that it may write."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _strftime_now
        self._template = environment.from_string(source)
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Messages, tools: Messages | None = None, opening: bool = True) -> str:
        """Write the prompt, with `opening` ready for the assistant's answer. Raises InputError when the template refuses.

        Thinking is switched off where a template knows it: nobody waits on the line for a chain of thought.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=opening,
                enable_thinking=False,
                **self._special_tokens,
            )
        except jinja2.TemplateError as error:
            raise InputError(f"the model's chat template refuses these messages: {error}") from error


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)  # the local date, as templates expect
