from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from models.inputs import InputError, check_messages, expand, read_wav, waveform, window_lengths


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "audio is empty"),
        ([], "audio is empty"),
        (np.array([0.0, np.nan], np.float32), "NaN or infinite"),
        (np.array([0.0, np.inf], np.float32), "NaN or infinite"),
        (np.array([0.0, -1.5], np.float32), "reaches 1.5, which would clip"),
        (np.array([0.0, 12000.0], np.float32), "reaches 1.2e.04, which would clip"),
        (np.zeros((400, 2), np.float32), r"shape \(400, 2\): one channel"),
        (np.zeros((), np.float32), r"shape \(\): one channel"),
        (np.zeros(400, np.int32), "type int32: float32 in -1 to 1, or int16"),
        (np.zeros(400, np.uint8), "type uint8"),
        (np.zeros(400, bool), "type bool"),
        (np.zeros(16000 * 600 + 1, np.int16), "at most 600 s"),
    ],
)
def test_bad_audio(audio: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        waveform(audio)


def test_another_rate() -> None:
    with pytest.raises(InputError, match="audio at 44100 Hz: resample it to 16000 Hz"):
        waveform(np.zeros(400, np.float32), 44100)


def test_good_audio() -> None:
    assert waveform(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]
    assert waveform(np.array([-1.0, 1.0])).dtype == torch.float32
    assert waveform(torch.tensor([0.25])).tolist() == [0.25]


def test_the_callers_audio_is_not_shared() -> None:
    samples = np.zeros(10, np.float32)
    waveform(samples).add_(1)
    assert not samples.any()


def test_wav_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.array([0.5, -0.25, 0.0], np.float32)
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        soundfile.write(path, samples, 16000, subtype)
        torch.testing.assert_close(read_wav(path), torch.from_numpy(samples), atol=1e-4, rtol=0)
    soundfile.write(path, samples, 8000)
    with pytest.raises(InputError, match=r"a\.wav: audio at 8000 Hz"):
        read_wav(path)
    soundfile.write(path, np.zeros((5, 2)), 16000)
    with pytest.raises(InputError, match=r"a\.wav: audio of shape \(5, 2\)"):
        read_wav(path)
    path.write_text("not audio")
    with pytest.raises(InputError, match=r"a\.wav: not a sound file"):
        read_wav(path)
    with pytest.raises(InputError, match=r"b\.wav: no such file"):
        read_wav(tmp_path / "b.wav")


def test_windows() -> None:
    assert window_lengths(100, 3000) == [100]
    assert window_lengths(3000, 3000) == [3000]
    assert window_lengths(6001, 3000) == [3000, 3000, 1]


def test_expanding_tokenizes_each_part_alone() -> None:
    ids, starts = expand("ab<|audio|>c<|audio|>", [[2], [1, 3]], lambda text: [ord(letter) for letter in text], 0)
    assert ids == [97, 98, 0, 0, 99, 0, 0, 0, 0]
    assert starts == [2, 5, 6]


USER, ASSISTANT, SYSTEM = ({"role": role, "content": "x"} for role in ("user", "assistant", "system"))
TOOL = {"role": "tool", "content": "{}"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{}]}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "there are no messages"),
        ([USER, SYSTEM, USER], "message 1 is from the system, which may only come first"),
        ([USER, ASSISTANT], "the last message is from the assistant: there is nothing to answer"),
        ([SYSTEM], "the last message is from the system"),
        ([SYSTEM, TOOL], "message 1 is a tool's result, but nobody"),
        ([{"role": "robot", "content": "x"}], "message 0 has role 'robot'"),
        ([{"content": "x"}], "message 0 has role None"),
        ([{"role": "user"}], "message 0 has content of type NoneType"),
        ([{"role": "user", "content": ["x"]}], "message 0 has content of type list"),
    ],
)
def test_bad_messages(messages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_messages(messages)


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [SYSTEM, USER, USER],
        [ASSISTANT, USER],
        [USER, CALL, TOOL, TOOL],
    ],
)
def test_good_messages(messages: list[dict[str, Any]]) -> None:
    check_messages(messages)
