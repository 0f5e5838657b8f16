"""What a checkpoint says of itself for a voice agent: `parley.json` in its folder, where there is one."""

from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Notes:
    """The file's keys; a checkpoint without it has none of them to tell."""

    suggestions: tuple[str, ...] = ()
    """Things to say to it that work."""

    calibrated: bool = False
    """Its end-of-turn probability can be taken as it is."""

    conversation: Annotated[int, Field(gt=0)] | None = None
    """Tokens of a conversation after its instructions that it copes with, where that is less than it holds; older turns are forgotten."""


def read(model: str) -> Notes:
    """Read the notes of a checkpoint's folder; of what is no folder nothing is known.

    Raises ValueError with the file's name when it is broken.
    """
    file = Path(model) / "parley.json"
    try:
        return TypeAdapter(Notes).validate_json(file.read_bytes()) if file.is_file() else Notes()
    except ValidationError as error:
        raise ValueError(f"{file}: {error.errors(include_url=False)[0]['msg']}") from None
