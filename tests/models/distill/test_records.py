from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("soxr", reason="the extra 'train' is not installed")

from models.distill.records import BadSampleError, parse_line, read_audio, to_record


def test_a_line_is_read_with_its_texts_stripped(tmp_path: Path) -> None:
    row = parse_line('{"audio": "a.wav", "transcript": " hello ", "speaker": 7, "language": null}')
    record = to_record(row, "m:1", tmp_path)
    assert (record.name, record.audio, record.transcript) == ("m:1", tmp_path / "a.wav", "hello")
    assert (record.continuation, record.language) == ("", "")


def test_a_line_may_tell_what_was_said_before(tmp_path: Path) -> None:
    line = """{"audio": "a.wav", "transcript": "and now", "answer": " yes ", "tools": [{"name": "f"}], "messages": [
        {"role": "system", "content": "Listen."},
        {"role": "user", "content": "Now: <|audio|>", "audio": "b.wav", "transcript": "hello"},
        {"role": "user", "audio": "c.wav", "transcript": "there"}]}""".replace("\n", "")
    record = to_record(parse_line(line), "m:1", tmp_path)
    assert (record.answer, record.unfinished, record.tools) == (" yes ", False, ({"name": "f"},))
    assert [each.audio for each in record.earlier] == [None, tmp_path / "b.wav", tmp_path / "c.wav"]
    assert [each.message["content"] for each in record.earlier] == ["Listen.", "Now: <|audio|>", "<|audio|>"]
    assert [each.read["content"] for each in record.earlier] == ["Listen.", "Now: hello", "there"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "a.wav"', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"transcript": "hello"}', "no audio is named"),
        ('{"audio": 3, "transcript": "hello"}', "no audio is named"),
        ('{"audio": "a.wav", "transcript": 5}', "transcript is not text: 5"),
        ('{"audio": "a.wav", "messages": ["hello"]}', "messages and tools are lists of objects"),
        ('{"audio": "a.wav", "tools": {"name": "f"}}', "messages and tools are lists of objects"),
        ('{"audio": "a.wav", "unfinished": 1}', "unfinished is neither true nor false: 1"),
        ('{"audio": "a.wav", "messages": [{"role": "user", "audio": "b.wav"}]}', "needs a transcript"),
        (
            '{"audio": "a.wav", "messages": [{"role": "user", "audio": "b.wav", "transcript": "x", "content": "y"}]}',
            "its place once",
        ),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line: str, message: str) -> None:
    with pytest.raises(BadSampleError, match=message):
        to_record(parse_line(line), "m:1", Path())


def test_bytes_of_a_data_set_are_a_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    samples = np.sin(np.arange(4000) / 9) * 0.5
    soundfile.write(path, samples, 16000)
    record = to_record({"audio": {"bytes": path.read_bytes(), "path": None}, "transcript": "x"}, "set:0", tmp_path)
    assert isinstance(record.audio, bytes)
    assert read_audio(record.audio, 16).numpy() == pytest.approx(samples, abs=1e-4)


def test_any_rate_and_channels_become_16_khz_mono(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000) * 0.5
    soundfile.write(tmp_path / "a.wav", np.stack([tone, np.zeros_like(tone)], 1), 48000)
    samples = read_audio(tmp_path / "a.wav", 16).numpy()
    assert len(samples) == 16000
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 0.25
    assert samples[1000:15000] == pytest.approx(expected[1000:15000], abs=0.01)


def test_bad_sound_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(16000 * 3), 16000)
    soundfile.write(tmp_path / "nan.wav", np.full(3000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    (tmp_path / "text.wav").write_text("no sound")
    for name, message in {
        "none.wav": "no such file",
        "long.wav": r"audio over the limit: 3\.0 s; at most 2 s are taken",
        "nan.wav": "NaN",
        "empty.wav": "audio is empty",
        "text.wav": "not a sound file that can be read",
    }.items():
        with pytest.raises(BadSampleError, match=message):
            read_audio(tmp_path / name, 2)
