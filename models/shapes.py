"""Architectures to measure without any checkpoint: full size, random weights, made on the device itself."""

from collections.abc import Callable

import torch
from tokenizers import AddedToken, decoders, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer
from tokenizers.models import BPE

from models.chat import ChatTemplate
from models.config import AudioConfig, ProjectorConfig, RopeConfig, TextConfig, UltravoxConfig
from models.model import Model
from models.tokenizer import Tokenizer
from models.ultravox import Ultravox

_END = "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}{{ message.role[0] }}{{ message.content }}" + _END + "{% endfor %}a"
)  # one token each


def _demo() -> UltravoxConfig:
    """The checkpoint that ships with the repository."""
    rope = RopeConfig(theta=10000.0)
    text = TextConfig("llama", 1024, 256, 4, 4, 2, 64, 704, 4096, rope=rope, tied=True)
    return UltravoxConfig(AudioConfig(192, 4, 3, 768), ProjectorConfig(192, 256, hidden=768, norm_mid=True), text)


def _medium() -> UltravoxConfig:
    """A size that a CPU still talks with: 33 M parameters of language model below Whisper-tiny's encoder."""
    text = TextConfig("llama", 8192, 512, 8, 8, 8, 64, 1376, 8192, rope=RopeConfig(theta=500000.0))
    return UltravoxConfig(AudioConfig(384, 4, 6, 1536), ProjectorConfig(384, 512, hidden=1024), text)


def _v0_4() -> UltravoxConfig:
    """fixie-ai/ultravox-v0_4: Whisper-medium and Llama 3.1 8B, as their config.json files say."""
    rope = RopeConfig(theta=500000.0, kind="llama3", factor=8.0)
    text = TextConfig("llama", 128256, 4096, 32, 32, 8, 128, 14336, 131072, rope=rope)
    return UltravoxConfig(AudioConfig(1024, 24, 16, 4096), ProjectorConfig(1024, 4096), text)


SHAPES: dict[str, Callable[[], UltravoxConfig]] = {"demo": _demo, "medium": _medium, "v0_4": _v0_4}


@torch.no_grad()
def build(shape: str, device: torch.device, dtype: torch.dtype) -> Model:
    """Make a model of random weights whose answers never end by themselves; a character of text is a token."""
    with torch.device("meta"):
        network = Ultravox(SHAPES[shape]()).to(dtype)
    network = network.to_empty(device=device).eval().requires_grad_(requires_grad=False)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.02)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return Model(network, _tokenizer(), frozenset())


def _tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = FastTokenizer(BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(_END, normalized=False)])
    return Tokenizer(tokenizer, len(alphabet), ChatTemplate(_TEMPLATE, {}))
