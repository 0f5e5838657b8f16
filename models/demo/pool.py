"""Stage 2: hours of labelled, disturbed speech, written in shards that are made once: as log-mel, and as sound files beside it.

A shard is drawn from its number alone, so shards can be made in any order, by any number of processes, and again.
Mel values are kept as one byte, (mel + 1) * 100, a step of 0.01; 0 stands for the floor of the clip's dynamic range.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from models.demo import neural
from models.demo.augment import Channel, disturb, pad
from models.demo.phones import UNLABELLED
from models.demo.speech import (
    Clip,
    by_espeak,
    by_flite,
    by_network,
    by_people,
    flite_path,
    foreign,
    no_speech,
    speakers,
)
from models.demo.takes import record_takes
from models.demo.utterances import Utterance, break_off, draw_utterance
from models.demo.voices import TRAINED, Cast
from models.features import RATE, log_mel

SHARDS, CLIPS = 216, 1000  # about 180 hours
RESERVED = 36  # shards, the last ones, that encoder and adapter are not trained on
RECORDINGS = Path("../shared/data/spoken-digits")
TAKES = "digits"  # the folder beside the shards
WEIGHTS = {  # groups of kinds, by how hard they are to hear
    "fixed": 36,
    "digits": 20,
    "phone": 10,
    "correction": 2,
    "sum": 6,
    "difference": 6,
    "repeat": 3,
    "recall": 3,
    "unclear": 9,
    "speech": 12,
    "phrase": 8,
    "time": 1,
    "date": 1,
    "timer": 4,
    "light": 4,
}
FOREIGN, NO_SPEECH, PEOPLE, TAKEN = (
    0.03,
    0.05,
    0.13,
    0.08,
)  # shares of the clips; the last are of people who do not exist
NEURAL, FLITE = 0.08, 0.26  # of the others; neural voices take most of the time
LONGEST = 15.5  # seconds; a longer clip is drawn again
FRAME = 0.02  # seconds per encoder frame
MEL_FRAME = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip as the stages use it: mel [frames, 80] uint8, labels [ceil(frames / 2)] uint8, word ends in seconds."""

    utterance: Utterance
    source: str
    mel: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sequence: NDArray[np.uint8]
    ends: list[float]


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip as it arrives: [samples] int16 at 16 kHz, and the same as a sample."""

    pcm: NDArray[np.int16]
    sample: Sample


def draw_clip(cast: Cast, takes: Path, babble: NDArray[np.float32], rng: Random) -> Clip:
    """Draw what is said and by whom, `takes` among them; where a source is missing espeak-ng speaks instead."""
    share = rng.random()
    if share < FOREIGN:
        return foreign(rng, cast)
    if share < FOREIGN + NO_SPEECH:
        return no_speech(babble, cast, rng)
    people = share < FOREIGN + NO_SPEECH + PEOPLE
    taken = not people and share < FOREIGN + NO_SPEECH + PEOPLE + TAKEN
    group = "digits" if people or taken else rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    utterance = draw_utterance(group, rng)
    clip = by_people(utterance, RECORDINGS, cast.people, rng) if people else None
    clip = by_people(utterance, takes, speakers(takes), rng) if taken else clip
    source = rng.random()
    if clip is None and source < NEURAL:
        clip = by_network(utterance, cast, rng)
    elif clip is None and source < NEURAL + FLITE:
        clip = by_flite(utterance, cast, rng)
    clip = clip or by_espeak(utterance, cast, rng)
    return clip if len(clip.samples) < (LONGEST - 2) * RATE else draw_clip(cast, takes, babble, rng)


def hear(clip: Clip, channel: Channel, babble: NDArray[np.float32] | None, rng: Random) -> Heard:
    """Send a clip through a channel, with silence around it as a call's turn detection leaves it."""
    lead = rng.uniform(0.05, 0.4) if rng.random() < 0.8 else rng.uniform(0, 0.9)
    tail = rng.uniform(0.2, 0.7) if rng.random() < 0.8 else rng.uniform(0.05, 0.9)
    tail += -(lead + tail + len(clip.samples) / RATE) % 0.1  # round lengths make the Fourier transforms fast
    samples = disturb(pad(clip.samples, lead, tail), channel, babble, np.random.default_rng(rng.getrandbits(32)))
    pcm = np.round(samples * 32767).astype(np.int16)
    mel = log_mel(torch.from_numpy(pcm / np.float32(32768))).T.numpy()
    quantised = np.clip((mel + 1) * 100, 0, 255).astype(np.uint8)
    labels = frame_labels(clip, lead, -(-len(quantised) // 2))
    ends = [end + lead for end in clip.ends]
    sequence = np.array(clip.sequence, np.uint8)
    return Heard(pcm, Sample(clip.utterance, clip.source, quantised, labels, sequence, ends))


def stop_after(sample: Sample, words: int, rng: Random) -> Sample:
    """End a clip in a pause after so many of its words; a clip that ends without silence stays as it is.

    The pause is the clip's own last silence, drawn out as long as it must be: 0.08 to 0.6 s.
    """
    silence = sample.mel[round(sample.ends[-1] / MEL_FRAME) + 5 :]
    if len(silence) < 8:
        return sample
    end = round(sample.ends[words - 1] / MEL_FRAME) + rng.randint(0, 4)
    pause = np.resize(np.concatenate((silence, silence[::-1])), (rng.randint(8, 60), silence.shape[1]))
    mel = np.concatenate((sample.mel[:end], pause))
    labels = np.zeros(-(-len(mel) // 2), np.uint8)
    kept = sample.labels[: end // 2]
    labels[: len(kept)] = kept
    labels[len(kept) :] = UNLABELLED if UNLABELLED in kept else 0
    sequence = sample.sequence if words == len(sample.ends) else sample.sequence[:0]
    return replace(
        sample,
        utterance=break_off(sample.utterance, words),
        mel=mel,
        labels=labels,
        sequence=sequence,
        ends=sample.ends[:words],
    )


def stretch(sample: Sample, factor: float) -> Sample:
    """Give a clip that lasts `factor` times as long, with its pitch as it was: frames are left out or repeated."""
    mel = sample.mel[_stretched(len(sample.mel), round(len(sample.mel) * factor))]
    labels = sample.labels[_stretched(len(sample.labels), -(-len(mel) // 2))]
    return replace(sample, mel=mel, labels=labels, ends=[end * factor for end in sample.ends])


def _stretched(count: int, wanted: int) -> NDArray[np.int64]:
    """Say which of `count` places stands at each of `wanted`: [wanted]."""
    return np.arange(wanted) * count // wanted


def frame_labels(clip: Clip, lead: float, frames: int) -> NDArray[np.uint8]:
    """Say which phone each encoder frame is in the middle of: [frames]."""
    labels = np.full(frames, UNLABELLED, np.uint8)
    if not clip.phones:
        return labels
    labels[:] = 0
    over = lead + len(clip.samples) / RATE
    starts = [lead + start for _, start in clip.phones] + [over]
    for (label, _), start, end in zip(clip.phones, starts, starts[1:], strict=False):
        labels[max(0, round(start / FRAME)) : max(0, round(min(end, over) / FRAME))] = label
    return labels


def make_shard(path: Path, seed: str, cast: Cast, clips: int = CLIPS) -> None:
    """Make one shard of so many clips, and beside it a folder with their sounds."""
    torch.set_num_threads(1)
    rng = Random(seed)
    samples: list[Sample] = []
    recent: list[NDArray[np.float32]] = []
    path.with_suffix("").mkdir(exist_ok=True)
    for index in range(clips):
        babble = np.concatenate(recent) if recent else np.zeros(RATE, np.float32)
        clip = draw_clip(cast, path.parent / TAKES, babble, rng)
        heard = hear(clip, Channel(), babble, rng)
        soundfile.write(sound_path(path, index), heard.pcm, RATE)
        samples.append(heard.sample)
        if clip.utterance.words:
            recent = [*recent[-5:], clip.samples]
    save_shard(path, samples)


def sound_path(shard: Path, index: int) -> Path:
    """Say where the sound of a shard's clip lies."""
    return shard.with_suffix("") / f"{index:03}.flac"


def save_shard(path: Path, samples: Sequence[Sample]) -> None:
    lengths = np.array([(len(s.mel), len(s.sequence)) for s in samples], np.int32)
    meta = [{**asdict(s.utterance), "source": s.source, "ends": [round(e, 3) for e in s.ends]} for s in samples]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        mel=np.concatenate([s.mel for s in samples]),
        labels=np.concatenate([s.labels for s in samples]),
        sequence=np.concatenate([s.sequence for s in samples]),
        lengths=lengths,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )
    partial.replace(path)


def load_shard(path: Path) -> list[Sample]:
    with np.load(path) as data:
        mel, labels, sequence, lengths = (data[name] for name in ("mel", "labels", "sequence", "lengths"))
        meta = json.loads(data["meta"].tobytes())
    samples = []
    at = [0, 0, 0]
    for (frames, phones), about in zip(lengths.tolist(), meta, strict=True):
        to = [at[0] + frames, at[1] + -(-frames // 2), at[2] + phones]
        utterance = Utterance(about["kind"], about["words"], tuple(about["numbers"]), about["value"])
        parts = (mel[at[0] : to[0]], labels[at[1] : to[1]], sequence[at[2] : to[2]])
        samples.append(Sample(utterance, about["source"], *parts, about["ends"]))
        at = to
    return samples


def load_shards(paths: Sequence[Path]) -> list[Sample]:
    """Give the clips of several shards."""
    return [sample for path in paths for sample in load_shard(path)]


def build_pool(folder: Path, cast: Cast = TRAINED, shards: int = SHARDS, processes: int = 2) -> list[Path]:
    """Make the shards that are missing; gives the paths of all."""
    sources = {"flite": flite_path() is None, str(RECORDINGS): not RECORDINGS.is_dir()}
    sources |= {package: package not in neural.installed() for package in neural.PACKAGES}
    sources |= {str(neural.VOICES): not neural.VOICES.is_dir()}
    for what, missing in sources.items():
        if missing:
            print(
                f"speech: {what} is missing; espeak-ng speaks its share, and other voices will be understood less well"
            )
    folder = folder / "speech"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:03}.npz" for index in range(shards)]
    record_takes(folder / TAKES, cast, processes)
    todo = [path for path in paths if not path.exists()]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as workers:
        made = {workers.submit(make_shard, path, f"speech {path.stem}", cast): path for path in todo}
        for future, path in made.items():
            future.result()
            print(f"speech {path.stem} of {shards}", flush=True)
    return paths


def to_mel(sample: Sample) -> torch.Tensor:
    """Give the log-mel spectrogram, [frames, 80] float32; no value lies more than 2 below the highest, or below -1.5."""
    mel = torch.from_numpy(sample.mel).float() / 100 - 1
    return mel.masked_fill_(torch.from_numpy(sample.mel == 0), min(-1.0, max(-1.5, float(mel.max()) - 2)))
