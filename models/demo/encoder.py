"""Stage 3: the audio encoder, taught to name the phone in every 20 ms of speech.

espeak-ng and flite tell when each phone begins, so each encoder frame has a label; recordings, whose phones are known
only in order, are taught by CTC (Graves et al. 2006) on the same phones. Both heads are dropped afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.config import AudioConfig
from models.demo.phones import PHONES, UNLABELLED
from models.demo.pool import Sample, stretch, to_mel
from models.demo.training import Run, device, mixed, train
from models.ultravox import AudioEncoder

AUDIO = AudioConfig(width=256, layers=4, heads=4, feedforward=1024)
STEPS = 1000
BATCH = 48  # clips
BLOCK = 8  # batches that are drawn at once
PACE = (0.88, 1.18)  # how much longer a clip may last than it does in the pool
BLANK = len(PHONES)


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips padded on the right: mel [clips, 80, frames] where it is trained, frames of each, and labels [clips, frames / 2]."""

    samples: list[Sample]
    mel: Tensor
    lengths: Tensor
    labels: Tensor


class Listener(nn.Module):
    """The encoder with its two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_tower = AudioEncoder(AUDIO)
        positions = sinusoids(AUDIO.max_frames, AUDIO.width)
        self.audio_tower.embed_positions.weight = nn.Parameter(positions, requires_grad=False)
        self.frames = nn.Linear(AUDIO.width, len(PHONES))
        self.order = nn.Linear(AUDIO.width, len(PHONES) + 1)

    def encode(self, batch: Batch) -> Tensor:
        """Encode [clips, frames / 2, width]; what lies past the end of a clip is zero, as it is for a clip alone."""
        encoded = self.audio_tower(batch.mel, batch.lengths)
        inside = torch.arange(encoded.shape[1]) < ((batch.lengths + 1) // 2)[:, None]
        only: Tensor = encoded * inside[..., None].to(encoded.device)
        return only

    def loss(self, encoded: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Name the frames where labels are known, and the order of phones wherever that is known."""
        frames = self.frames(encoded).float()
        labels = batch.labels.flatten().to(frames.device)
        labelled = (labels != UNLABELLED).sum().clamp(min=1)  # none where only people speak
        named = F.cross_entropy(frames.flatten(0, 1), labels, ignore_index=UNLABELLED, reduction="sum") / labelled
        known = [index for index, sample in enumerate(batch.samples) if len(sample.sequence)]
        if not known:
            return {"frames": named}
        order = self.order(encoded[known]).float().log_softmax(-1).transpose(0, 1)
        targets = [torch.from_numpy(batch.samples[index].sequence).long() for index in known]
        counts = torch.tensor([len(target) for target in targets])
        sequences, frames_of = torch.cat(targets).to(order.device), (batch.lengths[known] + 1) // 2
        ctc = F.ctc_loss(order, sequences, frames_of, counts, BLANK, zero_infinity=True)
        return {"frames": named, "ctc": 0.3 * ctc}


def sinusoids(positions: int, width: int) -> Tensor:
    """Whisper's fixed positions: sines, then cosines, of periods from 1 to 10,000 (Radford et al. 2022)."""
    periods = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(positions)[:, None] * periods
    return torch.cat((angles.sin(), angles.cos()), 1)


def collate(samples: Sequence[Sample], generator: torch.Generator | None) -> Batch:
    """Pad clips to the longest; with a generator, shift them, and mask bands of time and frequency (SpecAugment, Park et al. 2019)."""
    mels = [to_mel(sample) for sample in samples]
    if generator is not None:
        for mel in mels:
            _shift(mel, generator)
            _mask(mel, generator)
    lengths = torch.tensor([len(mel) for mel in mels])
    labels = [torch.from_numpy(sample.labels).long() for sample in samples]
    padded = pad_sequence(mels, batch_first=True).transpose(1, 2).to(device())
    return Batch(list(samples), padded, lengths, pad_sequence(labels, batch_first=True, padding_value=UNLABELLED))


def _shift(mel: Tensor, generator: torch.Generator) -> None:
    """Move formants by up to two mel bands either way and spread them by up to 5 %, and move the level by up to 6 dB."""
    bands = int(torch.randint(-2, 3, (), generator=generator))
    spread = 1 + 0.1 * (float(torch.rand((), generator=generator)) - 0.5)
    moved = (torch.arange(mel.shape[1]) * spread + bands).round().long()
    mel.copy_(mel[:, moved.clamp(0, mel.shape[1] - 1)])
    mel.add_(0.3 * (float(torch.rand((), generator=generator)) - 0.5))


def _mask(mel: Tensor, generator: torch.Generator) -> None:
    for dimension, widest in ((0, 10), (1, 9)):
        for _ in range(int(torch.randint(3, (), generator=generator))):
            width = int(torch.randint(widest + 1, (), generator=generator))
            start = int(torch.randint(max(1, mel.shape[dimension] - width), (), generator=generator))
            mel.narrow(dimension, start, width).fill_(float(mel.mean()))


def draw_batch(pool: Sequence[Sample], step: int, size: int, seed: str) -> list[Sample]:
    """Draw clips of similar length, `size` on average, each at a pace of its own.

    Blocks of batches are drawn at once, sorted, and cut into equal durations.
    """
    block, part = divmod(step, BLOCK)
    drawn = [pool[index] for index in Random(f"{seed} {block}").sample(range(len(pool)), BLOCK * size)]
    drawn.sort(key=lambda sample: len(sample.mel))
    passed = np.cumsum([len(sample.mel) for sample in drawn])
    parts = (BLOCK * (passed - 1)) // passed[-1]
    part = (part * 3 + block) % BLOCK
    rng = Random(f"{seed} pace {step}")
    chosen = (sample for sample, of_part in zip(drawn, parts.tolist(), strict=True) if of_part == part)
    return [stretch(sample, rng.uniform(*PACE)) for sample in chosen]


def train_encoder(folder: Path, pool: Sequence[Sample], steps: int = STEPS) -> Listener:
    """Run the stage in a build folder; gives the trained encoder with its heads."""
    torch.manual_seed(1)
    listener = Listener()

    def loss(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        batch = collate(draw_batch(pool, step, BATCH, "encoder"), generator)
        with mixed():
            encoded = listener.encode(batch)
            return listener.loss(encoded, batch)

    train(Run(folder / "encoder.pt", steps, muon=0.02, adamw=2e-3, warm_up=100), listener, loss)
    return listener.eval()
