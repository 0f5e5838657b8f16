"""The result, in the layout in which Ultravox models are published.

It holds what was trained and what the checkpoint that it began with held itself; towers that came by id stay named by
id. An audio tower that was trained goes inside, as from v0.5 on, LoRA's additions merged.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models import weights
from models.checkpoint import Checkpoint
from models.distill.settings import LoraSettings
from models.distill.student import PROJECTOR
from models.tokenizer import read_json

_AUDIO = "audio_tower."
_SMALL = {".json", ".jinja"}


def write(checkpoint: Checkpoint, trained: Mapping[str, Tensor], lora: LoraSettings | None, folder: Path) -> None:
    """Write a folder, all at once at the end. `trained` has a network's parameter names; its dtype is kept by all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for path in checkpoint.folder.iterdir():
        if path.suffix in _SMALL and not path.name.endswith(".index.json"):
            shutil.copy(path, partial / path.name)
    hears = any(name.startswith(_AUDIO) for name in trained)
    (partial / "config.json").write_text(json.dumps(_config(checkpoint, hears), indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.contiguous() for name, tensor in trained.items() if "lora_" not in name}
    dtype = next(iter(tensors.values())).dtype
    tensors |= {
        name: tensor.to(dtype) for name, tensor in _frozen(checkpoint, trained, lora, hears) if name not in tensors
    }
    save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _frozen(
    checkpoint: Checkpoint, trained: Mapping[str, Tensor], lora: LoraSettings | None, hears: bool
) -> Iterator[tuple[str, Tensor]]:
    """Read what was not trained and goes inside, additions merged; the audio tower does where it `hears` anew."""
    inside = {
        name: stored
        for name, stored in checkpoint.tensors.items()
        if not name.startswith(PROJECTOR)
        and (stored.file.parent == checkpoint.folder or (hears and name.startswith(_AUDIO)))
    }
    for name, tensor in weights.read(inside, checkpoint.lora, torch.device("cpu"), torch.float32):
        stem = name.removesuffix(".weight")
        if lora and (a := trained.get(f"{stem}.lora_A.default.weight")) is not None:
            b = trained[f"{stem}.lora_B.default.weight"]
            yield name, tensor + lora.alpha / lora.rank * (b.float() @ a.float())
        else:
            yield name, tensor


def _config(checkpoint: Checkpoint, hears: bool) -> dict[str, Any]:
    config = read_json(checkpoint.folder / "config.json")
    for part in ("audio", "text"):
        config.pop(f"{part}_model_lora_config", None)
    tower = checkpoint.tensors[f"{_AUDIO}conv1.weight"].file.parent
    if hears and tower != checkpoint.folder:
        # The reference takes its own encoder only where the inline config's name has "whisper" in it.
        inline = read_json(tower / "config.json") | {"_name_or_path": config["audio_model_id"]}
        config |= {"audio_model_id": None, "audio_config": inline}
    for written in (config, config.get("audio_config") or {}, config.get("text_config") or {}):
        written.pop("quantization_config", None)  # all that goes inside is written in full
    return config
