"""Signals for tests of codecs, and how far two of them differ."""

import numpy as np

from agent.audio import Samples
from agent.edge.jitter import Packet
from agent.edge.opus import OpusEncoder


def vowel(seconds: float, rate: int = 48_000) -> Samples:
    """A voiced sound whose pitch moves, so that no frame is like the one before."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (150 * time + 15 * np.sin(2 * np.pi * 3 * time))
    return sum(4000 / k * np.sin(k * phase) for k in range(1, 12)).astype(np.int16)


def protected(samples: Samples) -> list[Packet]:
    """Opus packets that carry copies of the ones before; each arrives the moment its last sample was captured."""
    encoder = OpusEncoder(24_000)
    encoder.expect_loss(0.1)
    frames = np.split(samples, samples.size // 960)
    return [Packet(n, n * 960, 96, encoder.encode(frame), 0.02 * (n + 1)) for n, frame in enumerate(frames)]


def error(out: Samples, whole: Samples, frames: list[int]) -> float:
    """Root mean square of the difference within some frames of 20 ms at 16 kHz."""
    picked = np.concatenate([np.arange(n * 320, (n + 1) * 320) for n in frames])
    return float(np.sqrt(np.mean((out[picked].astype(float) - whole[picked]) ** 2)))
