"""The configuration reference, made from the settings themselves: `python -m agent.reference > docs/configuration.md`.

Takes the settings' fields, gives Markdown: each with its environment variable, its default, and its own docstring.
"""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from agent.config import Settings

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# Configuration

Each setting is a flag of `parley serve` (`--turn.silence 0.4`), an environment variable (`PARLEY_TURN__SILENCE=0.4`) or a line of
`parley.toml` in the working folder (`silence = 0.4` under `[turn]`). Flags win over the environment, the environment over the file, the
file over the defaults below. Durations are seconds. `parley serve --help` says the same.

Made from the settings by `python -m agent.reference`; a test checks that it is current.
"""


def reference() -> str:
    """The whole page."""
    plain: list[tuple[str, FieldInfo]] = []
    nested: list[tuple[str, FieldInfo]] = []
    for name, field in Settings.model_fields.items():
        (nested if is_dataclass(field.annotation) else plain).append((name, field))
    parts = [HEAD, table("", [(name, field, field.get_default(call_default_factory=True)) for name, field in plain])]
    for name, field in nested:
        parts.append(f"## `{name}`\n\n{sentence(field.description)}\n")
        parts.append(table(f"{name}.", list(_inside(field.annotation, field.get_default(call_default_factory=True)))))
    return "\n".join(parts)


def table(prefix: str, rows: list[tuple[str, FieldInfo, Any]]) -> str:
    """Rows of names, fields and defaults."""
    lines = ["| setting | environment | default | what it is |", "|---|---|---|---|"]
    for name, field, default in rows:
        variable = f"PARLEY_{prefix}{name}".replace(".", "__").upper()
        lines.append(f"| `{prefix}{name}` | `{variable}` | {shown(default)} | {sentence(field.description)} |")
    return "\n".join(lines) + "\n"


def shown(default: object) -> str:
    """A default as it would be written; folders of the repository from its root."""
    match to_jsonable_python(default):
        case None | "" | [] | {}:
            return ""
        case bool() as value:
            return f"`{str(value).lower()}`"
        case value:
            return f"`{str(value).replace(f'{ROOT}/', '')}`"


def sentence(text: str | None) -> str:
    """A docstring on one line, safe inside a table."""
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|")


def _inside(kind: Any, default: Any) -> Iterator[tuple[str, FieldInfo, Any]]:
    """The fields of a group of settings."""
    TypeAdapter(kind)  # completes its fields
    for field in fields(kind):
        yield field.name, kind.__pydantic_fields__[field.name], getattr(default, field.name)


if __name__ == "__main__":
    print(reference(), end="")
