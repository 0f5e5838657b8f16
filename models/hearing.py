"""Audio that grows: what a caller has said so far is heard at every pause, and most of what comes before the encoder stays true.

Takes a whole audio each time, gives rows for the language model. Kept are the mel frames and the frames after the
encoder's convolutions; its layers look in both directions, so they begin anew. The results are those of hearing the
audio for the first time: a louder sound later lifts the floor of all mel frames, and what that changes is computed again.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.features import compress, log_energies
from models.inputs import waveform
from models.model import Model
from models.ultravox import convolved


class Hearing:
    """The newest audio of a conversation."""

    def __init__(self) -> None:
        self._audio: Any = np.empty(0)
        self._energies: Tensor | None = None
        self._window = 0  # the one that these are of
        self._mel: Tensor | None = None
        self._frames: Tensor | None = None

    def rows(self, model: Model, audio: Any, window: int) -> Tensor:
        """Hear one window of an audio: [positions, text width]. Raises InputError for bad audio."""
        wave = waveform(audio).to(model.device)
        samples, held = np.asarray(audio), len(self._audio)
        if self._audio.dtype != samples.dtype or not np.array_equal(self._audio, samples[:held]):
            held, self._mel = 0, None
        self._energies = log_energies(wave, model.config.audio.mels, self._energies if held else None, held)
        self._audio = samples
        mel = torch.split(compress(self._energies), model.config.audio.max_mel_frames, -1)[window].to(model.dtype)
        return model.project(model.audio_tower.attend(self._convolved(model, mel, window))[0])

    def _convolved(self, model: Model, mel: Tensor, window: int) -> Tensor:
        """Convolve a window from where its mel frames are not those of before on."""
        known = 0
        if self._mel is not None and self._frames is not None and self._window == window:
            shared = min(mel.shape[-1], self._mel.shape[-1])
            changed = (mel[:, :shared] != self._mel[:, :shared]).any(0).nonzero()
            known = convolved(int(changed[0]) if len(changed) else shared)
        first = self._frames[:, :known] if known and self._frames is not None else None
        self._frames = model.audio_tower.convolve(mel[None], first)
        self._mel, self._window = mel, window
        return self._frames
