"""Reading any WAV: rates, channels, sample formats, and files that are none."""

import numpy as np
import pytest
import soundfile

from agent import wav
from agent.audio import dbfs


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.25 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_becomes_the_one_that_is_wanted(tmp_path, rate, channels):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(rate)] * channels, axis=1), rate, subtype="PCM_16")
    samples = wav.read(tmp_path / "a.wav", 48_000)
    assert samples.dtype == np.int16
    assert samples.size == pytest.approx(24_000, abs=2)
    reference = np.rint(32768 * tone(48_000)).astype(int)
    assert np.abs(samples[2400:21_600] - reference[2400:21_600]).max() < 100


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_any_sample_format_is_read(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000, subtype=subtype)
    assert dbfs(wav.read(tmp_path / "a.wav", 16_000)) == pytest.approx(-15.05, abs=0.3)


def test_channels_are_averaged(tmp_path):
    loud = tone(16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([loud, -loud], axis=1), 16_000, subtype="FLOAT")
    assert dbfs(wav.read(tmp_path / "a.wav", 16_000)) < -80


def test_floats_beyond_full_scale_are_clipped_and_no_numbers_are_silence(tmp_path):
    values = np.array([0.0, 2.0, -2.0, np.inf, -np.inf, np.nan] * 100)
    soundfile.write(tmp_path / "a.wav", values, 16_000, subtype="FLOAT")
    assert wav.read(tmp_path / "a.wav", 16_000)[:6].tolist() == [0, 32767, -32768, 32767, -32768, 0]


def test_what_was_written_is_read(tmp_path):
    samples = np.arange(-1000, 1000, dtype=np.int16)
    wav.write(tmp_path / "a.wav", samples, 16_000)
    assert np.array_equal(wav.read(tmp_path / "a.wav", 16_000), samples)


def make_missing(path):
    pass


def make_folder(path):
    path.mkdir()


def make_text(path):
    path.write_text("This is not sound.\n" * 100)


def make_nothing(path):
    path.touch()


def make_header_only(path):
    soundfile.write(path, np.zeros(0), 16_000)


def make_cut_off(path):
    soundfile.write(path, tone(16_000), 16_000)
    path.write_bytes(path.read_bytes()[:30])


def make_low_rate(path):
    soundfile.write(path, tone(4_000), 4_000)


def make_long(path):
    soundfile.write(path, np.zeros(8_000 * 601, np.int16), 8_000)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_missing, "no such file"),
        (make_folder, "no such file"),
        (make_text, "not a WAV"),
        (make_nothing, "not a WAV"),
        (make_header_only, "no samples"),
        (make_cut_off, "a.wav: "),
        (make_low_rate, "4000 Hz"),
        (make_long, "longer than 600 s"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(wav.WAVError, match=reason) as raised:
        wav.read(path, 48_000)
    assert str(path) in str(raised.value)
