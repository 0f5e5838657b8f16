"""Text <-> ids, from a checkpoint's tokenizer.json, and ids -> text deltas while they are being made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from models.chat import ChatTemplate
from models.config import CheckpointError

FILES = ("tokenizer.json", "tokenizer_config.json")
_CALL_TOKENS = ("<|python_tag|>", "[TOOL_CALLS]", "<tool_call>", "</tool_call>")  # mark calls of functions in a text
_REPLACEMENT = "\ufffd"  # what decoding gives for the first bytes of an unfinished character


class Tokenizer:
    """Encoding without added special tokens, the end-of-sequence id, and the chat template."""

    def __init__(self, tokenizer: FastTokenizer, eos: int, template: ChatTemplate | None) -> None:
        self.eos = eos
        self.template = template
        ids = ((tokenizer.token_to_id(token), token) for token in _CALL_TOKENS)
        self.call_tokens = {number: token for number, token in ids if number is not None}
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, folder: Path) -> "Tokenizer":
        """Read tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja.

        Raises CheckpointError, naming the file.
        """
        path, config_path = (folder / name for name in FILES)
        config = read_json(config_path)
        read_json(path)  # the library's own complaint about a broken file is a bare Exception
        tokenizer = FastTokenizer.from_file(str(path))
        special = _special_tokens(config)
        eos = tokenizer.token_to_id(special.get("eos_token", ""))
        if eos is None:
            raise CheckpointError(f"{config_path}: eos_token {special.get('eos_token')!r} is not in tokenizer.json")
        source = _template_source(folder, config)
        return cls(tokenizer, eos, ChatTemplate(source, special) if source else None)

    def encode(self, text: str) -> list[int]:
        """Tokenize; special tokens written in the text count as such, none are added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Give the text of ids, special tokens left out."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


class Detokenizer:
    """Ids one by one -> text deltas that never split a character and never show a special token.

    All deltas together are the decoded text of all ids. Of an answer that may call functions, the tokens that mark calls are shown,
    and `opening` is the text with which it was begun.
    """

    def __init__(self, tokenizer: Tokenizer, opening: str = "", *, calls: bool = False) -> None:
        self._tokenizer = tokenizer
        self._opening = opening
        self._shown_tokens = tokenizer.call_tokens if calls else {}
        self._ids: list[int] = []  # from a few tokens back: decoding may depend on what came before
        self._shown = 0  # how many of them the given text covers

    def push(self, token: int) -> str:
        """Add an id; give the text that it completes, or "" when that is none yet."""
        if token in self._shown_tokens:
            delta = self.end() + self._shown_tokens[token]
            self._ids, self._shown = [], 0
            return delta
        self._ids.append(token)
        delta = self._pending()
        if delta.endswith(_REPLACEMENT) or not delta:
            return ""
        del self._ids[: self._shown]
        self._shown = len(self._ids)
        return self._opened(delta)

    def end(self) -> str:
        """Give what was held back: bytes that have not become a character, as replacement characters."""
        return self._opened(self._pending())

    def _opened(self, delta: str) -> str:
        opening, self._opening = self._opening, ""
        return opening + delta

    def _pending(self) -> str:
        before = self._tokenizer.decode(self._ids[: self._shown])
        return self._tokenizer.decode(self._ids)[len(before) :]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises CheckpointError, naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Collect bos_token, eos_token and their like; each is a string or an object that holds it."""
    found = {key: value for key, value in config.items() if key.endswith("_token") and value}
    texts = {key: value["content"] if isinstance(value, dict) else value for key, value in found.items()}
    return {key: value for key, value in texts.items() if isinstance(value, str)}


def _template_source(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Find the chat template: its own file, or in tokenizer_config.json, alone or as the one named default."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    source = config.get("chat_template")
    if isinstance(source, list):
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    return source
