"""Recordings of digits by people who do not exist: each a voice between Kokoro's, whose digits are cut out of strings.

What single digits by a stranger need is to be heard from many people; few have recorded theirs freely.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

import soundfile

from models.demo import neural, rules
from models.demo.speech import audible, blend
from models.demo.voices import Cast

SPEAKERS, TAKES = 160, 2


def record_takes(folder: Path, cast: Cast, processes: int) -> None:
    """Record all speakers that are missing in a folder; nobody where Kokoro is not installed."""
    folder.mkdir(exist_ok=True)
    if neural.KOKORO not in neural.installed():
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as workers:
        for future in [workers.submit(record, folder, speaker, cast) for speaker in range(SPEAKERS)]:
            future.result()


def record(folder: Path, speaker: int, cast: Cast) -> None:
    """Write a speaker's digits as `{digit}_{speaker}_{take}.wav`, where they are not written yet."""
    if _path(folder, 9, speaker, TAKES - 1).exists():  # written last
        return
    rng = Random(f"takes {speaker}")
    voices = blend(cast, len(rules.DIGITS), rng)
    said = [sorted(neural.speak_digits(voices, rng)) for _ in range(TAKES)]
    for take, digits in enumerate(said):
        for digit, samples in digits:
            first, last = audible(samples, neural.KOKORO_RATE)
            soundfile.write(_path(folder, digit, speaker, take), samples[first:last], neural.KOKORO_RATE)


def _path(folder: Path, digit: int, speaker: int, take: int) -> Path:
    return folder / f"{digit}_v{speaker:03}_{take}.wav"
