"""Weight-only quantisation of the language model's linear layers with torchao.

The embedding, the head, the audio encoder and the projector keep their 16 bits.
"""

import logging
from typing import TypeGuard

import torch
from torch import nn

from models.config import CheckpointError

CHOICES = ("int8", "int4")
_LAYER = "language_model.model.layers."
_GROUPS = (128, 64, 32)  # inputs that share a scale in int4: the largest that divides the layer's width is taken


def check(quantize: str | None, dtype: torch.dtype) -> None:
    """Refuse an unknown choice, int4 in a dtype that its kernels lack, and a missing torchao. Raises CheckpointError."""
    if quantize is None:
        return
    if quantize not in CHOICES:
        raise CheckpointError(f"quantize={quantize!r} is not one of {', '.join(CHOICES)}")
    if quantize == "int4" and dtype != torch.bfloat16:
        raise CheckpointError("quantize='int4' runs in bfloat16 only: leave out dtype or give dtype='bfloat16'")
    for name in ("torchao", "torch.utils._pytree"):  # on import they warn of kernels that are not used here
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import torchao  # noqa: F401
    except ImportError as error:
        raise CheckpointError("quantisation needs torchao: pip install 'parley[quantize]'") from error


def applies(module: nn.Module, name: str, quantize: str) -> TypeGuard[nn.Linear]:
    """Tell whether a module of that name in an Ultravox is to be quantised."""
    if not isinstance(module, nn.Linear) or not name.startswith(_LAYER):
        return False
    return quantize == "int8" or _group(module.in_features) is not None


def apply(linear: nn.Linear, quantize: str) -> None:
    """Replace the weight of a linear layer by its quantised form, in place."""
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    if quantize == "int8":
        quantize_(linear, Int8WeightOnlyConfig())
        return
    group = _group(linear.in_features) or linear.in_features
    if linear.weight.is_cuda:
        quantize_(linear, Int4WeightOnlyConfig(group_size=group, int4_packing_format="tile_packed_to_4d"))
        return
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig  # the only int4 kernel for CPUs

    quantize_(linear, PrototypeInt4WeightOnlyConfig(group_size=group))


def _group(width: int) -> int | None:
    return next((group for group in _GROUPS if width % group == 0), None)


def stored_bytes(linear: nn.Linear, quantize: str) -> int:
    """Count the bytes of a quantised weight: int8 has a 32-bit scale and an 8-bit zero per output, int4 16 bits of each per group."""
    elements = linear.weight.numel()
    if quantize == "int8":
        return elements + 5 * linear.out_features
    return elements // 2 + 4 * elements // (_group(linear.in_features) or 1)
