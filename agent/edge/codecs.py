"""The codecs of a call (RFC 3551, RFC 7587): packets → 16 kHz mono, and frames of 48 kHz mono → packets. All in the loop, no threads.

Opus is libopus's own where that can be loaded (`opus.py`); G.711 and G.722, and Opus where it cannot, are FFmpeg's through PyAV.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np

from agent.audio import INPUT_RATE, Resampler, Samples
from agent.edge import opus
from agent.edge.opus import OpusDecoder, OpusEncoder, OpusError
from agent.edge.speaker import OUTPUT_RATE

BIT_RATE = 32_000
"""Bits per second of Opus: full-band mono speech without audible loss (RFC 7587, section 3.1.1, gives 28 to 40 kb/s)."""

PAUSE_BYTES = 2
"""Longest Opus packet that holds no audio and says that silence follows (RFC 7587, section 3.1.3; RFC 6716, section 3.1)."""

CodecError = (OpusError, av.FFmpegError)
"""What a broken packet raises."""


class Decoder(Protocol):
    """One stream's packets as 16 kHz mono."""

    @property
    def delay(self) -> float:
        """Seconds by which encoding delays the signal against the timestamps."""

    def decode(self, payload: bytes) -> Samples:
        """One packet as [n] samples, as long as the packet lasts. Raises CodecError."""

    def recover(self, payload: bytes, count: int) -> Samples | None:
        """The `count` samples before a packet from the copy inside it; None when it has none."""

    def conceal(self, count: int) -> Samples:
        """[count] samples in the place of lost ones, fading out."""


class Encoder(Protocol):
    """Frames of 20 ms as packets."""

    def encode(self, samples: Samples) -> bytes:
        """[960] samples at 48 kHz as one packet."""

    def expect_loss(self, share: float) -> None:
        """Protect the packets to come against that share of losses, where the codec can."""

    def hurry(self, on: bool) -> None:
        """Take less processor time, at some cost in quality, where the codec can."""


@dataclass(frozen=True)
class Codec:
    """What a payload type means."""

    name: str
    """FFmpeg's name."""
    rate: int
    """Samples per second that FFmpeg's codec takes and gives."""
    clock: int
    """Ticks per second of the RTP timestamps."""
    delay: float = 0.0
    """Seconds by which encoding delays the signal against the timestamps."""

    def decoder(self) -> Decoder:
        """A fresh decoder of one stream."""
        return OpusDecoder() if self is OPUS and opus.library else FFmpegDecoder(self)

    def encoder(self) -> Encoder:
        """A fresh encoder of one stream."""
        return OpusEncoder(BIT_RATE) if self is OPUS and opus.library else FFmpegEncoder(self)


OPUS = Codec("libopus", 48_000, 48_000, OpusDecoder.delay)
BY_NAME = {
    "audio/opus": OPUS,
    "audio/pcmu": Codec("pcm_mulaw", 8_000, 8_000),
    "audio/pcma": Codec("pcm_alaw", 8_000, 8_000),
    "audio/g722": Codec("g722", 16_000, 8_000),  # its clock is 8 kHz for historical reasons
}
"""By MIME type in lower case; a telephone's caller may want any of them."""

_STATIC = {0: BY_NAME["audio/pcmu"], 8: BY_NAME["audio/pcma"], 9: BY_NAME["audio/g722"]}


def by_payload_type(number: int) -> Codec:
    """RFC 3551, table 4; every dynamic type is Opus, because nothing else is negotiated."""
    return _STATIC.get(number, OPUS)


class FFmpegDecoder:
    """A codec of FFmpeg's; it has no error correction, and its concealment repeats the last packet ever more quietly."""

    def __init__(self, codec: Codec) -> None:
        self.delay = codec.delay
        decoder = av.CodecContext.create(codec.name, "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", codec.rate
        self._rate = codec.rate
        self._decoder = decoder
        self._resample = Resampler(codec.rate, INPUT_RATE)
        self._last: Samples = np.zeros(0, np.int16)

    def decode(self, payload: bytes) -> Samples:
        """One packet as [n] samples. Raises av.FFmpegError."""
        parts = [part.to_ndarray()[0] for part in self._decoder.decode(av.Packet(payload))]
        decoded = np.concatenate([np.zeros(0, np.int16), *parts])
        samples = self._resample(decoded)
        # The resampler holds 1 ms back for good. Silence in its place keeps frames aligned with packets; otherwise the end of each
        # frame would wait for the next packet.
        if not self._last.size:
            held = decoded.size * INPUT_RATE // self._rate - samples.size
            samples = np.concatenate([np.zeros(held, np.int16), samples])
        self._last = samples
        return samples

    def recover(self, payload: bytes, count: int) -> Samples | None:  # noqa: ARG002  the codecs have no such copy
        """None."""
        return None

    def conceal(self, count: int) -> Samples:
        """[count] samples."""
        self._last = self._last // 2
        return np.resize(self._last, count) if self._last.size else np.zeros(count, np.int16)


class FFmpegEncoder:
    """A codec of FFmpeg's."""

    def __init__(self, codec: Codec) -> None:
        encoder = av.CodecContext.create(codec.name, "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", codec.rate
        encoder.time_base = Fraction(1, codec.rate)
        if codec is OPUS:
            encoder.bit_rate = BIT_RATE
            encoder.options = {"application": "lowdelay"}
        self._encoder = encoder
        self._resample = Resampler(OUTPUT_RATE, codec.rate)
        self._rest: Samples = np.zeros(0, np.int16)

    def encode(self, samples: Samples) -> bytes:
        """[960] samples at 48 kHz as one packet."""
        length = samples.size * self._encoder.sample_rate // OUTPUT_RATE
        joined = np.concatenate([self._rest, self._resample(samples)])
        # The resampler holds 1 to 2 ms back for good: silence in its place, once.
        joined = np.concatenate([np.zeros(max(0, length - joined.size), np.int16), joined])
        resampled, self._rest = joined[:length], joined[length:]
        frame = av.AudioFrame.from_ndarray(resampled.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._encoder.sample_rate
        return b"".join(map(bytes, self._encoder.encode(frame)))

    def expect_loss(self, share: float) -> None:
        """Nothing can be done."""

    def hurry(self, on: bool) -> None:
        """Nothing is to be gained."""
