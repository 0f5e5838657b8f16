"""Which short words over the agent's speech interrupt it, for `parley bench turns`: synthesised voices, as the detector hears them.

"Stop." is to interrupt, "Okay." is not; the detector knows only how long they last. For each least length of an interruption: the share
of the words that are meant to interrupt and do, and of those that are not and do.
"""

from collections.abc import Sequence

import numpy as np

from agent import tts, vad
from agent.audio import INPUT_RATE, Samples, dbfs
from agent.turns.floor import Floor
from agent.turns.turn import SpeechStarted, TurnDetector, TurnSettings

INTERRUPTIONS = (
    *("No.", "Stop.", "Wait.", "No, no.", "Stop it.", "Hold on.", "Hang on."),
    *("Excuse me.", "Hey.", "Actually.", "What?", "Never mind.", "Cancel.", "Enough."),
)
BACKCHANNELS = (
    *("Mm-hm.", "Mm.", "Uh-huh.", "Okay.", "Yeah.", "Yes."),
    *("Right.", "I see.", "Sure.", "Ah.", "Oh.", "Hm."),
)

LENGTHS = (0.2, 0.25, 0.3, TurnSettings().interrupt, 0.4, 0.5, 0.6)
"""Seconds of speech that interrupt."""

Points = list[tuple[float, float, float]]
"""A least length, and the shares of interruptions and of backchannels that reach it."""


async def measure(voices: Sequence[tts.TTS]) -> Points:
    """Say every word with every voice."""
    make_vad = vad.load("silero")
    meant, others = [
        [
            _probabilities(_alone(await tts.recording(voice, word, INPUT_RATE)), make_vad())
            for word in words
            for voice in voices
        ]
        for words in (INTERRUPTIONS, BACKCHANNELS)
    ]
    return [(length, _share(meant, length), _share(others, length)) for length in LENGTHS]


def table(points: Points) -> str:
    """The points as text."""
    rows = [
        f"  {1000 * length:10.0f} ms{100 * meant:14.0f} %{100 * not_meant:14.0f} %"
        for length, meant, not_meant in points
    ]
    head = f"  {'':13}{'interruptions':>16}{'backchannels':>16}"
    return "\n".join(["short words over the agent's speech: how many interrupt, by the length that does", head, *rows])


def interrupts(probabilities: Sequence[float], window: int, length: float) -> bool:
    """Whether speech of these probabilities, one for each window of so many samples, interrupts where so many seconds do."""
    detector = TurnDetector(TurnSettings(), interrupts=length)
    return any(isinstance(detector.push(window, probability), SpeechStarted) for probability in probabilities)


def _share(words: Sequence[tuple[Sequence[float], int]], length: float) -> float:
    return round(sum(interrupts(*word, length) for word in words) / len(words), 3)


def _probabilities(samples: Samples, detect: vad.VAD) -> tuple[list[float], int]:
    """Of each window of [n] samples, and the windows' length."""
    starts, floor = range(0, samples.size - detect.window + 1, detect.window), Floor()
    windows = [samples[at : at + detect.window] for at in starts]
    return [floor.judge(dbfs(window), detect(window)) for window in windows], detect.window


def _alone(word: Samples) -> Samples:
    """A word [n] with half a second of silence to either side, over faint noise."""
    quiet = np.zeros(INPUT_RATE // 2, np.int16)
    line = np.concatenate([quiet, word, quiet])
    noisy: Samples = np.clip(line + np.random.default_rng(line.size).normal(0, 8, line.size), -32768, 32767).astype(
        np.int16
    )
    return noisy
