"""espeak-ng 1.52 from the espeakng-loader wheel, through ctypes: always available, hundreds of times faster than speech.

The library is one state for the whole process and not thread-safe, so one thread makes all calls to it. It calls back with
0.1 s of speech at a time together with the events that lie in it. Constants and structures are those of its speak_lib.h.
"""

import ctypes
import itertools
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np

from agent.audio import Samples, Speech, Word, onset
from agent.threads import stream
from agent.tts import TTSError, plain, spoken_until

_SYNCHRONOUS = 2
_PIECE_MS = 100
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_BY_CHARACTER = 1
_UTF8, _END_PAUSE = 0x0001, 0x1000
_RATE = 1
_USUAL, _SLOWEST = 175, 80  # words a minute
_LIST_END, _WORD, _PHONEME = 0, 1, 7
_PAUSE = b"_:"  # the phoneme of a pause: where it starts, the word before it ends
_CONTINUE, _ABORT = 0, 1
_OK = 0


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in code points, counted from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Voice(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p))


class _Utterance:
    """One text on its way out: drops the silence before it and turns events into the ends of words."""

    def __init__(self, text: str, rate: int, emit: Callable[[Speech], bool]) -> None:
        self.read = plain(text)
        self._text = text
        self._rate = rate
        self._emit = emit
        self._spoken = 0  # characters of which the end was reported
        self._samples = 0  # that the library has delivered
        self._held: Speech | None = None  # one piece waits for the next, so that the last one can end the last word

    def add(self, samples: Samples, events: list[tuple[int, int]]) -> bool:
        """Take a piece and, as (sample of the utterance, position in the text), where words end; False to stop."""
        start = self._samples
        self._samples += len(samples)
        if self._held is None:
            start += (quiet := onset(samples))
            samples = samples[quiet:]
        words = []
        for sample, position in events:
            spoken = spoken_until(self._text, self.read, position)
            if spoken is not None and spoken > self._spoken:
                self._spoken = spoken
                words.append(Word(min(max(sample - start, 0), len(samples)), spoken))
        if not len(samples):
            return True
        wanted = self._held is None or self._emit(self._held)
        self._held = Speech(samples, self._rate, tuple(words))
        return wanted

    def finish(self) -> None:
        """The library has said everything."""
        if self._held is None:
            return
        end = len(self._text.rstrip())
        last = (Word(len(self._held.samples), end),) if self._spoken < end else ()
        self._emit(replace(self._held, words=self._held.words + last))


class _Library:
    """The library, for the only thread that may call it."""

    def __init__(self) -> None:
        self._data = Path(espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self.rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, _PIECE_MS, str(self._data).encode(), _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.rate <= 0:
            raise ValueError(f"espeak-ng found no data in {self._data}")
        self._utterance: _Utterance | None = None
        self._callback = _Callback(self._called_back)  # kept, because the library holds only its address

    def check(self, voice: str) -> None:
        """Raise ValueError, with what there is, if there is no such voice."""
        _, _, variant = voice.partition("+")
        variants = {path.name for path in (self._data / "voices" / "!v").iterdir()}
        if (variant and variant not in variants) or not self._select(voice):
            raise ValueError(
                f"espeak has no voice {voice!r}; it has {', '.join(self._languages())}; "
                f"and variants, as in en-us+f3: {', '.join(sorted(variants))}"
            )

    def speak(self, voice: str, text: str, speed: float, emit: Callable[[Speech], bool]) -> None:
        """Emit the speech of a text until it ends or nobody listens."""
        utterance = self._utterance = _Utterance(text, self.rate, emit)
        if not any(character.isalnum() for character in utterance.read):
            return
        if not self._select(voice):
            raise TTSError(f"espeak-ng can no longer load the voice {voice!r}")
        self._library.espeak_SetSynthCallback(self._callback)  # who else uses the library in this process has its own
        self._library.espeak_SetParameter(_RATE, max(_SLOWEST, round(speed * _USUAL)), 0)
        within_clause = utterance.read.rstrip()[-1].isalnum()  # the rest follows, and a pause would be heard
        flags = _UTF8 if within_clause else _UTF8 | _END_PAUSE
        encoded = utterance.read.encode()
        error = self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTER, 0, flags, None, None)
        if error:
            raise TTSError(f"espeak-ng failed with error {error}")
        utterance.finish()

    def _select(self, voice: str) -> bool:
        return bool(self._library.espeak_SetVoiceByName(voice.encode()) == _OK)

    def _languages(self) -> list[str]:
        voices = itertools.takewhile(bool, self._library.espeak_ListVoices(None))
        # a voice is known by its file, such as gmw/en-US; not by its main language, which for gmw/en is en-gb
        return sorted({voice.contents.identifier.decode().rpartition("/")[2].lower() for voice in voices})

    def _called_back(self, samples: Any, count: int, events: Any) -> int:
        """Called by espeak_Synth on the same thread; `samples` is null at the end, `events` ends with an empty one."""
        if not samples or self._utterance is None:
            return _CONTINUE
        piece = np.ctypeslib.as_array(samples, (count,)).copy()
        ends = [
            (event.sample, event.text_position - 1)
            for event in itertools.takewhile(lambda event: event.type != _LIST_END, events)
            if event.type == _WORD or (event.type == _PHONEME and event.id.string.startswith(_PAUSE))
        ]
        return _CONTINUE if self._utterance.add(piece, ends) else _ABORT


_thread = ThreadPoolExecutor(1, thread_name_prefix="espeak")


@cache
def _library() -> _Library:
    return _thread.submit(_Library).result()


class EspeakTTS:
    """One of espeak's voices. All of them share the process's only thread for espeak."""

    def __init__(self, voice: str) -> None:
        """`voice` is a language and perhaps a variant: "en-us", "en-gb-x-rp+f3". Raises ValueError if there is none."""
        _thread.submit(_library().check, voice).result()
        self.name = voice
        self.rate = _library().rate

    def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the speech of a text in pieces of 0.1 s, from its first audible sample; nothing if it has no letter or digit.

        A word ends where the next one or a pause begins; numbers are one word. Punctuation at the end gets its pause.
        Its slowest is 0.46 times as fast as usual.
        """
        return stream(_thread, partial(_library().speak, self.name, text, speed))
