import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import CheckpointError
from models.tokenizer import Detokenizer, Tokenizer
from tests.models import checkpoints


def read(folder: Path) -> Tokenizer:
    checkpoints.write_tokenizer(folder)
    return Tokenizer.read(folder)


MINE = Tokenizer(checkpoints.tokenizer(), checkpoints.EOT, None)


def deltas(ids: list[int]) -> list[str]:
    text = Detokenizer(MINE)
    return [*(text.push(token) for token in ids), text.end()]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")))
def test_deltas_add_up_and_split_no_character(text: str) -> None:
    pieces = deltas(MINE.encode(text))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_of_several_tokens_comes_whole() -> None:
    ids = MINE.encode("a😀b")
    assert len(ids) == 6
    assert deltas(ids) == ["a", "", "", "", "😀", "b", ""]


def test_an_unfinished_character_is_shown_only_when_nothing_can_follow() -> None:
    assert deltas(MINE.encode("a😀")[:-1]) == ["a", "", "", "", "\ufffd"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, checkpoints.VOCABULARY - 1)))
def test_deltas_of_any_ids_add_up_to_their_text(ids: list[int]) -> None:
    assert "".join(deltas(ids)) == MINE.decode(ids)


def test_special_tokens_are_not_shown() -> None:
    special = [checkpoints.tokenizer().token_to_id(token) for token in checkpoints.SPECIAL]
    hello = MINE.encode("hello")
    assert "".join(deltas([*special, *hello, *special, *hello])) == "hellohello"


def test_the_tokens_that_mark_a_call_are_shown_where_calls_may_be() -> None:
    tag, end = (checkpoints.tokenizer().token_to_id(token) for token in ("<|python_tag|>", "<|eom_id|>"))
    hello = MINE.encode("hello 😀")
    text = Detokenizer(MINE, '{"name": "', calls=True)
    shown = [*(text.push(token) for token in [*hello[:-1], tag, *hello, end]), text.end()]
    assert "".join(shown) == '{"name": "hello \ufffd<|python_tag|>hello 😀'
    assert "".join(deltas([tag, *hello])) == "hello 😀"


def test_an_opening_is_shown_though_nothing_follows() -> None:
    assert Detokenizer(MINE, "{").end() == "{"


def test_special_tokens_in_text_count_as_such() -> None:
    assert MINE.encode("<|eot_id|>") == [checkpoints.EOT]


@pytest.mark.parametrize("shape", ["file", "list", "none"])
def test_where_a_template_may_stand(tmp_path: Path, shape: str) -> None:
    checkpoints.write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"eos_token": {"content": "<|eot_id|>", "lstrip": False}}
    match shape:
        case "file":
            (tmp_path / "chat_template.jinja").write_text("from a file")
        case "list":
            templates = {"tool_use": "other", "default": "from a list"}
            config["chat_template"] = [{"name": name, "template": text} for name, text in templates.items()]
        case _:
            del config["chat_template"]
    checkpoints.write_json(path, config)
    mine = Tokenizer.read(tmp_path)
    expected = {"file": "from a file", "list": "from a list"}.get(shape)
    assert (mine.template.source if mine.template else None) == expected
    assert mine.eos == checkpoints.EOT


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    checkpoints.write_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not a JSON object"):
        Tokenizer.read(tmp_path)
