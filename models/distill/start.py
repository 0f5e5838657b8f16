"""What training begins with: a checkpoint, or two towers and a projector that is drawn at random and written as one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.checkpoint import Checkpoint, open_checkpoint
from models.config import UltravoxConfig
from models.distill.settings import ModelSettings
from models.distill.student import PROJECTOR
from models.hub import locate
from models.tokenizer import read_json
from models.ultravox import Projector


def start(settings: ModelSettings, folder: Path, seed: int) -> Checkpoint:
    """Open the checkpoint that is trained; a new one is written to a folder first. Raises CheckpointError."""
    if settings.checkpoint:
        return open_checkpoint(settings.checkpoint, settings.towers)
    if not (folder / "config.json").is_file():
        write_new(settings, folder, seed)
    return open_checkpoint(folder, settings.towers)


def write_new(settings: ModelSettings, folder: Path, seed: int) -> None:
    """Write a new projector in the layout of v0.4.1, both towers by id. Raises CheckpointError."""
    assert settings.audio
    assert settings.text
    towers = [locate(name, settings.towers) for name in (settings.audio, settings.text)]
    config: Mapping[str, Any] = {
        "model_type": "ultravox",
        "architectures": ["UltravoxModel"],
        "audio_model_id": settings.audio,
        "text_model_id": settings.text,
        "hidden_size": settings.projector.hidden,
        "stack_factor": settings.projector.stack,
        "norm_init": settings.projector.norm_init,
        "projector_act": "swiglu",
        "projector_ln_mid": settings.projector.norm_mid,
        "torch_dtype": "bfloat16",
    }
    parsed = UltravoxConfig.parse(config, *(read_json(tower / "config.json") for tower in towers))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(parsed.projector)
    state = projector.state_dict()
    for name in state:
        if name.startswith("ln_"):
            state[name].fill_(settings.projector.norm_init)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{PROJECTOR}{name}": tensor for name, tensor in state.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
