"""Chat messages -> the prompt text, by the Jinja template that a checkpoint's tokenizer carries.

Templates come from strangers, so they run in Jinja's sandbox and see plain data only. Most know functions that the model may call; for
one that does not, functions, calls and results are written as plain messages, in Llama 3's words for them.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.inputs import InputError, Messages

_CALLING = (
    "You can call these functions:\n{functions}\nTo call one, answer with nothing but JSON of the form "
    '{{"name": function, "parameters": {{name: value}}}}. Its result comes as the next message.'
)


class ChatTemplate:
    """One compiled template with the special tokens that it may write."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self.knows_tools = bool(re.search(r"\btools\b", source))
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

        Thinking is switched off where a template knows it: nobody waits on the line for a chain of thought. A template that wants the parties to alternate is given what one of them says in a row as
        one message.
        """
        if not self.knows_tools:
            messages, tools = _plain(messages, tools or ()), None
        try:
            return self._write(messages, tools, opening)
        except InputError:
            if (merged := _alternating(messages)) == list(messages):
                raise
            return self._write(merged, tools, opening)

    def _write(self, messages: Messages, tools: Messages | None, opening: bool) -> str:
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

    def call(self, name: str = "") -> str:
        """The beginning of an answer that calls a function: this one, or any. What the model adds ends the call."""
        if "<tool_call>" in self.source:  # Qwen, Hermes
            opening, arguments = "<tool_call>\n", "arguments"
        elif "[TOOL_CALLS]" in self.source:  # Mistral
            opening, arguments = "[TOOL_CALLS][", "arguments"
        else:  # Llama 3
            opening, arguments = "", "parameters"
        return f'{opening}{{"name": "' + (f'{name}", "{arguments}":' if name else "")


def _alternating(messages: Messages) -> list[dict[str, Any]]:
    """Messages of which no two of one party follow one another, for templates that refuse that: calls and results do not count."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        words = [at for at, before in enumerate(merged) if before["role"] != "tool" and not before.get("tool_calls")]
        own = message["role"] != "tool" and not message.get("tool_calls")
        if own and words and merged[words[-1]]["role"] == message["role"]:
            before = merged.pop(words[-1])
            message = {**message, "content": f"{before['content']}\n\n{message['content']}"}  # noqa: PLW2901
        merged.append(message)
    return merged


def _plain(messages: Messages, tools: Messages) -> list[dict[str, Any]]:
    """Messages without anything that only a template with tools understands."""
    plain = [_as_words(message) for message in messages]
    if tools:
        words = _CALLING.format(functions="\n".join(_to_json(tool.get("function", tool)) for tool in tools))
        if plain and plain[0]["role"] == "system":
            words, plain = f"{plain[0]['content']}\n\n{words}", plain[1:]
        plain = [{"role": "system", "content": words}, *plain]
    return plain


def _as_words(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"Result: {message['content']}"}
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    written = [_to_json({"name": call["name"], "parameters": call["arguments"]}) for call in calls]
    return (
        {"role": message["role"], "content": "\n".join([message["content"] or "", *written]).strip()}
        if calls
        else message
    )


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
