import numpy as np
import pytest
import torch

from models.features import frame_count, log_mel
from tests.models import reference


def sound(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Noise that swells over a tone, so that the floor and the clamp both matter."""
    time = np.arange(samples) / 16000
    return (0.4 * np.sin(2 * np.pi * 440 * time) + rng.standard_normal(samples) * 0.02 * time).astype(np.float32)


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", [1, 319, 320, 321, 20_800, 99_251, 480_000])
def test_equals_whispers_own_features(rng: np.random.Generator, samples: int, mels: int) -> None:
    audio = sound(rng, samples)
    mine = log_mel(torch.from_numpy(audio), mels)
    assert mine.shape == (mels, frame_count(samples))
    torch.testing.assert_close(mine, reference.features(audio, mels), atol=1e-4, rtol=0)


def test_silence_is_finite() -> None:
    mel = log_mel(torch.zeros(16000))
    torch.testing.assert_close(mel, torch.full((80, 100), -1.5))  # (log10(1e-10) + 4) / 4


def test_a_batch_equals_its_members_alone(rng: np.random.Generator) -> None:
    batch = torch.from_numpy(np.stack([sound(rng, 5000), 0.01 * sound(rng, 5000)]))
    torch.testing.assert_close(log_mel(batch), torch.stack([log_mel(one) for one in batch]))


@pytest.mark.parametrize(("samples", "frames"), [(1, 2), (320, 2), (321, 3), (20_800, 130), (99_251, 621)])
def test_a_partial_hop_counts_whole(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames
