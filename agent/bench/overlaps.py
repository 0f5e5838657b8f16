"""Which short words over the agent's speech interrupt it, for `parley bench turns`: synthesised voices, as the detector hears them.

"Stop." is to interrupt, "Okay." is not; the detector knows only how long they last. For each least length of an interruption: the share
of the words that are meant to interrupt and do, and of those that are not and do. And both by what an engine that can write down what
it hears makes of them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent import tts, vad
from agent.audio import INPUT_RATE, Samples, dbfs
from agent.conversation import Audio, Message
from agent.engine import Engine
from agent.overhearing import interrupts
from agent.stages import Stages
from agent.transcribing import can_repeat, repeated
from agent.turns.floor import Floor
from agent.turns.turn import OverlapPaused, SpeechStarted, TurnDetector, TurnEvent, TurnSettings

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

Shares = tuple[float, float]
"""Of the interruptions, and of the backchannels, those that interrupt."""


@dataclass(frozen=True)
class Overlaps:
    """What was measured."""

    by_length: dict[float, Shares]
    by_words: Shares | None
    """None: the engine cannot write down what it hears, or there is none."""


@dataclass(frozen=True)
class Word:
    """A word with half a second of silence to either side."""

    samples: Samples
    probabilities: Sequence[float]
    """Of speech, of each window of `window` samples."""
    window: int

    def events(self, length: float) -> list[TurnEvent]:
        """What the detector makes of it where so many seconds interrupt."""
        detector = TurnDetector(TurnSettings(), interrupts=length)
        judged = (detector.push(self.window, probability) for probability in self.probabilities)
        return [event for event in judged if event]


async def measure(voices: Sequence[tts.TTS], engine: Engine | None = None) -> Overlaps:
    """Say every word with every voice. Raises EngineError, TTSError."""
    make_vad = vad.load("silero")
    sets = [
        [
            _heard(await tts.recording(voice, word, INPUT_RATE), make_vad())
            for word, voice in itertools.product(words, voices)
        ]
        for words in (INTERRUPTIONS, BACKCHANNELS)
    ]
    by_length = {
        length: _shares([[by_length_interrupts(w, length) for w in words] for words in sets]) for length in LENGTHS
    }
    if engine is None or not await can_repeat(Stages(engine, voices[0])):
        return Overlaps(by_length, None)
    return Overlaps(by_length, _shares([[await by_words_interrupts(w, engine) for w in words] for words in sets]))


def table(measured: Overlaps) -> str:
    """The shares as text."""
    rows = [(f"{1000 * length:.0f} ms", shares) for length, shares in measured.by_length.items()]
    rows += [("by its words", measured.by_words)] if measured.by_words else []
    head = f"  {'':13}{'interruptions':>16}{'backchannels':>16}"
    lines = [f"  {name:>13}{100 * meant:14.0f} %{100 * others:14.0f} %" for name, (meant, others) in rows]
    return "\n".join(["short words over the agent's speech: how many interrupt, by the length that does", head, *lines])


def by_length_interrupts(word: Word, length: float) -> bool:
    """Whether a word interrupts where so many seconds of speech do."""
    return any(isinstance(event, SpeechStarted) for event in word.events(length))


async def by_words_interrupts(word: Word, engine: Engine) -> bool:
    """Whether it interrupts by what the engine writes down of it, as in a call. Raises EngineError."""
    settings = TurnSettings()
    for event in word.events(settings.interrupt_surely):
        if isinstance(event, SpeechStarted):
            return True
        if isinstance(event, OverlapPaused):
            heard = word.samples[event.start : event.speech_end + round(settings.pause * INPUT_RATE)]
            text = await repeated(engine, Message("overlap", "user", (Audio(heard),)))
            if interrupts(text, event.speech, settings):
                return True
    return False


def _shares(sets: Sequence[Sequence[bool]]) -> Shares:
    meant, others = (round(sum(words) / len(words), 3) for words in sets)
    return meant, others


def _heard(word: Samples, detect: vad.VAD) -> Word:
    samples, floor = _alone(word), Floor()
    starts = range(0, samples.size - detect.window + 1, detect.window)
    windows = [samples[at : at + detect.window] for at in starts]
    return Word(samples, [floor.judge(dbfs(window), detect(window)) for window in windows], detect.window)


def _alone(word: Samples) -> Samples:
    """A word [n] with half a second of silence to either side, over faint noise."""
    quiet = np.zeros(INPUT_RATE // 2, np.int16)
    line = np.concatenate([quiet, word, quiet])
    noisy: Samples = np.clip(line + np.random.default_rng(line.size).normal(0, 8, line.size), -32768, 32767).astype(
        np.int16
    )
    return noisy
