"""Say it. One protocol, one file per synthesiser."""

import unicodedata
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

import numpy as np

from agent.audio import Resampler, Samples, Speech


class TTS(Protocol):
    """A voice, shared by all calls."""

    name: str
    """What the start-up line and the session object call it."""

    rate: int
    """Samples per second of its speech."""

    def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the speech of a text with the ends of its words; closing the generator stops the synthesis.

        It is `speed` times as fast as usual, as far as the voice can. Raises TTSError when the voice fails.
        """


class TTSError(RuntimeError):
    """The voice failed; the message says what and, where that is known, what to do. Costs the turn, not the call."""


async def recording(voice: TTS, text: str, rate: int) -> Samples:
    """A whole text as one piece, [n] at `rate`: what the benchmark's callers say."""
    pieces = [speech.samples async for speech in voice.synthesize(text)]
    return Resampler(voice.rate, rate)(np.concatenate(pieces), last=True)


def load(voice: str) -> TTS:
    """Load a voice: the path of a Piper voice (ending in .onnx), or else the name of an espeak voice, such as "en-us".

    Raises ValueError, which names the voice or the file, if there is none or it is broken.
    """
    match Path(voice).suffix:
        case ".onnx":
            from agent.tts.piper import PiperTTS

            return PiperTTS(Path(voice))
        case _:
            from agent.tts.espeak import EspeakTTS

            return EspeakTTS(voice)


def plain(text: str) -> str:
    """The text as a voice should read it, character for character: control characters, emoji and markup become spaces."""
    return "".join(character if _is_read(character) else " " for character in text)


def _is_read(character: str) -> bool:
    match unicodedata.category(character):
        case "Cc" | "Cs" | "Co" | "Cn":
            return character == "\n"
        case "So" | "Sk":
            return character < "\u2190"  # degree, copyright and trade mark signs come before the arrows and emoji
        case _:
            return character not in r"*_#~[]{}<>|\`"


def spoken_until(text: str, read: str, position: int) -> int | None:
    """How much of a text, in characters, is spoken when the voice comes to `position` of `read`; None inside a word.

    `read` is `plain(text)`. Markup at a word's end is counted to the word, and all that follows the last one; a position beyond
    the end is the end.
    """
    end = len(read[:position].rstrip())
    rest = read[end:].lstrip()
    if not rest:
        return len(text.rstrip())
    if not end:
        return 0
    if not read[end].isspace():
        return None
    following = len(read) - len(rest)
    return next((index for index in range(end, following) if text[index].isspace()), following)
