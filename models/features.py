"""Waveform -> log-mel spectrogram as Whisper wants it, in torch, on any device, for one audio or a batch.

Samples are float in ±1 at 16 kHz; a frame is 10 ms. Numbers (400-sample window, 160-sample hop, 0 to 8000 Hz, floor,
clamp, scale) are those of Whisper's feature extractor (Radford et al. 2022, section 2.2).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 16_000
HOP = 160
WINDOW = 400
_EDGE = 2  # frames at the start of an audio whose windows begin before it
SHORTEST = 2 * HOP  # samples; shorter audio is padded with zeros to this


def frame_count(samples: int) -> int:
    """Count the mel frames of so many samples; a partial last hop counts whole."""
    return -(-max(samples, SHORTEST) // HOP)


def log_mel(samples: Tensor, mels: int = 80) -> Tensor:
    """Compute the log-mel spectrogram: [..., n] float -> [..., mels, ceil(max(n, 320) / 160)] float32.

    Samples are padded with zeros to whole hops. The dynamic range is cut 8 (80 dB) below the loudest bin of each
    audio, over its whole length, so windows of a long audio must be cut after this, not before.
    """
    return compress(log_energies(samples, mels))


def log_energies(samples: Tensor, mels: int = 80, known: Tensor | None = None, held: int = 0) -> Tensor:
    """Compute the logarithms of a mel spectrogram, base 10, before their range is cut: shapes as for `log_mel`.

    `known` are those of the first `held` samples alone; of these, frames that reach no further are taken over.
    """
    before = (held - WINDOW // 2) // HOP + 1 - _EDGE  # frames that are taken over, but for what the start below needs
    if known is not None and before > 0:
        kept = known[..., : before + _EDGE]
        return torch.cat((kept, log_energies(samples[..., before * HOP :], mels)[..., _EDGE:]), -1)
    padded = F.pad(samples.float(), (0, frame_count(samples.shape[-1]) * HOP - samples.shape[-1]))
    flat = padded.reshape(-1, padded.shape[-1])
    spectrum = torch.stft(flat, WINDOW, HOP, window=_hann(padded.device), return_complex=True)[..., :-1]
    power = torch.view_as_real(spectrum).square().sum(-1)
    energies = (_filters(mels, padded.device) @ power).clamp_(min=1e-10).log10_()
    return energies.reshape(*samples.shape[:-1], mels, -1)


def compress(energies: Tensor) -> Tensor:
    """Cut the dynamic range of whole audios, and scale them for the encoder."""
    return (torch.maximum(energies, energies.amax((-2, -1), keepdim=True) - 8) + 4) / 4


@cache
def _hann(device: torch.device) -> Tensor:
    return torch.hann_window(WINDOW, periodic=True, device=device)


@cache
def _filters(mels: int, device: torch.device) -> Tensor:
    """Triangular filters [mels, 201], evenly spaced on Slaney's mel scale, each of equal area (Slaney 1998)."""
    top = _hertz_to_mel(torch.tensor(RATE / 2, dtype=torch.float64))
    edges = _mel_to_hertz(torch.linspace(0, float(top), mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)
    width = edges.diff()
    slopes = edges[:, None] - bins[None]
    rising, falling = -slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).to(device, torch.float32)


# Slaney's scale: linear below 1000 Hz (15 mel), 27 mel per factor of 6.4 above
_KNEE_HZ, _KNEE_MEL, _HZ_PER_MEL = 1000.0, 15.0, 200.0 / 3
_LOG_STEP = float(torch.log(torch.tensor(6.4, dtype=torch.float64))) / 27


def _hertz_to_mel(hertz: Tensor) -> Tensor:
    above = _KNEE_MEL + torch.log(hertz.clamp(min=_KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return torch.where(hertz < _KNEE_HZ, hertz / _HZ_PER_MEL, above)


def _mel_to_hertz(mel: Tensor) -> Tensor:
    above = _KNEE_HZ * torch.exp((mel - _KNEE_MEL) * _LOG_STEP)
    return torch.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)
