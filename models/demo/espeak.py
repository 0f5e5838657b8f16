"""espeak-ng as a source of training speech: samples with the times of every phone and word.

The library has one global state, so a process speaks one sentence at a time. Times are in seconds, samples are float32
in ±1 at the library's own rate.
"""

import atexit
import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

# speak_lib.h of espeak-ng 1.52
_SYNCHRONOUS, _PHONE_EVENTS, _UTF8, _WHOLE = 2, 1, 1, 0
_WORD, _PHONE, _LAST = 1, 7, 0
_RATE, _PITCH, _RANGE = 1, 3, 4

INVENTED = "invented"  # the variant that is written anew for a voice


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Voice:
    """An espeak-ng voice (`en-us+f2`), words per minute, and pitch and its range, 0 to 99.

    `invented` holds the lines of a variant that espeak-ng does not bring; the name then ends in `+invented`.
    """

    name: str
    rate: int = 175
    pitch: int = 50
    range: int = 50
    invented: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Samples at `rate`, phones as (name, start), words as (place in the text, start), in order."""

    samples: NDArray[np.float32]
    rate: int
    phones: list[tuple[str, float]]
    words: list[tuple[int, float]]


def speak(text: str, voice: Voice) -> Spoken:
    """Synthesise a sentence; raises ValueError for a voice that espeak-ng does not have."""
    library, rate = _library()
    if voice.invented:
        (_variants() / INVENTED).write_text(voice.invented)
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice.name!r}")
    for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
        library.espeak_SetParameter(parameter, value, 0)
    chunks: list[bytes] = []
    phones: list[tuple[str, float]] = []
    words: list[tuple[int, float]] = []

    def receive(wave: Any, count: int, events: Any) -> int:
        if wave and count:
            chunks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while (event := events[index]).type != _LAST:
            if event.type == _PHONE:
                phones.append((event.id.string.decode(), event.audio_position / 1000))
            elif event.type == _WORD:
                words.append((event.text_position - 1, event.audio_position / 1000))
            index += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    data = text.encode() + b"\0"
    library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
    samples = np.frombuffer(b"".join(chunks), np.int16).astype(np.float32) / np.float32(32768)
    return Spoken(samples, rate, phones, words)


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(_variants().parents[1]).encode(), _PHONE_EVENTS)
    if rate < 0:
        raise RuntimeError("espeak-ng could not be initialised")
    return library, rate


@cache
def _variants() -> Path:
    """Give the folder of variants in a copy of espeak-ng's data, to which one can be added; all else are links."""
    data, folder = Path(espeakng_loader.get_data_path()), TemporaryDirectory(prefix="parley-voices-")
    atexit.register(folder.cleanup)
    copy = Path(folder.name) / "espeak-ng-data"
    variants = copy / "voices" / "!v"
    variants.mkdir(parents=True)
    for original in (*data.iterdir(), *(data / "voices" / "!v").iterdir()):
        link = copy / original.relative_to(data)
        if not link.exists():
            link.symlink_to(original)
    return variants
