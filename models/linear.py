"""Linear layers as inference wants them: rounded to 8 bits if asked to, joined where they share an input, laid out for the processor."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Linear = Callable[[Tensor], Tensor]


_TILE = 16  # inputs that torch's kernel for int8 reads at a time, beyond the end of a row that is no multiple of it
_FEW = 32  # rows up to which reading int8 weights pays more than the faster multiplication of bfloat16


class Int8Linear(nn.Module):
    """A linear layer whose weight is whole numbers of -127 to 127 steps, the step being each output's own."""

    def __init__(self, weight: Tensor, step: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight: Tensor
        self.step: Tensor
        self.register_buffer("weight", weight)  # [outputs, inputs] int8
        self.register_buffer("step", step)  # [outputs]
        self.bias: Tensor | None
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, linear: nn.Linear) -> "Int8Linear":
        """Round a layer. The steps are rounded first, so that the weights are the nearest that these steps make."""
        weight = linear.weight.data
        step = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(weight.dtype).tiny)
        levels = (weight.float() / step.float()[:, None]).round_().clamp_(-127, 127)
        return cls(levels.to(torch.int8), step, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        if x.device.type == "cpu" and len(rows) <= _FEW and rows.shape[1] % _TILE == 0:
            out = torch._weight_int8pack_mm(rows, self.weight, self.step)  # noqa: SLF001 - the kernel has no other name
        else:
            out = F.linear(rows, self.weight.to(x.dtype)) * self.step
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


def joined(layers: Sequence[Any]) -> nn.Linear | Int8Linear | None:
    """Stack the outputs of layers (linear ones, or an embedding used as one) that share an input; None where they cannot be."""
    weights = [layer.weight.data for layer in layers]
    if any(type(weight) is not Tensor for weight in weights):
        return None
    weight = torch.cat(weights) if len(weights) > 1 else weights[0]
    biases = [layer.bias.data for layer in layers if getattr(layer, "bias", None) is not None]
    bias = torch.cat(biases) if biases else None
    if steps := [layer.step for layer in layers if isinstance(layer, Int8Linear)]:
        return Int8Linear(weight, torch.cat(steps), bias) if len(steps) == len(layers) else None
    with torch.device("meta"):
        fused = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    fused.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        fused.bias = nn.Parameter(bias, requires_grad=False)
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
