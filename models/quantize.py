"""Weight-only quantisation of the language model's linear layers: to 8 bits here, to 4 with torchao.

The embedding, the head, the audio encoder and the projector keep their 16 bits.
"""

import logging
from typing import TypeGuard

import torch
from torch import nn

from models.config import CheckpointError
from models.linear import Int8Linear

CHOICES = ("int8", "int4")
_LAYER = "model.layers."  # of the language model; the audio tower has no `model.` before its own
_GROUPS = (128, 64, 32)  # inputs that share a scale in int4: the largest that divides the layer's width is taken
_PACKED = 16  # outputs that int4's kernel for CPUs takes together


def check(quantize: str | None, dtype: torch.dtype) -> None:
    """Refuse an unknown choice, and int4 in a dtype that its kernels lack or without torchao. Raises CheckpointError."""
    if quantize is None or quantize == "int8":
        return
    if quantize not in CHOICES:
        raise CheckpointError(f"quantize={quantize!r} is not one of {', '.join(CHOICES)}")
    if dtype != torch.bfloat16:
        raise CheckpointError("quantize='int4' runs in bfloat16 only: leave out dtype or give dtype='bfloat16'")
    for name in ("torchao", "torch.utils._pytree"):  # on import they warn of kernels that are not used here
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import torchao  # noqa: F401
    except ImportError as error:
        raise CheckpointError("quantize='int4' needs torchao: pip install 'parley[quantize]'") from error


def applies(module: nn.Module, name: str, quantize: str) -> TypeGuard[nn.Linear]:
    """Tell whether a module of that name, in an Ultravox or its language model, is to be quantised."""
    if not isinstance(module, nn.Linear) or _LAYER not in name:
        return False
    return quantize == "int8" or (_group(module.in_features) is not None and module.out_features % _PACKED == 0)


def quantised(linear: nn.Linear, quantize: str) -> nn.Module:
    """Give what takes a linear layer's place."""
    if quantize == "int8":
        return Int8Linear.of(linear)
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    group = _group(linear.in_features) or linear.in_features
    if linear.weight.is_cuda:
        quantize_(linear, Int4WeightOnlyConfig(group_size=group, int4_packing_format="tile_packed_to_4d"))
        return linear
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig  # the only int4 kernel for CPUs

    quantize_(linear, PrototypeInt4WeightOnlyConfig(group_size=group))
    return linear


def quantise(network: nn.Module, quantize: str) -> None:
    """Quantise the layers of a model that is loaded already."""
    for name, module in [*network.named_modules()]:
        if applies(module, name, quantize):
            network.set_submodule(name, quantised(module, quantize))


def _group(width: int) -> int | None:
    return next((group for group in _GROUPS if width % group == 0), None)


def stored_bytes(linear: nn.Linear, quantize: str) -> int:
    """Count the bytes of a quantised weight: int8 has a 16-bit step per output, int4 a scale and a zero of 16 bits per group."""
    elements = linear.weight.numel()
    if quantize == "int8":
        return elements + 2 * linear.out_features
    return elements // 2 + 4 * elements // (_group(linear.in_features) or 1)
