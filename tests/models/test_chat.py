import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from models import load
from models.chat import ChatTemplate
from models.inputs import InputError
from models.tokenizer import Tokenizer
from tests.models import checkpoints

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather <b>in</b> Zürich & elsewhere",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        },
    },
]
CHATS: dict[str, list[dict[str, Any]]] = {
    "one turn": [{"role": "user", "content": " hello <|audio|> \n"}],
    "a system message": [{"role": "system", "content": "Be <brief>."}, {"role": "user", "content": "hi"}],
    "several turns": [
        {"role": "user", "content": "<|audio|>"},
        {"role": "assistant", "content": "It's a cat & a dog."},
        {"role": "user", "content": "Und übersetzt?\n<|audio|>"},
    ],
}
CALL = {"name": "weather", "arguments": {"place": "Zürich", "days": [1, 2]}}
CHATS["a call and its result"] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "<|audio|>"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "call00001", "type": "function", "function": CALL}]},
    {"role": "tool", "content": '{"sky": "<grey>"}', "tool_call_id": "call00001", "name": "weather"},
]
OTHER_TEMPLATE = """{% for message in messages -%}
  {% if message.role == 'tool' %}{% continue %}{% endif %}
  [{{ message.role }}{{ eos_token }}] {{ message | tojson }}
  {%- if loop.index > 5 %}{% break %}{% endif %}
{% endfor %}
{% if tools %}{{ tools | tojson }}{% endif %}
{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}
{{- documents is none }} {{ unk_token is defined }} {{ strftime_now("%Y") }}"""


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["", "tools"])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("template", [checkpoints.CHAT_TEMPLATE, OTHER_TEMPLATE], ids=["llama-like", "other"])
def test_equals_transformers(whole: Path, template: str, chat: str, tools: list[dict[str, Any]] | None) -> None:
    theirs = PreTrainedTokenizerFast.from_pretrained(whole)
    special = {key: token for key, token in theirs.special_tokens_map.items() if isinstance(token, str)}
    expected = theirs.apply_chat_template(
        CHATS[chat],
        tools=tools,
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    assert ChatTemplate(template, special).render(CHATS[chat], tools) == expected


@pytest.mark.parametrize("layout", checkpoints.LAYOUTS)
def test_every_published_layout_writes_functions_calls_and_results_as_transformers_does(
    tmp_path: Path, layout: str
) -> None:
    checkpoint, towers = checkpoints.write(tmp_path, layout)
    model = load(checkpoint, towers=towers)
    folder = checkpoint if (checkpoint / "tokenizer.json").exists() else Path(towers[checkpoints.TEXT_ID])
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    chat = CHATS["a call and its result"]
    expected = theirs.apply_chat_template(chat, tools=TOOLS, tokenize=False, add_generation_prompt=True)
    assert model.prompt(chat, TOOLS) == expected
    assert '<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n{"sky": "<grey>"}<|eot_id|>' in expected
    assert model.tokenizer.encode(expected) == theirs(expected, add_special_tokens=False)["input_ids"]


def test_the_checkpoints_own_template_and_special_tokens(whole: Path) -> None:
    theirs = PreTrainedTokenizerFast.from_pretrained(whole)
    mine = Tokenizer.read(whole)
    assert mine.template is not None
    expected = theirs.apply_chat_template(CHATS["several turns"], tokenize=False, add_generation_prompt=True)
    assert mine.template.render(CHATS["several turns"]) == expected
    assert mine.encode(expected) == theirs(expected, add_special_tokens=False)["input_ids"]
    assert mine.eos == theirs.eos_token_id


WITHOUT_TOOLS = (
    "{% for message in messages %}{{ '[' + message.role + ']' + message.content | trim + '\n' }}{% endfor %}[assistant]"
)


def test_a_template_without_tools_has_them_written_out() -> None:
    template = ChatTemplate(WITHOUT_TOOLS, {})
    assert not template.knows_tools
    system, *rest = template.render(CHATS["a call and its result"], TOOLS).split("\n[")
    assert system.startswith("[system]Be brief.\n\nYou can call these functions:\n")
    assert json.dumps(TOOLS[0]["function"], ensure_ascii=False) in system
    assert '{"name": function, "parameters": {name: value}}' in system
    assert rest == [
        "user]<|audio|>",
        'assistant]{"name": "weather", "parameters": {"place": "Zürich", "days": [1, 2]}}',
        'user]Result: {"sky": "<grey>"}',
        "assistant]",
    ]


def test_without_tools_such_a_template_renders_what_it_is_given() -> None:
    template = ChatTemplate(WITHOUT_TOOLS, {})
    assert template.render(CHATS["one turn"]) == "[user]hello <|audio|>\n[assistant]"
    assert template.render(CHATS["one turn"], TOOLS).startswith("[system]You can call these functions:")


@pytest.mark.parametrize(
    ("source", "some", "this"),
    [
        ("{{ tools }}", '{"name": "', '{"name": "weather", "parameters":'),
        ("{{ tools }}<tool_call>", '<tool_call>\n{"name": "', '<tool_call>\n{"name": "weather", "arguments":'),
        ("{{ tools }}[TOOL_CALLS]", '[TOOL_CALLS][{"name": "', '[TOOL_CALLS][{"name": "weather", "arguments":'),
    ],
)
def test_the_beginning_of_a_call_is_in_the_models_form(source: str, some: str, this: str) -> None:
    template = ChatTemplate(source, {})
    assert template.call() == some
    assert template.call("weather") == this


STRICT = """{%- for message in messages | rejectattr("role", "equalto", "tool") | selectattr("tool_calls", "undefined") %}
    {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}{{ raise_exception("roles must alternate") }}{% endif %}
{%- endfor %}
{%- for message in messages %}{{ message.role[0] }}:{{ message.content }};{% endfor %}{{ tools }}"""
ASIDE: list[dict[str, Any]] = [
    {"role": "user", "content": "one"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": CALL}]},
    {"role": "assistant", "content": "one moment"},
    {"role": "tool", "content": "grey"},
    {"role": "assistant", "content": "it is grey"},
    {"role": "user", "content": "three"},
]


def test_a_template_that_wants_the_parties_to_alternate_has_it_so() -> None:
    written = ChatTemplate(STRICT, {}).render(ASIDE)
    assert written == "u:one\n\ntwo;a:;t:grey;a:one moment\n\nit is grey;u:three;None"
    assert ASIDE[1]["content"] == "two"
    assert ChatTemplate("{{ tools }}{{ messages | length }}", {}).render(ASIDE).endswith("7")


def test_what_the_template_refuses_is_told() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(InputError, match="refuses these messages: roles must alternate"):
        template.render(CHATS["one turn"])


@pytest.mark.parametrize("source", ["{{ messages.append(1) }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}"])
def test_templates_run_in_a_sandbox(source: str) -> None:
    with pytest.raises(InputError):
        ChatTemplate(source, {}).render(CHATS["one turn"])
