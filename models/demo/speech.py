"""Utterances as labelled audio: espeak-ng, flite, recorded digits, and what is no English speech at all.

A `Clip` is clean 16 kHz speech with what is known about its times; `augment.py` makes it sound like a call.
"""

import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.demo import neural, rules, unknown
from models.demo.augment import noise
from models.demo.espeak import INVENTED, Spoken, Voice, speak
from models.demo.phones import SILENCE, UNLABELLED, from_arpabet, from_espeak
from models.demo.utterances import Utterance, spell
from models.demo.voices import ACCENTS, Cast, invent
from models.features import RATE


@dataclass(frozen=True, slots=True)
class Clip:
    """Clean speech. `phones` are (label, start in s) in order, empty where unknown; `ends` is when each word ends, in s.

    Of sounds that are no speech, `ends` lists moments at which they are heard. `sequence` is the order of phones without
    silence: known also where their times are not; empty if nothing is known.
    """

    utterance: Utterance
    source: str
    samples: NDArray[np.float32]
    phones: list[tuple[int, float]]
    sequence: list[int]
    ends: list[float]


def by_espeak(utterance: Utterance, cast: Cast, rng: Random) -> Clip:
    """Speak with a random voice of the cast; formants are moved by resampling, 0.8 to 1.25."""
    borders = group_borders(utterance, rng)
    clip = _by_espeak(utterance, punctuated(utterance, borders, rng), cast, rng)
    return with_pauses(clip, {border: rng.uniform(0, 1.2) for border in borders if border < len(clip.ends)})


def _by_espeak(utterance: Utterance, text: str, cast: Cast, rng: Random) -> Clip:
    invented = invent(rng) if rng.random() < cast.invented else ""
    variant = INVENTED if invented else rng.choice(cast.variants)
    shift = min(1.25, max(0.8, rng.lognormvariate(0, 0.08)))
    rate = rng.randint(*rng.choice(cast.rates))
    name = rng.choice(ACCENTS) + (f"+{variant}" if variant else "")
    voice = Voice(name, max(80, round(rate / shift)), rng.randint(20, 85), rng.randint(20, 90), invented)
    spoken = speak(text, voice)
    samples = soxr.resample(spoken.samples, round(spoken.rate * shift), RATE, "MQ")
    phones = [(from_espeak(phone), start / shift) for phone, start in spoken.phones]
    ends = [end / shift for end in _word_ends(text, spoken)]
    return _trimmed(Clip(utterance, f"espeak {name} {rate}", samples, phones, _sequence(phones), ends))


def _word_ends(text: str, spoken: Spoken) -> list[float]:
    """When each word ends: where the next begins or the voice pauses. Words that espeak joins end together."""
    starts = dict(spoken.words)
    times: list[float] = []
    for match in re.finditer(r"[^\s,.?!]+", text):
        times.append(starts.get(match.start(), times[-1] if times else 0.0))
    silent = [start for phone, start in spoken.phones if from_espeak(phone) == SILENCE]
    over = len(spoken.samples) / spoken.rate
    return [min((t for t in (*times, *silent, over) if t > time), default=over) for time in times]


def group_borders(utterance: Utterance, rng: Random) -> list[int]:
    """Draw after which words a caller may stop for a moment: between groups of digits. Empty for most utterances."""
    digits = len(utterance.numbers)
    if utterance.kind not in ("digits", "phone") or digits < 4 or rng.random() < 0.35:
        return []
    first = len(utterance.words.split()) - digits
    size = 3 if utterance.kind == "phone" else rng.choice((2, 3, 3, 4))
    return [first + at for at in range(0 if first else size, digits, size) if digits - at > 1]


def punctuated(utterance: Utterance, borders: Sequence[int], rng: Random) -> str:
    """Add the punctuation that makes a synthesiser pause after the words at `borders`, or between digits, and vary its melody."""
    spoken = utterance.words.split()
    if borders:
        spoken = [word + "," if index + 1 in borders else word for index, word in enumerate(spoken)]
    elif utterance.kind in ("digits", "phone") and rng.random() < 0.4:
        mark = rng.choice((",", ",", ".", "?"))
        spoken = [word + mark if word in rules.DIGITS and rng.random() < 0.8 else word for word in spoken]
        spoken[-1] = spoken[-1].removesuffix(mark)
    return " ".join(spoken) + rng.choice(("", "", ".", "?", "!"))


def with_pauses(clip: Clip, pauses: Mapping[int, float]) -> Clip:
    """Put silence, in seconds, after so many words of a clip."""
    for words, seconds in sorted(pauses.items(), reverse=True):
        at = clip.ends[words - 1]
        place = round(at * RATE)
        samples = np.insert(clip.samples, place, np.zeros(round(seconds * RATE), np.float32))
        late = [(label, start + (seconds if start >= at else 0)) for label, start in clip.phones]
        if clip.phones and seconds:
            late = sorted([*late, (SILENCE, at)], key=lambda phone: phone[1])
        ends = [end + (seconds if index >= words else 0) for index, end in enumerate(clip.ends)]
        clip = replace(clip, samples=samples, phones=late, ends=ends)
    return clip


