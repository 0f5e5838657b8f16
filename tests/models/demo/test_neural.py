"""Neural voices in the recipe: packages and files as they are published, with networks of a few operators in them."""
# ruff: noqa: RUF001 - phones are no letters

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from models.demo import neural, takes
from models.demo.speech import blend, by_network, by_people, speakers
from models.demo.utterances import Utterance
from models.demo.voices import HELD_OUT, TRAINED, Cast
from tests.piper_voice import make_voice

FRAME, FRAMES = 600, 4  # samples of a frame, frames of a phone at speed 1
SENTENCE = Utterance("sum", "what is three plus four", (3, 4))
JAPANESE = [name for name in TRAINED.kokoro if name.startswith("j")]
PHONES = "abdefhijklmnoprstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒθˈˌAIOQTWYʤʧ ,.?!"


def make_kokoro(path: Path) -> None:
    """Write a network with Kokoro's inputs and output, in which every phone lasts four frames and is as loud as its style."""
    constants = {
        "frames": np.array(FRAMES + 0.2, np.float32),
        "flat": np.array([-1], np.int64),
        "frame": np.array([FRAME], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["tokens", "flat"], ["ids"]),
        helper.make_node("Div", ["frames", "speed"], ["slow"]),
        helper.make_node("Shape", ["ids"], ["shape"]),
        helper.make_node("Expand", ["slow", "shape"], ["each"]),
        helper.make_node("Round", ["each"], ["rounded"]),
        helper.make_node("ReduceSum", ["rounded"], ["all"], keepdims=0),
        helper.make_node("Cast", ["all"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "frame"], ["samples"]),
        helper.make_node("ReduceMean", ["style"], ["loudness"], keepdims=0),
        helper.make_node("Expand", ["loudness", "samples"], ["audio"]),
    ]
    graph = helper.make_graph(
        nodes,
        "kokoro",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "length"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make both packages in a folder that Python looks into; the network of one is in four parts."""
    joe, kokoro = tmp_path / neural.JOE / "data", tmp_path / neural.KOKORO / "data"
    for folder in (joe, kokoro):
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
    make_voice(joe / "en_US-joe-medium.onnx", alignments=False)
    (kokoro / "vocab.json").write_text(json.dumps({"vocab": {phone: 1 + at for at, phone in enumerate(PHONES)}}))
    trained = zip(TRAINED.kokoro, np.linspace(0.1, 0.4, len(TRAINED.kokoro)), strict=True)
    vectors = {name: np.full((510, 1, 256), value, np.float32) for name, value in trained}
    vectors |= {name: np.full((510, 1, 256), 0.5, np.float32) for name in HELD_OUT.kokoro}
    np.savez(kokoro / "voices_ja.npz", **{name: vector for name, vector in vectors.items() if name.startswith("j")})
    monkeypatch.setattr(neural, "VOICES", tmp_path / "voices")
    neural.VOICES.mkdir()
    for name, vector in vectors.items():
        if not name.startswith("j"):
            vector.tofile(neural.VOICES / f"{name}.bin")
    whole = tmp_path / "whole.onnx"
    make_kokoro(whole)
    for part, piece in enumerate(np.array_split(np.frombuffer(whole.read_bytes(), np.uint8), neural.KOKORO_PARTS)):
        folder = tmp_path / f"{neural.KOKORO}_model_{part + 1}"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "part.bin").write_bytes(piece.tobytes())
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield
    forget()


def forget() -> None:
    """Let go of the voices and of their packages, so that neither these nor others stand for them later."""
    neural._joe.cache_clear()
    neural._kokoro.cache_clear()
    for name in [name for name in sys.modules if name.startswith(neural.PACKAGES)]:
        del sys.modules[name]


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("speak", [neural.speak_joe, lambda text, rng: neural.speak_kokoro(text, TRAINED.kokoro, rng)])
@pytest.mark.parametrize(
    "text", ["what is three plus four", "one, two three. four", "turn on the light in the kitchen?"]
)
def test_every_word_ends_in_order_and_the_last_before_the_sound_does(speak, text):
    samples, rate, ends = speak(text, Random(1))
    assert len(ends) == len(text.split())
    assert ends == sorted(set(ends))
    assert len(samples) / rate * 0.6 < ends[-1] < len(samples) / rate


@pytest.mark.usefixtures("packages")
def test_a_words_end_leaves_out_the_pause_of_its_punctuation():
    plain, paused = (neural.speak_joe(text, Random(1))[2] for text in ("one two", "one, two"))
    assert paused[0] == pytest.approx(plain[0])
    assert paused[1] > plain[1] + 0.05


def heard(cast: Cast, seed: int) -> float:
    """Say which voice of a cast speaks a sentence: the network is as loud as its style."""
    rng = Random(seed)
    return float(neural.speak_kokoro(SENTENCE.words, blend(cast, 5, rng), rng)[0][0])


@pytest.mark.usefixtures("packages")
def test_kokoro_has_a_voice_for_every_clip_between_those_of_the_cast():
    voices = [heard(TRAINED, seed) for seed in range(20)]
    assert len(set(voices)) == 20
    assert all(0.05 < voice < 0.45 for voice in voices)
    assert [heard(HELD_OUT, seed) for seed in range(3)] == pytest.approx([0.5] * 3)


@pytest.mark.usefixtures("packages")
def test_a_voice_that_is_evaluated_with_is_not_mixed():
    assert {len(blend(HELD_OUT, 5, Random(seed))) for seed in range(8)} == {1}
    assert {name for seed in range(30) for name in blend(HELD_OUT, 5, Random(seed))} == set(HELD_OUT.kokoro)


@pytest.mark.usefixtures("packages")
def test_without_the_files_of_voices_those_of_the_package_speak():
    for path in neural.VOICES.glob("*.bin"):
        path.unlink()
    assert {name for seed in range(30) for name in blend(TRAINED, 5, Random(seed))} == set(JAPANESE)
    assert blend(HELD_OUT, 5, Random(0)) == ["jm_kumo"]


@pytest.mark.usefixtures("packages")
def test_digits_are_cut_out_of_a_string_and_strung_together_again(tmp_path):
    takes.record(tmp_path, 7, TRAINED)
    written = sorted(path.name for path in tmp_path.glob("*.wav"))
    assert written == sorted(f"{digit}_v007_{take}.wav" for digit in range(10) for take in range(takes.TAKES))
    lengths = {path.name[0]: soundfile.info(path).duration for path in tmp_path.glob("*_0.wav")}
    assert lengths["7"] > lengths["8"] + 0.05, "seven has three more phones, of 0.1 s each, than eight has"
    assert speakers(tmp_path) == ["v007"]
    clip = by_people(Utterance("digits", "one four", (1, 4)), tmp_path, speakers(tmp_path), Random(0))
    assert clip is not None
    assert len(clip.ends) == 2


@pytest.mark.usefixtures("packages")
def test_a_speaker_who_is_recorded_is_left_as_it_is(tmp_path):
    takes.record(tmp_path, 0, TRAINED)
    (last,) = tmp_path.glob(f"9_*_{takes.TAKES - 1}.wav")
    (first,) = tmp_path.glob("0_*_0.wav")
    first.write_bytes(b"kept")
    takes.record(tmp_path, 0, TRAINED)
    assert first.read_bytes() == b"kept"
    last.unlink()
    takes.record(tmp_path, 0, TRAINED)
    assert first.read_bytes() != b"kept"


@pytest.mark.usefixtures("packages")
def test_clips_of_neural_voices_are_labelled():
    clips = [by_network(SENTENCE, TRAINED, Random(seed)) for seed in range(16)]
    assert {clip.source for clip in clips} == {*neural.PACKAGES}
    for clip in clips:
        assert len(clip.ends) == 5
        assert clip.ends[-1] <= len(clip.samples) / 16_000
        assert len(clip.sequence) > 10


@pytest.mark.usefixtures("packages")
def test_who_says_few_words_unclearly_is_not_asked_to():
    assert {blend(HELD_OUT, 1, Random(seed))[0] for seed in range(20)} == {"am_michael", "bf_emma"}
    yes, japanese = Utterance("yes", "yes"), replace(HELD_OUT, kokoro=("jm_kumo",))
    assert by_network(yes, japanese, Random(0)) is None
    assert {by_network(yes, replace(japanese, joe=True), Random(seed)).source for seed in range(8)} == {neural.JOE}
    assert by_network(SENTENCE, japanese, Random(0)).source == neural.KOKORO


def test_without_the_packages_nobody_speaks(monkeypatch):
    monkeypatch.setattr(neural, "installed", tuple)
    assert by_network(SENTENCE, TRAINED, Random(0)) is None
