"""Speech without people: a caller's tones in syllables, coughs, a voice of one tone per word, and a detector that hears what is loud.

They stand for real speech and a real detector where only the times matter. Samples are int16 at 16 kHz.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np

from agent.audio import INPUT_RATE, Samples, Speech, Word, dbfs
from agent.tts import TTSError

AUDIBLE = -50.0
"""Level in dBFS above which 10 ms count as speech: between the tones, -35 at the least, and what noise there may be."""


def tone(seconds: float) -> Samples:
    """A loud tone of 440 Hz."""
    time = np.arange(round(seconds * INPUT_RATE)) / INPUT_RATE
    return (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def syllables(seconds: float) -> Samples:
    """A tone that rises and falls by 20 dB four times a second, as speech does."""
    swing = -10 + 10 * np.cos(2 * np.pi * 4 * np.arange(round(seconds * INPUT_RATE)) / INPUT_RATE)
    spoken: Samples = (tone(seconds) * 10 ** (swing / 20)).astype(np.int16)
    return spoken


def noise(count: int, level: float, seed: int = 0) -> Samples:
    """[count] samples of white noise of a level in dBFS; equal seeds give equal noise."""
    deviation = 32768 * 10 ** (level / 20)
    drawn = np.random.default_rng(seed).normal(0, deviation, count)
    white: Samples = np.clip(drawn, -32768, 32767).astype(np.int16)
    return white


@dataclass
class LevelVAD:
    """Speech is what is loud; in windows of 10 ms, so that turns are found to the 10 ms."""

    window: int = INPUT_RATE // 100

    def __call__(self, window: Samples) -> float:
        """1 for speech, else 0."""
        return float(dbfs(window) > AUDIBLE)


@dataclass
class ToneVoice:
    """Implements `TTS`: says each word as `word_seconds` of tone, one piece per word."""

    first_audio: float = 0.0
    """Seconds until each chunk's first piece."""
    word_seconds: float = 0.25
    fail_after: int | None = None
    """Words of a chunk after which it fails."""
    name: str = "tones"
    rate: int = INPUT_RATE

    async def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the tones of a text. Raises TTSError where `fail_after` says so."""
        await asyncio.sleep(self.first_audio)
        end = 0
        for index, word in enumerate(text.split()):
            if index == self.fail_after:
                raise TTSError("scripted failure of the voice")
            end = text.index(word, end) + len(word)
            samples = tone(self.word_seconds / speed)
            yield Speech(samples, self.rate, (Word(samples.size, end),))
