"""Linear layers as inference wants them: joined where they share an input, and laid out for the processor."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Linear = Callable[[Tensor], Tensor]


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


class PackedLinear:
    """A linear layer whose bfloat16 weight oneDNN has already laid out for its kernels.

    A plain one is laid out anew for every input, which doubles the time of a single row. It is no module, for at one
    row what a module does around its work takes as long as a small layer.
    """

    def __init__(self, linear: nn.Linear) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.data, 1)  # noqa: SLF001
        self._bias = None if linear.bias is None else linear.bias.data
        self._apply = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001 - what torch.compile emits

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self._apply(x, self._weight, self._bias, "none", [], "")
        return out


def pack(linear: Linear) -> Linear:
    """Lay a layer's weight out where that pays and is possible, on CPUs that compute in bfloat16; else give it back."""
    if not isinstance(linear, nn.Linear) or type(linear.weight.data) is not Tensor:
        return linear
    weight = linear.weight
    fits = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
    return PackedLinear(linear) if fits and torch.cpu._is_avx512_bf16_supported() else linear  # noqa: SLF001 - no public way to ask
