"""Small sets of clips and training files for them."""

import json
from pathlib import Path

import numpy as np
import soundfile

from models.config import UltravoxConfig
from models.distill.settings import Settings
from models.tokenizer import Tokenizer
from tests.models import checkpoints


def write_clips(folder: Path, count: int = 6) -> list[dict[str, str]]:
    """Write noises of different lengths, and tell of them as a manifest does."""
    rng = np.random.default_rng(5)
    rows = []
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", rng.standard_normal(2500 + 1111 * index) * 0.1, 16000)
        rows.append(
            {"audio": f"{index}.wav", "transcript": f"hello {index}", "continuation": "what do you hear" + "?" * index}
        )
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str] | str] | None = None, name: str = "train.jsonl") -> Path:
    """Write a manifest; a row that is text stands there as it is."""
    rows = rows if rows is not None else [*write_clips(folder)]
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def settings(folder: Path, **changes: object) -> Settings:
    """Settings for towers and clips in a folder; `changes` are those of whole tables."""
    values: dict[str, object] = {
        "output": folder / "out",
        "model": {"audio": str(folder / "whisper"), "text": str(folder / "text"), "projector": {"hidden": 32}},
        "run": run(),
        "optimizer": {"warm_up_steps": 2, "learning_rate": 0.01},
        "data": [{"manifest": folder / "train.jsonl"}],
    }
    return Settings.model_validate(values | changes)


def run(**changes: object) -> dict[str, object]:
    values = {"steps": 6, "batch": 2, "precision": "fp32", "workers": 0, "save_every": 2, "log_every": 1}
    return values | changes


def read_model(folder: Path) -> tuple[Tokenizer, UltravoxConfig]:
    """Give what a composer needs of the towers in a folder."""
    made = checkpoints.parts()
    config = checkpoints.base_config(made) | {
        "audio_config": checkpoints.inline(made.whisper.config),
        "text_config": checkpoints.inline(made.text.config),
    }
    return Tokenizer.read(folder / "text"), UltravoxConfig.parse(config)


def forget_accelerator() -> None:
    """Let the next run be as in a process of its own: accelerate keeps its state for the whole process."""
    try:
        from accelerate.state import AcceleratorState, GradientState
    except ModuleNotFoundError:
        return
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
