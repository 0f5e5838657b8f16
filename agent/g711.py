"""G.711 (ITU-T G.711): telephone audio of 8 bits, mu-law or A-law, to 16-bit samples and back. 8 kHz mono; arithmetic on tables."""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.audio import Samples

Law = Literal["audio/pcmu", "audio/pcma"]

G711_RATE = 8_000
"""Samples per second."""


def decode(data: bytes, law: Law) -> Samples:
    """[n] bytes as [n] int16."""
    return _levels(law)[np.frombuffer(data, np.uint8)]


def encode(samples: Samples, law: Law) -> bytes:
    """[n] int16 as [n] bytes, each the code whose level is nearest."""
    codes, bounds = _codes(law)
    return codes[np.searchsorted(bounds, samples)].tobytes()


@lru_cache
def _levels(law: Law) -> Samples:
    """The sample [256] that each code stands for: tables 1 and 2 of the recommendation, scaled to 16 bits."""
    inverted = np.arange(256) ^ (0xFF if law == "audio/pcmu" else 0x55)
    segment, step = inverted >> 4 & 7, inverted & 15
    if law == "audio/pcmu":
        magnitude = ((8 * step + 132) << segment) - 132
        negative = inverted >= 128
    else:
        magnitude = np.where(segment == 0, 16 * step + 8, (16 * step + 264) << np.maximum(segment - 1, 0))
        negative = inverted < 128
    return np.where(negative, -magnitude, magnitude).astype(np.int16)


@lru_cache
def _codes(law: Law) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The codes in the order of their levels, and the bounds half-way between these."""
    levels = _levels(law)[::-1]  # so that of mu-law's two zeros the positive one, all bits set, is taken
    ordered, first = np.unique(levels, return_index=True)
    return (255 - first).astype(np.uint8), (ordered[1:] / 2 + ordered[:-1] / 2)
