"""Every published Ultravox layout -> a model: which part comes from the checkpoint itself, which from a tower's own.

The rule: what the checkpoint holds is taken from it; a tower that it does not hold comes from the repository that its
config.json names. All files and shapes are checked before any weight is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from models import memory, weights
from models import quantize as quantisation
from models.config import CheckpointError, UltravoxConfig, token_ids
from models.hub import Towers, locate
from models.model import Model
from models.tokenizer import Tokenizer, read_json
from models.ultravox import Ultravox

_AUDIO, _TEXT = "audio_tower.", "language_model."
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROGRESS_FROM = 200e6  # bytes; smaller models load before a bar could be read
_LORA_ALPHA = 8  # the published default of both LoRA configs


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint found and checked, nothing read yet."""

    folder: Path
    config: UltravoxConfig
    network: Ultravox  # on the meta device: shapes without weights
    tensors: weights.Table
    lora: Mapping[str, weights.Lora]
    layout: str
    text_folder: Path | None  # where the language model comes from by id


def load(
    path_or_id: str | Path,
    towers: Towers | None = None,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    quantize: str | None = None,
) -> Model:
    """Load a checkpoint by folder or hub id.

    `towers` maps hub ids (of the checkpoint or of the towers that it names) to local folders. The dtype is bfloat16 on
    accelerators and on CPUs that compute in it, else float32; float16 is refused on CPUs, which are hundreds of times
    slower in it. `quantize` ("int8", "int4") holds for the language model's linear layers. Raises CheckpointError.
    """
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(
            f"device {device}: this machine has no CUDA device that torch {torch.__version__} can use"
        )
    chosen = choose_dtype(dtype, place, quantize)
    quantisation.check(quantize, chosen)
    checkpoint = open_checkpoint(path_or_id, towers or {})
    tokenizer = read_tokenizer(checkpoint)
    memory.check(checkpoint.network, chosen, quantize, memory.available(place))
    fill(checkpoint, place, chosen, quantize)
    return Model(checkpoint.network.eval(), tokenizer, stop_ids(checkpoint, tokenizer))


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device, quantize: str | None = None) -> torch.dtype:
    """Turn a name into a dtype, or choose one for the device; raises CheckpointError."""
    if dtype is None:
        native = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - no public way to ask
        return torch.bfloat16 if native or quantize else torch.float32
    chosen = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in _DTYPES.values():
        raise CheckpointError(f"dtype {dtype!r} is not one of {', '.join(_DTYPES)}")
    if chosen == torch.float16 and device.type == "cpu":
        raise CheckpointError("float16 is not for CPUs: use bfloat16 or float32")
    return chosen


def open_checkpoint(path_or_id: str | Path, towers: Towers) -> Checkpoint:
    """Find a checkpoint and its towers, and check every tensor's presence and shape. Raises CheckpointError."""
    folder = locate(path_or_id, towers)
    config = read_json(folder / "config.json")
    own = weights.table(folder, weights.ultravox_name)
    audio_folder = _tower(config, "audio", f"{_AUDIO}conv1.weight" in own, towers)
    text_folder = _tower(config, "text", f"{_TEXT}model.embed_tokens.weight" in own, towers)
    stored: dict[str, weights.Stored] = {}
    audio_config = text_config = None
    if audio_folder:
        stored |= weights.table(audio_folder, weights.whisper_name)
        audio_config = read_json(audio_folder / "config.json")
    if text_folder:
        stored |= weights.table(text_folder, weights.text_name)
        text_config = read_json(text_folder / "config.json")
    try:
        parsed = UltravoxConfig.parse(config, audio_config, text_config)
    except CheckpointError as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    alphas = {prefix: _alpha(config, part) for prefix, part in ((_AUDIO, "audio"), (_TEXT, "text"))}
    tensors, lora = weights.split_lora(stored | own, alphas)
    with torch.device("meta"), _Undrawn():
        network = Ultravox(parsed)
    wanted = dict(network.named_parameters())
    weights.check_shapes(tensors, lora, wanted, str(folder))
    layout = _layout(audio_folder, text_folder, lora)
    return Checkpoint(folder, parsed, network, {n: tensors[n] for n in wanted}, lora, layout, text_folder)


class _Undrawn(TorchFunctionMode):
    """Leave embeddings without initial weights: on the meta device drawing them costs a second of imports."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = kwargs or {}
        return values["tensor"] if func is nn.init.normal_ else func(*args, **values)


def _tower(config: Mapping[str, Any], part: str, inside: bool, towers: Towers) -> Path | None:
    """Give the folder of a tower that comes by id; None when checkpoint and config.json hold it themselves."""
    name = config.get(f"{part}_model_id")
    if inside and (config.get(f"{part}_config") or not name):
        return None
    if not name:
        raise CheckpointError(f"the checkpoint holds no {part} tower, and its config.json names no {part}_model_id")
    return locate(name, towers)


def _alpha(config: Mapping[str, Any], part: str) -> float:
    alpha = (config.get(f"{part}_model_lora_config") or {}).get("lora_alpha", _LORA_ALPHA)
    return float(alpha)


def _layout(audio_folder: Path | None, text_folder: Path | None, lora: Mapping[str, weights.Lora]) -> str:
    """Say in words what the checkpoint itself holds."""
    match audio_folder is None, text_folder is None:
        case True, True:
            held = "audio tower, projector and language model, all inside"
        case False, True:
            held = "projector and language model inside; audio tower by id"
        case True, False:
            held = "audio tower and projector inside; language model by id"
        case _:
            held = "projector inside; both towers by id"
    return f"{held}; LoRA merged into {len(lora)} weights on loading" if lora else held


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Read the checkpoint's own tokenizer, or where it has none that of its language model."""
    if checkpoint.text_folder and not (checkpoint.folder / "tokenizer.json").is_file():
        return Tokenizer.read(checkpoint.text_folder)
    return Tokenizer.read(checkpoint.folder)


def stop_ids(checkpoint: Checkpoint, tokenizer: Tokenizer) -> frozenset[int]:
    """Collect the ids that end an answer: the tokenizer's end of sequence and generation_config.json's."""
    for folder in (checkpoint.folder, checkpoint.text_folder):
        if folder and (path := folder / "generation_config.json").is_file():
            return frozenset({tokenizer.eos, *token_ids(read_json(path).get("eos_token_id"))})
    return frozenset({tokenizer.eos, *checkpoint.config.text.stop})


def fill(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, quantize: str | None = None) -> None:
    """Read every weight into the network, quantising each layer as soon as it is there."""
    network = checkpoint.network
    total = memory.weight_bytes(network, dtype)
    with tqdm(total=total, unit="B", unit_scale=True, desc="loading", disable=total < _PROGRESS_FROM or None) as bar:
        for name, tensor in weights.read(checkpoint.tensors, checkpoint.lora, device, dtype):
            path, _, leaf = name.rpartition(".")
            module = network.get_submodule(path)
            setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
            if quantize and leaf == "weight" and quantisation.applies(module, path, quantize):
                network.set_submodule(path, quantisation.quantised(module, quantize))
            bar.update(tensor.nbytes)
