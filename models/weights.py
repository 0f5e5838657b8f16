"""Which tensors a folder's safetensors files hold, and reading them one by one straight to device and dtype.

Takes folders; gives tables from parameter names to where each tensor is stored. Pickles are refused: they run code.
Weights that compressed-tensors stores in 8 bits are numbers of steps; their steps stand beside them as `weight_scale`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.config import CheckpointError
from models.tokenizer import read_json

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_AUDIO, _TEXT = "audio_tower.", "language_model."
_SCALE, _ZERO = ".weight_scale", ".weight_zero_point"
_IN_STEPS = ("I8", "F8_E4M3")  # safetensors' names of the types whose values are numbers of steps


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file."""

    file: Path
    key: str
    shape: tuple[int, ...]
    kind: str  # safetensors' name of its type
    scale: "Stored | None" = None  # what its values are multiplied by


@dataclass(frozen=True, slots=True)
class Lora:
    """A low-rank addition to a weight: scale * b @ a (Hu et al. 2021)."""

    a: Stored
    b: Stored
    scale: float


Table = Mapping[str, Stored]


def table(folder: Path, rename: Callable[[str], str | None]) -> dict[str, Stored]:
    """List the tensors of a folder under the names that `rename` gives them; those it gives None are left out.

    Raises CheckpointError, naming the file, when one is missing, broken, or a pickle is all there is.
    """
    found = {}
    for file in _files(folder):
        with _open(file) as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                if (name := rename(key)) is not None:
                    held = tensors.get_slice(key)
                    found[name] = Stored(file, key, tuple(held.get_shape()), held.get_dtype())
    return _scaled(found)


def _scaled(found: Table) -> dict[str, Stored]:
    """Join weights that are stored in steps with their scales. Raises CheckpointError for those that cannot be read."""
    joined = {}
    for name, where in found.items():
        if name.endswith(_SCALE):
            continue
        if name.endswith(_ZERO):
            raise CheckpointError(f"{where.file}: {where.key}: weights whose zero is not 0 run only in the vLLM engine")
        is_weight = name.endswith(".weight")  # zeros of activations are in 8 bits, too, and are not read
        scale = found.get(f"{name}_scale") if is_weight else None
        if is_weight and where.kind in _IN_STEPS and scale is None:
            raise CheckpointError(f"{where.file}: {where.key} is stored in 8 bits without its {_SCALE[1:]}")
        if scale and scale.shape not in ((), (1,), (*where.shape[:1], 1)):
            raise CheckpointError(
                f"{scale.file}: {scale.key} has shape {scale.shape} beside {where.shape}; only one scale for all, "
                "or one for each output, is read here"
            )
        joined[name] = replace(where, scale=scale)
    return joined


def _files(folder: Path) -> list[Path]:
    """Give a folder's weight files: the single one where it exists, even beside a (then stale) index of shards."""
    if (single := folder / _SINGLE).is_file():
        return [single]
    if (index := folder / _INDEX).is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        for shard in shards:
            if not (folder / shard).is_file():
                raise CheckpointError(f"{folder / shard} is missing; {_INDEX} names it")
        return [folder / shard for shard in shards]
    for pattern in _PICKLES:
        for pickle in folder.glob(pattern):
            raise CheckpointError(f"{pickle} is a pickle, which can run code: only safetensors are loaded")
    raise CheckpointError(f"{folder} has neither {_SINGLE} nor {_INDEX}")


@contextmanager
def _open(file: Path, device: str = "cpu") -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt", device=device) as tensors:
            yield tensors
    except SafetensorError as error:
        raise CheckpointError(f"{file} is broken or incomplete: {error}") from error


def ultravox_name(key: str) -> str:
    """Name a tensor of an Ultravox checkpoint: as it is, less what peft puts around an adapted layer."""
    return key.replace(".base_model.model.", ".").replace(".base_layer.", ".")


def whisper_name(key: str) -> str | None:
    """Name a tensor of a Whisper repository; the decoder is left out."""
    _, encoder, rest = key.removeprefix("model.").rpartition("encoder.")
    return _AUDIO + rest if encoder and key in ("model.encoder." + rest, "encoder." + rest) else None


def text_name(key: str) -> str:
    """Name a tensor of a language model's repository."""
    return _TEXT + key


_LORA = re.compile(r"(.*)\.lora_([AB])(?:\.\w+)?\.weight")


def split_lora(stored: Table, alphas: Mapping[str, float]) -> tuple[dict[str, Stored], dict[str, Lora]]:
    """Part a table into plain tensors and, by the weight's name, low-rank additions.

    `alphas` gives lora_alpha by tower prefix. Raises CheckpointError when an addition lacks its other half.
    """
    plain, halves = {}, dict[str, dict[str, Stored]]()
    for name, where in stored.items():
        if match := _LORA.fullmatch(name):
            halves.setdefault(f"{match[1]}.weight", {})[match[2]] = where
        else:
            plain[name] = where
    additions = {}
    for name, pair in halves.items():
        if set(pair) != {"A", "B"}:
            where = next(iter(pair.values()))
            raise CheckpointError(f"{where.file}: {where.key} has no counterpart to make an addition to {name}")
        alpha = next(alpha for prefix, alpha in alphas.items() if name.startswith(prefix))
        additions[name] = Lora(pair["A"], pair["B"], alpha / pair["A"].shape[0])
    return plain, additions


def check_shapes(stored: Table, additions: Mapping[str, Lora], wanted: Mapping[str, Tensor], origin: str) -> None:
    """Compare what is stored with what a model wants; raises CheckpointError naming file, tensor and both shapes."""
    for name, parameter in wanted.items():
        shape = tuple(parameter.shape)
        if name not in stored:
            raise CheckpointError(f"{origin} has no tensor {name}")
        if (where := stored[name]).shape != shape:
            raise CheckpointError(f"{where.file}: {where.key} has shape {where.shape}; config.json asks for {shape}")
    for name, lora in additions.items():
        if name not in wanted:
            raise CheckpointError(f"{lora.a.file}: {lora.a.key} adds to {name}, which the model does not have")
        product = (lora.b.shape[0], lora.a.shape[1])
        if product != wanted[name].shape or lora.a.shape[0] != lora.b.shape[1]:
            raise CheckpointError(f"{lora.a.file}: {lora.a.key} {lora.a.shape} does not fit {name} with {lora.b.shape}")


def read(
    stored: Table, additions: Mapping[str, Lora], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor by name, file by file, on the device and in the dtype; scales and additions are applied in float32."""
    by_file: dict[Path, list[str]] = {}
    for name, where in stored.items():
        by_file.setdefault(where.file, []).append(name)
    for file, names in by_file.items():
        with _open(file, str(device)) as tensors:
            for name in names:
                tensor = tensors.get_tensor(stored[name].key)
                if scale := stored[name].scale:
                    tensor = tensor.float() * _load(scale, device)
                if lora := additions.get(name):
                    tensor = tensor.float() + lora.scale * (_load(lora.b, device) @ _load(lora.a, device))
                yield name, tensor.to(dtype, copy=True)  # a copy, so that nothing hangs on the file


def _load(where: Stored, device: torch.device) -> Tensor:
    with _open(where.file, str(device)) as tensors:
        tensor: Tensor = tensors.get_tensor(where.key)
    return tensor.float()
