"""Linear layers as inference wants them: joined where they share an input, and laid out for the processor."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def joined(layers: Sequence[nn.Linear | nn.Embedding]) -> nn.Linear | None:
    """Stack the outputs of layers (linear ones, or an embedding used as one) that share an input; None for quantised ones."""
    weights = [layer.weight for layer in layers]
    if any(type(weight.data) is not Tensor for weight in weights):
        return None
    weight = torch.cat([weight.data for weight in weights]) if len(weights) > 1 else weights[0].data
    biases = [layer.bias.data for layer in layers if isinstance(layer, nn.Linear) and layer.bias is not None]
    with torch.device("meta"):
        fused = nn.Linear(weight.shape[1], weight.shape[0], bias=bool(biases))
    fused.weight = nn.Parameter(weight, requires_grad=False)
    if biases:
        fused.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return fused


class PackedLinear(nn.Module):
    """A linear layer whose bfloat16 weight oneDNN has already laid out for its kernels.

    A plain one is laid out anew for every input, which doubles the time of a single row.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(linear.weight.data, 1))  # noqa: SLF001
        self.register_buffer("bias", None if linear.bias is None else linear.bias.data)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")  # noqa: SLF001 - what torch.compile emits
        return out


def pack(linear: nn.Module) -> nn.Module:
    """Lay a layer's weight out where that pays and is possible, on CPUs that compute in bfloat16; else give it back."""
    if not isinstance(linear, nn.Linear) or type(linear.weight.data) is not Tensor:
        return linear
    weight = linear.weight
    fits = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
    return PackedLinear(linear) if fits and torch.cpu._is_avx512_bf16_supported() else linear  # noqa: SLF001 - no public way to ask
