import pytest
import torch
from torch import Tensor

from models.config import AudioConfig, ProjectorConfig
from models.ultravox import AudioEncoder, Projector, attention_mask, stack_frames
from tests.models import checkpoints, reference


def encoder(parts: checkpoints.Parts, latency_block: int | None = None) -> AudioEncoder:
    config = AudioConfig.parse(parts.whisper.config.to_dict(), latency_block)
    mine = AudioEncoder(config).eval()
    mine.load_state_dict(parts.whisper.model.encoder.state_dict())
    return mine


def mel(frames: int, mels: int = 80) -> Tensor:
    return torch.randn(mels, frames, generator=torch.Generator().manual_seed(frames))


@torch.no_grad()
@pytest.mark.parametrize("mels", [80, 128])
def test_a_full_window_equals_whisper(mels: int) -> None:
    parts = checkpoints.parts(mels=mels)
    window = mel(3000, mels)
    theirs = parts.whisper.model.encoder(window[None]).last_hidden_state
    torch.testing.assert_close(encoder(parts)(window[None]), theirs, atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 7, 130, 621])
def test_a_short_window_uses_the_first_positions(frames: int) -> None:
    parts = checkpoints.parts()
    mine = encoder(parts)(mel(frames)[None])[0]
    assert mine.shape == (-(-frames // 2), 32)
    torch.testing.assert_close(mine, reference.encode(parts, mel(frames)), atol=1e-4, rtol=0)


@torch.no_grad()
def test_padding_is_not_attended_to() -> None:
    """With an even number of frames, what is valid does not depend on the padding at all."""
    parts = checkpoints.parts()
    alone = encoder(parts)(mel(100)[None])[0]
    padded = torch.zeros(2, 80, 140)
    padded[0, :, :100], padded[1] = mel(100), mel(140)
    together = encoder(parts)(padded, torch.tensor([100, 140]))
    torch.testing.assert_close(together[0, :49], alone[:49], atol=1e-4, rtol=0)
    torch.testing.assert_close(together[1], encoder(parts)(mel(140)[None])[0], atol=1e-4, rtol=0)
    assert not torch.allclose(encoder(parts)(padded)[0, :49], alone[:49], atol=1e-3)


@torch.no_grad()
def test_a_latency_block_hides_what_comes_later() -> None:
    parts = checkpoints.parts()
    index = torch.arange(20)
    hidden = (index // 5) > (index // 5)[:, None]
    mask = torch.zeros(1, 1, 20, 20).masked_fill(hidden, torch.finfo(torch.float32).min)
    mine = encoder(parts, latency_block=5)(mel(40)[None])[0]
    torch.testing.assert_close(mine, reference.encode(parts, mel(40), mask), atol=1e-4, rtol=0)


def test_masks_of_length_and_block_combine() -> None:
    mask = attention_mask(4, torch.tensor([5]), 2, torch.device("cpu"))
    assert mask is not None
    # 5 mel frames are 3 encoder frames; blocks of 2 hide frames 2 and 3 from 0 and 1
    rows = [[True, True, False, False]] * 2 + [[True, True, True, False]] * 2
    assert mask[0, 0].tolist() == rows


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="3001 mel frames; at most 3000"):
        encoder(checkpoints.parts())(mel(3001)[None])


@torch.no_grad()
@pytest.mark.parametrize("norm_mid", [False, True])
@pytest.mark.parametrize("frames", [1, 8, 9, 65])
def test_projector(norm_mid: bool, frames: int) -> None:
    parts = checkpoints.parts(norm_mid)
    mine = Projector(ProjectorConfig(audio_width=32, text_width=48, hidden=64, norm_mid=norm_mid))
    mine.load_state_dict({key.removeprefix("multi_modal_projector."): t for key, t in parts.projector.items()})
    encoded = torch.randn(frames, 32, generator=torch.Generator().manual_seed(0))
    assert mine(encoded[None]).shape == (1, -(-frames // 8), 48)
    torch.testing.assert_close(mine(encoded[None])[0], reference.project(parts, encoded), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_ordinary_activation_does_not_halve_the_width() -> None:
    mine = Projector(ProjectorConfig(audio_width=4, text_width=6, hidden=10, activation="relu", norm_mid=True))
    assert mine.linear_2.weight.shape == (6, 10)
    assert mine(torch.ones(1, 9, 4)).shape == (1, 2, 6)


def test_stacking_is_frame_major_and_pads_with_zeros() -> None:
    stacked = stack_frames(torch.arange(1.0, 7).reshape(1, 3, 2), 2)
    assert stacked.tolist() == [[[1, 2, 3, 4], [5, 6, 0, 0]]]