@cache
def flite_path() -> str | None:
    return shutil.which("flite")


def by_flite(utterance: Utterance, cast: Cast, rng: Random) -> Clip | None:
    """Speak with flite; None when it is not installed or its phones do not line up with the words."""
    program, voice = flite_path(), rng.choice(cast.flite)
    if program is None:
        return None
    pitch = rng.uniform(80, 160) if voice != "slt" else rng.uniform(150, 230)
    settings = ("--setf", f"duration_stretch={rng.uniform(0.75, 1.4):.2f}", "--setf", f"int_f0_target_mean={pitch:.0f}")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = [program, "-voice", voice, *settings, "-psdur", "-t", punctuated(utterance, [], rng), "-o", file.name]
        told = _run(command)
        samples, rate = soundfile.read(file.name, dtype="float32")
    shift = min(1.25, max(0.8, rng.lognormvariate(0, 0.1)))
    segments = [(name, float(end) / shift) for name, end in (part.rsplit(":", 1) for part in told.split())]
    starts = [0.0, *(end for _, end in segments)]
    phones = [(from_arpabet(name), start) for (name, _), start in zip(segments, starts, strict=False)]
    ends = _flite_word_ends(utterance.words.split(), segments)
    if ends is None:
        return None
    resampled = soxr.resample(samples, round(rate * shift), RATE, "MQ")
    return _trimmed(Clip(utterance, f"flite {voice}", resampled, phones, _sequence(phones), ends))


def _flite_word_ends(words: Sequence[str], segments: Sequence[tuple[str, float]]) -> list[float] | None:
    spoken = [end for name, end in segments if name != "pau"]
    last = np.cumsum([_flite_length(word) for word in words])
    return [spoken[index - 1] for index in last] if last[-1] == len(spoken) else None


@cache
def _flite_length(word: str) -> int:
    """Count the phones of a word in flite's dictionary."""
    told = _run([str(flite_path()), "-ps", "-t", word, "none"])
    return sum(name != "pau" for name in told.split())


def by_network(utterance: Utterance, cast: Cast, rng: Random) -> Clip | None:
    """Speak with a neural voice of the cast; None where none is installed that says so few words clearly."""
    voices = blend(cast, len(utterance.words.split()), rng)
    shares = {neural.JOE: 0.5 * cast.joe, neural.KOKORO: 0.5 * bool(voices)}
    fit = [name for name in neural.installed() if shares[name]]
    if not fit:
        return None
    (package,) = rng.choices(fit, [shares[name] for name in fit])
    borders = group_borders(utterance, rng)
    text = punctuated(utterance, borders, rng)
    joe = package == neural.JOE
    spoken, rate, times = neural.speak_joe(text, rng) if joe else neural.speak_kokoro(text, voices, rng)
    shift = min(1.25, max(0.8, rng.lognormvariate(0, 0.1)))
    samples = soxr.resample(spoken / max(float(np.abs(spoken).max()), 1e-3), round(rate * shift), RATE, "MQ")
    sequence = [phone for word in utterance.words.split() for phone in pronounce(word)]
    clip = _trimmed(Clip(utterance, package, samples, [], sequence, [time / shift for time in times]))
    return with_pauses(clip, {border: rng.uniform(0, 1.2) for border in borders if border < len(clip.ends)})


def blend(cast: Cast, words: int, rng: Random) -> list[str]:
    """Choose Kokoro's voices of which the voice for so many words is mixed; none where none is at hand."""
    voices = neural.at_hand(cast.kokoro, words)
    return rng.sample(voices, min(cast.blend, len(voices)))


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - words of our own


def by_people(utterance: Utterance, recordings: Path, people: Sequence[str], rng: Random) -> Clip | None:
    """String together recordings of one of the people's digits, with gaps; None where there are none."""
    if not recordings.is_dir() or not people or utterance.kind not in ("digits", "phone"):
        return None
    said = Utterance("digits", spell(utterance.numbers), utterance.numbers)
    person, speed = rng.choice(people), min(1.25, max(0.8, rng.lognormvariate(0, 0.09)))
    gap, borders = rng.choice((0.1, 0.25, 0.6)), group_borders(said, rng)
    pieces: list[NDArray[np.float32]] = []
    ends: list[float] = []
    time = 0.0
    for digit in said.numbers:
        samples, rate = soundfile.read(rng.choice(_takes(recordings)[digit, person]), dtype="float32")
        piece = soxr.resample(samples / max(np.abs(samples).max(), 1e-3), round(rate * speed), RATE, "MQ")
        pause = np.zeros(round(rng.uniform(0.03, gap) * RATE), np.float32)
        ends.append(time + len(piece) / RATE)
        time += (len(piece) + len(pause)) / RATE
        pieces += [piece, pause]
    sequence = [phone for word in said.words.split() for phone in pronounce(word)]
    samples = np.concatenate(pieces[:-1]).astype(np.float32)
    clip = Clip(said, f"person {person}", samples, [], sequence, ends)
    return with_pauses(clip, {border: rng.uniform(0.1, 1.1) for border in borders})


