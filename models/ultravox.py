"""Ultravox: audio encoder -> stack frames -> projector -> rows among the language model's input embeddings.

Log-mel windows come in, rows of the language model's width come out, one per 160 ms. Parameter names are those of the
published checkpoints: `audio_tower.`, `multi_modal_projector.`, `language_model.`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import AudioConfig, ProjectorConfig, UltravoxConfig
from models.decoder import LanguageModel, RMSNorm

PROJECTOR_EPS = 1e-6  # of every norm in the projector, whatever the language model's own is
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}


class Ultravox(nn.Module):
    """The three parts under their published names."""

    def __init__(self, config: UltravoxConfig) -> None:
        super().__init__()
        self.config = config
        self.audio_tower = AudioEncoder(config.audio)
        self.multi_modal_projector = Projector(config.projector)
        self.language_model = LanguageModel(config.text)


class AudioEncoder(nn.Module):
    """Whisper's encoder (Radford et al. 2022) for windows of any length up to its own."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mels, config.width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_frames, config.width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.layer_norm = nn.LayerNorm(config.width)

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode [batch, mels, frames] -> [batch, ceil(frames / 2), width].

        `lengths` [batch] counts the mel frames that are audio; the padding after them is not attended to.
        Raises ValueError when there are more frames than the position table has room for.
        """
        return self.attend(self.convolve(mel), lengths)

    def convolve(self, mel: Tensor, known: Tensor | None = None) -> Tensor:
        """Run the convolutions, two mel frames to a frame: [batch, mels, frames] -> [batch, ceil(frames / 2), width].

        `known` are the first of these, which are taken over. Raises ValueError when there are more frames than fit.
        """
        if mel.shape[-1] > self.config.max_mel_frames:
            raise ValueError(f"a window of {mel.shape[-1]} mel frames; at most {self.config.max_mel_frames} fit")
        if known is None:
            return F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        # From two mel frames earlier on; of the first convolution's frames the first has seen padding in place of a third.
        first = F.gelu(self.conv1(mel[..., 2 * known.shape[1] - 2 :]))[..., 1:]
        second = F.conv1d(F.pad(first, (0, 1)), self.conv2.weight, self.conv2.bias, self.conv2.stride)
        return torch.cat((known, F.gelu(second).transpose(1, 2)), 1)

    def attend(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run the layers after the convolutions, as `forward` says."""
        x = x + self.embed_positions.weight[: x.shape[1]]
        mask = attention_mask(x.shape[1], lengths, self.config.latency_block, x.device)
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.layer_norm(x)
        return out


def convolved(mel_frames: int) -> int:
    """Count the frames after the convolutions that depend on nothing after so many mel frames."""
    return max(0, mel_frames - 1) // 2


def attention_mask(frames: int, lengths: Tensor | None, block: int | None, device: torch.device) -> Tensor | None:
    """Say which encoder frames each one sees, [batch or 1, 1, frames or 1, frames] bool; None is all.

    `lengths` are in mel frames, two per encoder frame. With a block, a frame sees its own block and those before it.
    """
    index = torch.arange(frames, device=device)
    mask = None
    if lengths is not None:
        mask = (index < ((lengths.to(device) + 1) // 2)[:, None])[:, None, None]
    if block is not None:
        blocks = (index // block <= index[:, None] // block)[None, None]
        mask = blocks if mask is None else mask & blocks
    return mask


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.self_attn = EncoderAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, config.feedforward)
        self.fc2 = nn.Linear(config.feedforward, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), mask)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class EncoderAttention(nn.Module):
    """Attention in both directions; the key projection has no bias."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.head_size = config.width // config.heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        split = (*x.shape[:2], -1, self.head_size)
        query, key, value = (p(x).view(split).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(query, key, value, mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Projector(nn.Module):
    """Stacked encoder frames -> rows of the language model's width."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.config = config
        stacked = config.audio_width * config.stack
        self.ln_pre = RMSNorm(stacked, PROJECTOR_EPS)
        self.linear_1 = nn.Linear(stacked, config.hidden, bias=False)
        self.linear_2 = nn.Linear(config.inner, config.text_width, bias=False)
        if config.norm_mid:
            self.ln_mid = RMSNorm(config.inner, PROJECTOR_EPS)
        else:
            self.ln_post = RMSNorm(config.text_width, PROJECTOR_EPS)

    def forward(self, encoded: Tensor) -> Tensor:
        """Project [batch, frames, audio width] -> [batch, ceil(frames / stack), text width]."""
        x = self._activate(self.linear_1(self.ln_pre(stack_frames(encoded, self.config.stack))))
        out: Tensor = self.linear_2(self.ln_mid(x)) if self.config.norm_mid else self.ln_post(self.linear_2(x))
        return out

    def _activate(self, x: Tensor) -> Tensor:
        if self.config.activation != "swiglu":
            return _ACTIVATIONS[self.config.activation](x)
        value, gate = x.chunk(2, -1)  # the gate is the second half
        return F.silu(gate) * value


def stack_frames(encoded: Tensor, stack: int) -> Tensor:
    """Join each `stack` frames into one: [batch, frames, width] -> [batch, ceil(frames / stack), stack * width]."""
    padded = F.pad(encoded, (0, 0, 0, -encoded.shape[1] % stack))
    return padded.reshape(encoded.shape[0], -1, stack * encoded.shape[2])
