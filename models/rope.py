"""Rotary position embedding (Su et al. 2021) with the frequencies that a config asks for: plain, or stretched for long contexts."""

import math

import torch
from torch import Tensor

from models.config import RopeConfig


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn [batch, positions, heads, head size] by [positions or batch, positions, 1, head size / 2]; neighbours are the pairs.

    In float32, in which the result is: as complex numbers a pair takes one product.
    """
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation).flatten(-2)


def neighbours(halves: Tensor, dim: int = -1) -> Tensor:
    """Bring pairs together along a head's dimension: published weights pair each element with the one half a head on."""
    dim %= halves.ndim
    shape = (*halves.shape[:dim], 2, -1, *halves.shape[dim + 1 :])
    return halves.reshape(shape).transpose(dim, dim + 1).reshape(halves.shape)


class Rope:
    """Positions -> rotations."""

    def __init__(self, config: RopeConfig, head_size: int) -> None:
        self.frequencies = frequencies(config, head_size)
        self.scale = torch.tensor(attention_scale(config), device="cpu")

    def __call__(self, positions: Tensor) -> Tensor:
        """Give the rotations of all heads at each position: [...] -> [..., 1, head size / 2] complex."""
        if self.frequencies.device != positions.device:
            self.frequencies, self.scale = self.frequencies.to(positions.device), self.scale.to(positions.device)
        return torch.polar(self.scale, positions[..., None, None] * self.frequencies)


def frequencies(config: RopeConfig, head_size: int) -> Tensor:
    """Compute the angle per position of each pair: [head size / 2], float32, on the CPU."""
    steps = torch.arange(0, head_size, 2, dtype=torch.int64, device="cpu").float() / head_size
    plain = 1.0 / (config.theta**steps)
    match config.kind:
        case "default":
            return plain
        case "linear":
            return plain / config.factor
        case "llama3":
            return _llama3(plain, config)
        case "yarn":
            return _yarn(plain, config, head_size)


def _llama3(plain: Tensor, config: RopeConfig) -> Tensor:
    """Llama 3.1's scaling: slow pairs are stretched by the factor, fast ones kept, those between blended."""
    turns = config.original_positions * plain / (2 * math.pi)  # turns of each pair over the original context
    low, high = config.low_frequency_factor, config.high_frequency_factor
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - keep) * plain / config.factor + keep * plain


def _yarn(plain: Tensor, config: RopeConfig, head_size: int) -> Tensor:
    """YaRN (Peng et al. 2023), section 3.2: as Llama 3.1's, with the blend linear over the pair's index."""

    def pair(turns: float) -> float:
        positions = config.original_positions / (turns * 2 * math.pi)
        return head_size * math.log(positions) / (2 * math.log(config.theta))

    low, high = pair(config.beta_fast), pair(config.beta_slow)
    if config.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    stretch = ((torch.arange(head_size // 2, device="cpu") - low) / max(high - low, 0.001)).clamp(0, 1)
    return stretch * plain / config.factor + (1 - stretch) * plain


def attention_scale(config: RopeConfig) -> float:
    """YaRN's sharpening of the attention, as a factor on queries and keys (section 3.4); 1 for the others."""
    if config.kind != "yarn":
        return 1.0
    if config.attention_factor is not None:
        return config.attention_factor
    return 0.1 * math.log(config.factor) + 1.0 if config.factor > 1 else 1.0
