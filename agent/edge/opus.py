"""Opus (RFC 6716) by libopus through ctypes: what PyAV's codec cannot do.

Decodes straight to the call's 16 kHz mono, conceals what is lost, and reads the copy of the frame before that a packet may carry
(in-band forward error correction). Encodes mono with error correction and bit rate set while it runs. The library is the one inside
PyAV's wheel, else the system's, 1.5 or newer; `library` is None where there is neither.
"""

import ctypes
import ctypes.util
import logging
from pathlib import Path

import av
import numpy as np

from agent.audio import INPUT_RATE, Samples

LONGEST = INPUT_RATE * 120 // 1000
"""Samples of the longest packet (RFC 6716, section 2.1.4: 120 ms)."""

MAX_BYTES = 1275
"""Longest packet of one frame (RFC 6716, section 3.4)."""

VOIP, LOW_DELAY = 2048, 2051
"""opus_defines.h: speech, with 6.5 ms of look-ahead and error correction; low delay, with 2.5 ms and a third of the processor time."""

_SET_BIT_RATE, _SET_COMPLEXITY, _SET_FEC, _SET_LOSS = 4002, 4010, 4012, 4014

COMPLEXITY = 5
"""Of 0 to 10: 35 µs for 20 ms with low delay and 110 to 140 µs in speech mode, against 52 and 187 µs at 9 (libopus 1.6.1)."""

HURRIED_COMPLEXITY = 0
"""Half of that time with low delay, a third of it in speech mode: 19 and 51 µs where it takes 38 and 158 at 5."""

FEC_LOSS = 10
"""Per cent of expected loss from which libopus 1.6.1 spends bits on error correction at 24 to 32 kb/s; at 5 it does not."""

logger = logging.getLogger(__name__)


class OpusError(ValueError):
    """A packet that is no Opus."""


def _load() -> ctypes.CDLL | None:
    """The first library that loads."""
    wheel = Path(av.__file__).parent
    found = [*wheel.parent.glob("av.libs/*opus*"), *wheel.glob(".dylibs/*opus*")]
    for name in [*map(str, sorted(found)), ctypes.util.find_library("opus")]:
        if not name:
            continue
        try:
            library = ctypes.CDLL(name)
            library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
        except (OSError, AttributeError) as error:
            logger.info("%s cannot be used: %s", name, error)
            continue
        library.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]  # and one more, variadic
        return library
    return None


library = _load()


class OpusDecoder:
    """One stream's packets as 16 kHz mono. Needs `library`."""

    delay = 0.0065
    """Seconds by which encoding delays the signal against the timestamps: 312 samples at 48 kHz (RFC 7845, section 4.2)."""

    def __init__(self) -> None:
        assert library is not None
        self._opus = library
        self._state = ctypes.create_string_buffer(library.opus_decoder_get_size(1))
        self._pcm: Samples = np.zeros(LONGEST, np.int16)
        self._address = ctypes.c_void_p(self._pcm.ctypes.data)
        library.opus_decoder_init(self._state, INPUT_RATE, 1)

    def decode(self, payload: bytes) -> Samples:
        """One packet as [n] samples. Raises OpusError."""
        return self._decode(payload, LONGEST, fec=0)

    def recover(self, payload: bytes, count: int) -> Samples | None:
        """The `count` samples before a packet from the copy inside it; None when it has none. Called before `decode`."""
        if not self._opus.opus_packet_has_lbrr(payload, len(payload)) > 0:
            return None
        return self._decode(payload, count, fec=1)

    def conceal(self, count: int) -> Samples:
        """[count] samples that go on from what was decoded last, and fade out."""
        return self._decode(None, count, fec=0)

    def _decode(self, payload: bytes | None, count: int, fec: int) -> Samples:
        size = len(payload) if payload else 0
        decoded = self._opus.opus_decode(self._state, payload, size, self._address, count, fec)
        if decoded < 0:
            raise OpusError(f"libopus error {decoded}")
        return self._pcm[:decoded].copy()


class OpusEncoder:
    """Mono at 48 kHz as packets of 20 ms. Needs `library`."""

    def __init__(self, bit_rate: int) -> None:
        """`bit_rate` is in bits per second."""
        assert library is not None
        self._opus = library
        self._bit_rate = bit_rate
        self._state = ctypes.create_string_buffer(library.opus_encoder_get_size(1))
        self._packet = ctypes.create_string_buffer(MAX_BYTES)
        self._loss = 0
        self._complexity = COMPLEXITY
        self._start(LOW_DELAY)

    def encode(self, samples: Samples) -> bytes:
        """[960] samples as one packet."""
        contiguous = np.ascontiguousarray(samples)
        pointer = ctypes.c_void_p(contiguous.ctypes.data)
        size = self._opus.opus_encode(self._state, pointer, contiguous.size, self._packet, MAX_BYTES)
        if size < 0:
            raise OpusError(f"libopus error {size}")
        return self._packet.raw[:size]

    def expect_loss(self, share: float) -> None:
        """The share of packets that the listener reports as lost. Once it is not 0, each packet carries a copy of the one before."""
        percent = max(FEC_LOSS, round(100 * share)) if share > 0 else self._loss
        if percent and not self._loss:
            self._start(VOIP)
        if percent != self._loss:
            self._loss = percent
            self._set(_SET_LOSS, percent)

    def hurry(self, on: bool) -> None:
        """Encode more simply, or as well as ever again, from the next packet on."""
        self._complexity = HURRIED_COMPLEXITY if on else COMPLEXITY
        self._set(_SET_COMPLEXITY, self._complexity)

    def _start(self, application: int) -> None:
        self._opus.opus_encoder_init(self._state, 48_000, 1, application)
        for control, value in (
            (_SET_BIT_RATE, self._bit_rate),
            (_SET_COMPLEXITY, self._complexity),
            (_SET_FEC, int(application == VOIP)),
        ):
            self._set(control, value)

    def _set(self, control: int, value: int) -> None:
        status = self._opus.opus_encoder_ctl(self._state, control, ctypes.c_int(value))
        assert status == 0, f"libopus refuses control {control}"
