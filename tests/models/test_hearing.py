"""An audio heard as it grows gives what hearing it for the first time gives, whatever comes later."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import InputError, Model
from models.features import log_energies, log_mel
from models.hearing import Hearing
from models.inputs import waveform


def speech(seed: int, samples: int, loudness: float = 0.3) -> np.ndarray:
    """Noise in bursts, with stretches of silence that the floor of the spectrogram hides."""
    drawn = np.random.default_rng(seed)
    bursts = np.repeat(drawn.random(samples // 800 + 1) < 0.6, 800)[:samples]
    return (32767 * loudness * bursts * drawn.uniform(-1, 1, samples)).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=5), st.integers(0, 3))
def test_energies_go_on_from_those_of_a_beginning(cuts: list[int], seed: int) -> None:
    wave = waveform(speech(seed, max(cuts)))
    known, held = None, 0
    for length in sorted(cuts):
        known, held = log_energies(wave[:length], 80, known, held), length
        torch.testing.assert_close(known, log_energies(wave[:length]), atol=1e-5, rtol=1e-5)


def first_time(model: Model, audio: np.ndarray, window: int = 0) -> torch.Tensor:
    mel = log_mel(waveform(audio), model.config.audio.mels)
    return model.project(model.encode(torch.split(mel, model.config.audio.max_mel_frames, -1)[window]))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9000), st.sampled_from([0.001, 0.1, 0.9])), min_size=2, max_size=6),
    st.integers(0, 3),
)
def test_rows_of_a_growing_audio_are_those_of_a_new_one(
    model: Model, pieces: list[tuple[int, float]], seed: int
) -> None:
    """Some pieces are much louder than what came before: the floor rises, and old frames change."""
    hearing, audio = Hearing(), np.empty(0, np.int16)
    for number, (samples, loudness) in enumerate(pieces):
        audio = np.concatenate((audio, speech(seed + number, samples, loudness)))
        rows = hearing.rows(model, audio, 0)
        torch.testing.assert_close(rows, first_time(model, audio), atol=1e-4, rtol=1e-4)


class Counting:
    """A model whose audio tower notes how many frames it is spared to convolve."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.audio_tower = self
        self.attend = model.audio_tower.attend
        self.spared: list[int] = []

    def convolve(self, mel: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        self.spared.append(0 if known is None else known.shape[1])
        return self._model.audio_tower.convolve(mel, known)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


def spared(model: Model, *audios: np.ndarray) -> list[int]:
    hearing, counting = Hearing(), Counting(model)
    for audio in audios:
        hearing.rows(counting, audio, 0)  # type: ignore[arg-type]
    return counting.spared


def test_what_stays_true_is_not_computed_again(model: Model) -> None:
    """Of a second, 100 mel frames, only the last sees its end; three of them, every second time, make a frame."""
    audio = np.random.default_rng(1).integers(-9000, 9000, 32_000).astype(np.int16)
    assert spared(model, audio[:16_000], audio[:24_000], audio) == [0, 49, 74]
    assert spared(model, audio[:16_000], audio[1:]) == [0, 0]
    assert spared(model, audio[:16_000], audio[:8_000]) == [0, 0]


def test_a_louder_sound_changes_what_its_floor_hides(model: Model) -> None:
    quiet, loud = speech(1, 16_000, 0.0005), speech(3, 8_000, 0.9)
    assert spared(model, quiet, np.concatenate((quiet, loud)))[1] < 49


def test_each_window_of_a_long_audio_is_its_own(model: Model) -> None:
    audio = speech(4, 31 * 16_000)
    hearing = Hearing()
    for window in (0, 1, 1, 0):
        torch.testing.assert_close(
            hearing.rows(model, audio, window), first_time(model, audio, window), atol=1e-4, rtol=1e-4
        )


def test_bad_audio_is_refused_and_forgotten(model: Model) -> None:
    hearing, audio = Hearing(), speech(5, 8000)
    hearing.rows(model, audio, 0)
    with pytest.raises(InputError, match="NaN"):
        hearing.rows(model, np.full(9000, np.nan, np.float32), 0)
    torch.testing.assert_close(hearing.rows(model, audio, 0), first_time(model, audio), atol=1e-4, rtol=1e-4)
