"""What the engine is measured against, in the same run: transformers' generate on the same weights, and the device's own limits."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from models import memory
from models.attention import kept_dtype
from models.config import TextConfig
from models.decoder import LanguageModel


class Generate:
    """transformers' `generate` with the weights of a language model that is not fused yet."""

    def __init__(self, language_model: LanguageModel) -> None:
        for name in ("torchao", "torch.utils._pytree"):  # transformers looks for kernels there, which warn
            logging.getLogger(name).setLevel(logging.ERROR)
        from transformers import LlamaForCausalLM

        self._device = language_model.model.embed_tokens.weight.device
        state = dict(language_model.state_dict())
        if language_model.config.tied:
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        with torch.device("meta"):
            model = LlamaForCausalLM(_llama(language_model.config)).to(state["model.norm.weight"].dtype)
        model.load_state_dict(state, assign=True)
        rotary = type(model.model.rotary_emb)(model.config)  # holds no weights, so the state has none of it
        model.model.rotary_emb = rotary.to(self._device)
        model.generation_config.pad_token_id = 0
        self._model = model.eval()
        self._vocabulary = language_model.config.vocabulary

    @torch.inference_mode()
    def seconds(self, batch: int, prompt: int, tokens: int) -> float:
        """Time one greedy answer of so many tokens to each of `batch` prompts of random ids."""
        ids = torch.randint(0, self._vocabulary, (batch, prompt), device=self._device)
        started = perf_counter()
        self._model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens
        )
        synchronize(self._device)
        return perf_counter() - started

    def tokens_per_s(self, batch: int, prompt: int, tokens: int) -> float:
        """Speed after the first token, of all answers together."""
        return batch * (tokens - 1) / (self.seconds(batch, prompt, tokens) - self.seconds(batch, prompt, 1))


def _llama(config: TextConfig) -> object:
    from transformers import LlamaConfig

    rope = {"rope_type": "default", "rope_theta": config.rope.theta}
    if config.rope.kind == "llama3":
        rope |= {
            "rope_type": "llama3",
            "factor": config.rope.factor,
            "low_freq_factor": config.rope.low_frequency_factor,
            "high_freq_factor": config.rope.high_frequency_factor,
            "original_max_position_embeddings": config.rope.original_positions,
        }
    return LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.feedforward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_size,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.eps,
        tie_word_embeddings=config.tied,
        rope_parameters=rope,
        bos_token_id=None,
        eos_token_id=None,
    )


@dataclass(frozen=True, slots=True)
class Roofline:
    """What a device can do at best, as it was just seen to (Williams et al. 2009)."""

    size: int  # bytes that one token needs
    bytes_per_s: float
    operations_per_s: float
    seconds: float  # the least for one token

    @classmethod
    def of(cls, language_model: LanguageModel, held: int, quantize: str | None) -> "Roofline":
        """Measure it for one token after `held` positions: weights, keys and values read once, and the multiplications.

        The language model is still as it was built; `quantize` is what will become of it.
        """
        config, weight = language_model.config, language_model.model.norm.weight
        numbers = sum(p.numel() for p in language_model.parameters())
        unread = 0 if config.tied else language_model.model.embed_tokens.weight.numel()  # of which one row is read
        kept = memory.cache_bytes(config, kept_dtype(weight.dtype, weight.device), held)
        size = memory.weight_bytes(language_model, weight.dtype, quantize) - unread * weight.dtype.itemsize + kept
        rates = bandwidth(weight.device, size), peak(weight.device, weight.dtype)
        return cls(size, *rates, max(size / rates[0], 2 * (numbers - unread) / rates[1]))


def bandwidth(device: torch.device, size: int) -> float:
    """Measure bytes per second, read and written, of copying half as many as `size`: small models live in caches, and so must this."""
    source = torch.ones(size // 2, dtype=torch.uint8, device=device)
    return 2 * source.numel() / _best(source.clone, device)


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure operations per second of a square product."""
    width = 1024 if device.type == "cpu" else 8192
    a = torch.randn(width, width, device=device).to(dtype)
    return 2 * width**3 / _best(lambda: a @ a, device)


def _best(work: Callable[[], object], device: torch.device, rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        started = perf_counter()
        work()
        synchronize(device)
        times.append(perf_counter() - started)
    return min(times)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
