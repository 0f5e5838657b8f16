"""The Ultravox composition written out by hand around transformers' own classes: what the numbers must equal."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import WhisperFeatureExtractor

from tests.models.checkpoints import EOT, Parts, tokenizer


def features(samples: np.ndarray, mels: int = 80) -> Tensor:
    """Log-mel by transformers, of audio padded to whole hops: [mels, frames]."""
    hops = math.ceil(max(len(samples), 320) / 160)
    padded = np.pad(samples, (0, hops * 160 - len(samples)))
    extractor = WhisperFeatureExtractor(feature_size=mels)
    out = extractor(padded, sampling_rate=16000, padding=False, truncation=False, return_tensors="pt")
    return out["input_features"][0]


def encode(parts: Parts, mel: Tensor, mask: Tensor | None = None) -> Tensor:
    """Whisper's encoder on a window of any length; the mask is added to the attention's scores."""
    encoder = parts.whisper.model.encoder
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel[None])))).transpose(1, 2)
    x = x + encoder.embed_positions.weight[: x.shape[1]]
    for layer in encoder.layers:
        out = layer(x, attention_mask=mask)
        x = out[0] if isinstance(out, tuple) else out
    return encoder.layer_norm(x)[0]


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight


def project(parts: Parts, encoded: Tensor) -> Tensor:
    weight = {name.split(".")[1]: tensor for name, tensor in parts.projector.items()}
    x = F.pad(encoded, (0, 0, 0, -len(encoded) % 8)).reshape(-1, 8 * encoded.shape[1])
    x = norm(x, weight["ln_pre"]) @ weight["linear_1"].T
    half = x.shape[1] // 2
    x = F.silu(x[:, half:]) * x[:, :half]
    if parts.norm_mid:
        return norm(x, weight["ln_mid"]) @ weight["linear_2"].T
    return norm(x @ weight["linear_2"].T, weight["ln_post"])


def input_ids(prompt: str, counts: list[int]) -> list[int]:
    """One placeholder per count, each replaced by that many end-of-turn ids."""
    pieces = prompt.split("<|audio|>")
    ids = tokenizer().encode(pieces[0], add_special_tokens=False).ids
    for count, piece in zip(counts, pieces[1:], strict=True):
        ids += [EOT] * count + tokenizer().encode(piece, add_special_tokens=False).ids
    return ids


@torch.no_grad()
def embeddings(parts: Parts, prompt: str, audios: list[np.ndarray]) -> Tensor:
    """Input rows [T, width] of a prompt whose audios are each at most 30 s."""
    mels = [features(audio, parts.whisper.config.num_mel_bins) for audio in audios]
    rows = [project(parts, encode(parts, mel)) for mel in mels]
    ids = input_ids(prompt, [len(r) for r in rows])
    embedded = parts.text.get_input_embeddings()(torch.tensor(ids)).clone()
    start = 0
    for piece, row in zip(prompt.split("<|audio|>"), rows, strict=False):
        start += len(tokenizer().encode(piece, add_special_tokens=False).ids)
        embedded[start : start + len(row)] = row
        start += len(row)
    return embedded


@torch.no_grad()
def logits(parts: Parts, prompt: str, audios: list[np.ndarray]) -> Tensor:
    return parts.text(inputs_embeds=embeddings(parts, prompt, audios)[None]).logits[0]


@torch.no_grad()
def greedy(parts: Parts, prompt: str, audios: list[np.ndarray], count: int, stop: set[int]) -> list[int]:
    """Answer without a cache, everything computed anew for each token."""
    rows, ids = embeddings(parts, prompt, audios), []
    while len(ids) < count:
        token = int(parts.text(inputs_embeds=rows[None]).logits[0, -1].argmax())
        if token in stop:
            break
        ids.append(token)
        rows = torch.cat((rows, parts.text.get_input_embeddings()(torch.tensor([token]))))
    return ids
