"""Detectors on synthesised speech and on sounds that are none."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from agent import tts, vad
from agent.audio import INPUT_RATE, Resampler, Samples
from agent.vad import VAD
from agent.vad.silero import open_session


@pytest.fixture(scope="module", params=["silero", "webrtc"])
def make(request: pytest.FixtureRequest) -> Callable[[], VAD]:
    return vad.load(request.param)


async def speech(voice: str = "en-us") -> Samples:
    """About 3 s of continuous speech at 16 kHz."""
    synthesiser = tts.load(voice)
    text = "once upon a time there was a little fox who lived all alone in a wood near the river"
    pieces = [piece.samples async for piece in synthesiser.synthesize(text)]
    return Resampler(synthesiser.rate, INPUT_RATE)(np.concatenate(pieces), last=True)


def noise(seconds: float, amplitude: float) -> Samples:
    return np.random.default_rng(1).normal(0, amplitude, round(seconds * INPUT_RATE)).astype(np.int16)


def probabilities(detector: VAD, samples: Samples) -> list[float]:
    whole = len(samples) // detector.window * detector.window
    return [detector(window) for window in samples[:whole].reshape(-1, detector.window)]


async def test_speech_is_probable_and_silence_is_not(make: Callable[[], VAD]) -> None:
    detector = make()
    silence = np.zeros(INPUT_RATE, np.int16)
    before, during = probabilities(detector, silence), probabilities(detector, await speech())
    after = probabilities(detector, np.zeros(2 * INPUT_RATE, np.int16))
    assert max(before) < 0.3
    assert np.mean(np.array(during) > 0.5) > 0.9
    assert max(after[len(after) // 2 :]) < 0.3
    assert all(0 <= probability <= 1 for probability in before + during + after)


async def test_other_voices_are_speech_to_silero() -> None:
    make = vad.load("silero")
    for voice in ("en-gb-x-rp+f3", "en-us+m3"):
        assert np.mean(np.array(probabilities(make(), await speech(voice))) > 0.5) > 0.8


def test_noise_and_tones_are_no_speech_to_silero() -> None:
    make = vad.load("silero")
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(2 * INPUT_RATE) / INPUT_RATE)).astype(np.int16)
    for sound in (tone, noise(2, 30), noise(2, 3000)):
        assert np.mean(np.array(probabilities(make(), sound)) > 0.5) < 0.1


async def test_streams_do_not_share_state(make: Callable[[], VAD]) -> None:
    sound = await speech()
    expected = probabilities(make(), sound)
    first, second = make(), make()
    probabilities(first, noise(0.5, 3000))
    assert probabilities(second, sound) == expected


async def test_silero_hears_the_end_of_the_window_before() -> None:
    """The model's contract, written out: 64 samples of context before each 512, the state handed on."""
    sound = (await speech())[: 50 * 512]
    session, state = open_session(), np.zeros((2, 1, 128), np.float32)
    padded = np.concatenate([np.zeros(64), sound / 32768]).astype(np.float32)
    expected = []
    for start in range(0, len(sound), 512):
        inputs = {"input": padded[None, start : start + 576], "state": state, "sr": np.array(16_000, np.int64)}
        probability, state = session.run(None, inputs)
        expected.append(float(probability[0, 0]))
    assert probabilities(vad.load("silero")(), sound) == pytest.approx(expected, abs=1e-5)


def test_webrtc_gives_the_share_of_the_last_three_windows() -> None:
    detector = vad.load("webrtc")()
    loud = noise(1, 8000)
    values = set(probabilities(detector, loud)) | set(probabilities(detector, np.zeros(INPUT_RATE, np.int16)))
    assert values <= {0, 1 / 3, 2 / 3, 1}


def test_an_unknown_detector_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'energy'.*silero.*webrtc"):
        vad.load("energy")


def test_silero_is_loaded_without_its_package_and_torch() -> None:
    code = "import sys; from agent import vad; vad.load('silero')(); print({'torch', 'silero_vad'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
    assert out.stderr == ""
