"""How much memory a model needs to answer, by dtype and quantisation, and whether a device has it. Sizes are in bytes."""

import re
from pathlib import Path

import torch
from torch import nn

from models import quantize as quantisation
from models.config import CheckpointError, TextConfig
from models.ultravox import Ultravox

_CONTEXT = 4096  # tokens of KV cache that are counted as needed


def weight_bytes(network: nn.Module, dtype: torch.dtype, quantize: str | None = None) -> int:
    """Count the bytes of the weights of a model, or of its language model; they may be on the meta device."""
    total = sum(p.numel() for p in network.parameters()) * dtype.itemsize
    for name, module in network.named_modules():
        if quantize and quantisation.applies(module, name, quantize):
            total += quantisation.stored_bytes(module, quantize) - module.weight.numel() * dtype.itemsize
    return total


def cache_bytes(config: TextConfig, dtype: torch.dtype, tokens: int) -> int:
    """Count the bytes of the keys and values of so many tokens."""
    return 2 * config.layers * config.kv_heads * config.head_size * tokens * dtype.itemsize


def conversations(config: TextConfig, dtype: torch.dtype, tokens: int, free: int | None) -> int:
    """Count the caches of so many tokens that half of the free memory holds, at least one; 8 where it cannot be told."""
    return 8 if free is None else max(1, free // 2 // cache_bytes(config, dtype, tokens))


def needed(network: Ultravox, dtype: torch.dtype, quantize: str | None = None) -> int:
    """Count the bytes that answering needs: the weights and the cache of a conversation of 4096 tokens."""
    text = network.config.text
    return weight_bytes(network, dtype, quantize) + cache_bytes(text, dtype, min(_CONTEXT, text.max_positions))


def available(device: torch.device) -> int | None:
    """Tell how many bytes a device has free; None where that cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    memory = Path("/proc/meminfo")
    if device.type != "cpu" or not memory.is_file():
        return None
    match = re.search(r"MemAvailable: +(\d+) kB", memory.read_text())
    return int(match[1]) * 1024 if match else None


def check(network: Ultravox, dtype: torch.dtype, quantize: str | None, free: int | None) -> None:
    """Refuse a model that does not fit; raises CheckpointError saying what this and the other choices would need."""
    if free is None or (wanted := needed(network, dtype, quantize)) <= free:
        return
    others = "; ".join(
        f"quantize={choice!r} would need {gigabytes(needed(network, torch.bfloat16, choice))}"
        for choice in quantisation.CHOICES
        if choice != quantize
    )
    raise CheckpointError(f"too little memory: {gigabytes(wanted)} needed, {gigabytes(free)} free; {others}")


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