def speakers(recordings: Path) -> list[str]:
    """List who is on a folder's recordings."""
    return sorted({person for _, person in _takes(recordings)})


@cache
def _takes(recordings: Path) -> dict[tuple[int, str], list[Path]]:
    """List a folder's recordings by digit and person: files are named `{digit}_{person}_{take}.wav`."""
    takes = defaultdict[tuple[int, str], list[Path]](list)
    for path in sorted(recordings.glob("*_*_*.wav"), key=lambda path: (len(path.stem), path.stem)):
        digit, person, _ = path.stem.split("_")
        takes[int(digit), person].append(path)
    return takes


@cache
def pronounce(word: str) -> tuple[int, ...]:
    return tuple(_sequence([(from_espeak(name), start) for name, start in speak(word, Voice("en-us")).phones]))


def foreign(rng: Random, cast: Cast) -> Clip:
    """Speak another language."""
    language = rng.choice(list(unknown.FOREIGN))
    variant = rng.choice(cast.variants)
    name = language + (f"+{variant}" if variant else "")
    text = rng.choice(unknown.FOREIGN[language])
    spoken = speak(text, Voice(name, rng.randint(*rng.choice(cast.rates)), rng.randint(20, 85)))
    samples = soxr.resample(spoken.samples, spoken.rate, RATE, "MQ")
    return Clip(Utterance("foreign", ""), f"foreign {name}", samples, [], [], _word_ends(text, spoken))


def no_speech(babble: NDArray[np.float32], cast: Cast, rng: Random) -> Clip:
    """Give silence, a noise that may come and go, several people at once, a cough, or a sound that says nothing."""
    kind = rng.choice(("silence", "silence", "noise", "noise", "babble", "cough", "backchannel", "backchannel"))
    count = round(rng.uniform(0.4, 3.0) * RATE)
    samples: NDArray[np.floating[Any]]
    match kind:
        case "silence":
            return Clip(Utterance(kind, ""), kind, np.zeros(count, np.float32), [(SILENCE, 0.0)], [], [])
        case "noise":
            loudness = np.interp(np.arange(count), np.linspace(0, count, 8), [rng.random() ** 2 for _ in range(8)])
            samples = noise(count, None, np.random.default_rng(rng.getrandbits(32))) * loudness
        case "cough":
            samples = _cough(np.random.default_rng(rng.getrandbits(32)))
        case "backchannel":
            said = _by_espeak(Utterance("noise", ""), rng.choice(unknown.BACKCHANNELS), cast, rng)
            return replace(said, source=f"backchannel {said.source}", sequence=[], ends=_moments(said.samples))
        case _:
            layers = [np.resize(np.roll(babble, rng.randrange(len(babble))), count) for _ in range(rng.randint(3, 6))]
            samples = np.sum(layers, axis=0)
    phones = [] if kind == "babble" else [(SILENCE, 0.0)]
    return Clip(Utterance("noise", ""), kind, samples.astype(np.float32), phones, [], _moments(samples))


def _cough(rng: np.random.Generator) -> NDArray[np.float32]:
    """Give one to three bursts of noise that rise at once and die away, the first the loudest."""
    bursts = list[NDArray[np.float32]]()
    for loudness in rng.uniform(0.4, 1, rng.integers(1, 4)):
        count = int(rng.uniform(0.08, 0.3) * RATE)
        time = np.arange(count) / count
        hiss = np.convolve(rng.standard_normal(count), np.hanning(int(rng.integers(3, 24))), "same")
        bursts.append((loudness * hiss * np.minimum(1, 20 * time) * np.exp(-5 * time)).astype(np.float32))
        bursts.append(np.zeros(int(rng.uniform(0.05, 0.3) * RATE), np.float32))
    return np.concatenate(bursts[:-1])


def _moments(samples: NDArray[np.floating[Any]], step: float = 0.16) -> list[float]:
    """List the moments, `step` seconds apart, at which a sound is loud."""
    size = round(step * RATE)
    level = [float(np.sqrt(np.square(samples[at : at + size]).mean())) for at in range(0, len(samples), size)]
    return [(index + 0.5) * step for index, of_part in enumerate(level) if of_part > 0.2 * max(level)]


def _sequence(phones: Sequence[tuple[int, float]]) -> list[int]:
    return [label for label, _ in phones if label not in (SILENCE, UNLABELLED)]


def audible(samples: NDArray[np.float32], rate: int) -> tuple[int, int]:
    """Say where sound begins and ends, 20 ms kept on either side; all of what is silent."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * max(float(np.abs(samples).max()), 1e-3))
    margin = rate // 50
    return (max(0, int(loud[0]) - margin), int(loud[-1]) + margin) if len(loud) else (0, len(samples))


def _trimmed(clip: Clip) -> Clip:
    """Cut the silence that a synthesiser leaves at both ends, keeping 20 ms."""
    first, last = audible(clip.samples, RATE)
    late = first / RATE
    phones = [(label, max(0.0, start - late)) for label, start in clip.phones]
    ends = [min(max(0.0, end - late), (last - first) / RATE) for end in clip.ends]
    return replace(clip, samples=clip.samples[first:last], phones=phones, ends=ends)
