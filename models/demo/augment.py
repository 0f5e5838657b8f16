"""Clean speech made to sound like a call: rooms, noises, microphones, levels, codecs, and silence around it.

Samples are float32 in ±1 at 16 kHz, mono, of any length; every function gives as many samples as it takes, but `pad`.
"""

from dataclasses import dataclass
from typing import Any, Literal, assert_never

import av
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from models.features import RATE

Samples = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Channel:
    """How likely each disturbance is; `snr` bounds the noise's level below the speech in dB, `sound` says what noise."""

    room: float = 0.35
    noise: float = 0.55
    snr: tuple[float, float] = (6.0, 35.0)
    microphone: float = 0.5
    g711: float = 0.12
    opus: float = 0.25
    bitrates: tuple[int, ...] = (16_000, 24_000, 32_000, 64_000)  # of Opus, per second
    clip: float = 0.04
    level: tuple[float, float] = (-32.0, -1.0)  # peak, dB below full scale
    sound: Literal["any", "babble", "pink"] = "any"


CLEAN = Channel(room=0, noise=0, microphone=0, g711=0, opus=0, clip=0, level=(-12.0, -2.0))


def disturb(samples: Samples, channel: Channel, babble: Samples | None, rng: Rng) -> Samples:
    """Send speech through a random channel. `babble` is other speech, of any length, to mix under it."""
    out = samples
    if rng.random() < channel.room:
        out = room(out, rng)
    if rng.random() < channel.noise:
        out = add_noise(out, _noise(channel, len(out), babble, rng), rng.uniform(*channel.snr))
    if rng.random() < channel.microphone:
        out = microphone(out, rng)
    out = level(out, rng.uniform(*channel.level))
    if rng.random() < channel.clip:
        out = np.clip(out * rng.uniform(2, 6), -0.9, 0.9)
    if rng.random() < 0.8:
        out = out + rng.standard_normal(len(out), np.float32) * np.float32(10 ** rng.uniform(-4.5, -2.7))
    codec = rng.random()
    if codec < channel.g711:
        out = g711(out)
    elif codec < channel.g711 + channel.opus:
        out = opus(out, int(rng.choice(channel.bitrates)))
    return _float32(np.clip(out, -1, 1))


def pad(samples: Samples, lead: float, tail: float) -> Samples:
    """Put silence before and after, in seconds."""
    return np.pad(samples, (round(lead * RATE), round(tail * RATE)))


def level(samples: Samples, peak: float) -> Samples:
    """Scale to a peak, in dB relative to full scale."""
    return _float32(samples * (10 ** (peak / 20) / max(float(np.abs(samples).max()), 1e-4)))


def room(samples: Samples, rng: Rng) -> Samples:
    """Add the echo of a room: noise that decays by 60 dB in 0.1 to 0.6 s, some of it early reflections."""
    length = rng.uniform(0.1, 0.6)
    count = int(length * RATE)
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    tail *= rng.random(count) < np.linspace(0.02, 1, count)  # sparse at first, dense later
    tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    return _float32(fftconvolve(samples, tail)[: len(samples)])


def microphone(samples: Samples, rng: Rng) -> Samples:
    """Filter with a random smooth response, up to 8 dB either way, with random band limits."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    points = np.geomspace(60, 8000, 8)
    response = np.interp(np.log(np.maximum(hertz, 60)), np.log(points), rng.uniform(-8, 8, 8))
    low, high = rng.uniform(20, 300), rng.uniform(3400, 9000)
    octaves = np.log2(np.maximum(hertz, 1))
    response -= 24 * (np.clip(np.log2(low) - octaves, 0, 2) + np.clip(octaves - np.log2(high), 0, 2))
    return _float32(np.fft.irfft(spectrum * 10 ** (response / 20), len(samples)))


def _noise(channel: Channel, count: int, babble: Samples | None, rng: Rng) -> Samples:
    match channel.sound:
        case "any":
            return noise(count, babble, rng)
        case "babble":
            assert babble is not None
            return talk(count, babble, rng)
        case "pink":
            return coloured(count, 0.5, rng)
        case other:
            assert_never(other)


def noise(count: int, babble: Samples | None, rng: Rng) -> Samples:
    """Draw noise: coloured (white to brown), mains hum, or other people talking."""
    kind = rng.random()
    if babble is not None and len(babble) and kind < 0.3:
        return talk(count, babble, rng)
    if kind < 0.4:
        time = np.arange(count) / RATE
        tones = [rng.random() * np.sin(2 * np.pi * f * time) for f in rng.uniform(50, 150) * np.arange(1, 6)]
        return _float32(np.sum(tones, axis=0))
    return coloured(count, rng.uniform(0, 1.0), rng)


def talk(count: int, babble: Samples, rng: Rng) -> Samples:
    """Cut so many samples out of other speech, which goes round."""
    return np.resize(np.roll(babble, int(rng.integers(len(babble)))), count)


def coloured(count: int, slope: float, rng: Rng) -> Samples:
    """Draw noise whose amplitude falls with the frequency to the power of `slope`: 0 is white, 0.5 pink, 1 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    colour = np.maximum(np.arange(len(spectrum)), 1.0) ** -slope
    return _float32(np.fft.irfft(spectrum * colour, count))


def add_noise(samples: Samples, added: Samples, snr: float) -> Samples:
    """Mix noise `snr` dB below the speech, both measured as mean power."""
    power = float(np.square(samples).mean()) / max(float(np.square(added).mean()), 1e-10)
    return _float32(samples + added * np.sqrt(power * 10 ** (-snr / 10)))


def g711(samples: Samples) -> Samples:
    """Limit to the telephone band and quantise by the mu-law of ITU-T G.711."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < 200) | (hertz > 3700)] = 0
    x = np.clip(np.fft.irfft(spectrum, len(samples)), -1, 1)
    coded = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127) / 127
    return _float32(np.sign(coded) * (256 ** np.abs(coded) - 1) / 255)


def opus(samples: Samples, bitrate: int) -> Samples:
    """Encode and decode with libopus at so many bits per second; the codec's delay is taken out."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE, "mono", "s16", bitrate
    encoder.options = {"application": "voip", "compression_level": "3"}
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    count = len(samples)
    whole = np.pad(samples, (0, 640 - count % 320))
    pcm = (np.clip(whole, -1, 1) * 32767).astype(np.int16)
    out = []
    for start in range(0, len(pcm), 320):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + 320], "s16", "mono")
        frame.sample_rate, frame.pts = RATE, start
        for packet in encoder.encode(frame):
            out += [decoded.to_ndarray() for decoded in decoder.decode(packet)]
    decoded = soxr.resample(np.concatenate(out, axis=1)[0].astype(np.float32) / 32768, 48_000, RATE, "MQ")
    late = 104  # samples: 6.5 ms of look-ahead
    return _float32(np.pad(decoded, (0, late))[late : late + count])


def _float32(values: NDArray[np.floating[Any]]) -> Samples:
    return values.astype(np.float32)
