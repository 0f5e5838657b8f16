"""`parley bench turns`: how often a caller is cut off, and how long one who has finished waits; beside fixed silences.

Two sets of callers, each with pauses of 0.2 to 1.2 s about a tempo of his own: recorded digits strung into phone numbers, asked for
by the agent, and synthesised sentences with hesitations. The detector hears each utterance as a call would; at each pause the engine
gives its probability. What is compared is the wait: a pause inside an utterance that is longer is a false cut-off, and after the last
word it is what the caller waits. The policy learns as it would in the calls, one after the other; its curve is over `silence`, what it waits when it knows nothing.

And short words over the agent's speech: which of them interrupt it.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from agent import engine, tts, vad, wav
from agent.audio import INPUT_RATE, Resampler, Samples
from agent.bench import overlaps
from agent.config import DEMO_MODEL, INSTRUCTIONS
from agent.conversation import Audio, Message, Text
from agent.engine import Engine
from agent.turns.endpointing import Endpointing, Experience
from agent.turns.turn import TurnDetector, TurnEnded, TurnPaused, TurnResumed, TurnSettings

CALLERS, UTTERANCES = 24, 6
"""In each set, and of each caller."""

SHORTEST, LONGEST = 0.2, 1.2
"""Seconds of a pause."""

FIXED = (0.2, 0.3, 0.5, 0.8)
"""Silences of the detectors that decide by nothing else."""

SILENCES = tuple(round(0.15 * 1.1**step, 3) for step in range(32))

WORDS = 32
"""Tokens that the engine writes down at most of a short sound."""

FOR_DIGITS, FOR_SENTENCES = "What is your number?", "How can I help you?"
"""What the agent asks."""

VOICES = ("en-us", "en-gb-x-rp", "en-us+f3", "en-gb-x-rp+f2")

SENTENCES = (
    ("I would like to", "book a table for two", "tomorrow evening."),
    ("Can you tell me", "what the weather is like", "in the north?"),
    ("My flight", "was cancelled this morning."),
    ("I need to", "change my appointment to", "next Tuesday."),
    ("What I really want is", "a refund."),
    ("Please send it to", "my office", "not to my home."),
    ("So the thing is", "my order has not arrived."),
    ("Is there", "a train to the airport after midnight?"),
    ("I think", "we should take the second one."),
    ("Could you", "repeat that, please?"),
    ("It started when", "I installed the new version", "last week."),
    ("We are looking for", "a house with a garden."),
)


@dataclass(frozen=True)
class Pause:
    """A silence of an utterance, as the detector saw it."""

    length: float
    """Seconds until the caller went on; infinite at the end."""
    end_of_turn: float | None
    speech: float
    """Seconds that the caller spoke before it, without the pauses."""


Calls = list[list[list[Pause]]]
"""Callers, their utterances, the pauses of each."""


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 2 when what the options name is not there."""
    parser = argparse.ArgumentParser(
        prog="parley bench turns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--digits", type=Path, help="folder of recordings DIGIT_SPEAKER_NUMBER.wav; else that set is left out"
    )
    parser.add_argument("--model", default=str(DEMO_MODEL), help="checkpoint that judges; `none`: no probabilities")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args(argv)
    try:
        results, short = asyncio.run(_measure(options))
    except (ValueError, OSError) as error:
        print(f"parley bench turns: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({**results, "overlaps": asdict(short)}))
    else:
        print("\n\n".join([*(_table(name, result) for name, result in results.items()), overlaps.table(short)]))
    return 0


async def _measure(options: argparse.Namespace) -> tuple[dict[str, dict[str, object]], overlaps.Overlaps]:
    judge = None if options.model == "none" else engine.load(options.model, "judge", "auto", WORDS)
    results = {}
    if options.digits:
        results["digits"] = _compare(await _listen(_numbers(options.digits), FOR_DIGITS, judge), FOR_DIGITS)
    results["sentences"] = _compare(await _listen(await _sentences(), FOR_SENTENCES, judge), FOR_SENTENCES)
    return results, await overlaps.measure([tts.load(name) for name in VOICES], judge)


def _numbers(folder: Path) -> list[list[list[Samples]]]:
    """Callers' phone numbers, in the groups that are said without a pause. Raises OSError when there are no recordings."""
    rng = random.Random(1)  # noqa: S311  repeatable, not secret
    speakers = sorted({path.stem.split("_")[1] for path in folder.glob("?_*_*.wav")})
    if not speakers:
        raise FileNotFoundError(f"{folder} holds no recordings such as 7_george_12.wav")

    def group(speaker: str, count: int) -> Samples:
        names = (f"{rng.randrange(10)}_{speaker}_{rng.randrange(50)}.wav" for _ in range(count))
        return np.concatenate([wav.read(folder / name, INPUT_RATE) for name in names])

    return [
        [[group(speakers[caller % len(speakers)], rng.choice((2, 3))) for _ in range(4)] for _ in range(UTTERANCES)]
        for caller in range(CALLERS)
    ]


async def _sentences() -> list[list[list[Samples]]]:
    rng = random.Random(2)  # noqa: S311
    voices = [tts.load(name) for name in VOICES]
    return [
        [await _hesitant(voices[caller % len(voices)], sentence) for sentence in rng.sample(SENTENCES, UTTERANCES)]
        for caller in range(CALLERS)
    ]


async def _hesitant(voice: tts.TTS, parts: Sequence[str]) -> list[Samples]:
    """The parts of a sentence that is said as one, so that the voice does not fall where the caller hesitates."""
    spoken = [speech async for speech in voice.synthesize(" ".join(parts))]
    starts = np.cumsum([0, *(speech.samples.size for speech in spoken)])
    ends = [start + word.sample for start, speech in zip(starts, spoken, strict=False) for word in speech.words]
    samples = np.concatenate([speech.samples for speech in spoken])
    cuts = [ends[words - 1] for words in np.cumsum([len(part.split()) for part in parts[:-1]])]
    return [Resampler(voice.rate, INPUT_RATE)(part, last=True) for part in np.split(samples, cuts)]


async def _listen(callers: list[list[list[Samples]]], question: str, judge: Engine | None) -> Calls:
    """Say each caller's utterances with his pauses and note those that the detector finds."""
    rng = random.Random(3)  # noqa: S311
    make_vad = vad.load("silero")
    calls = []
    for utterances in callers:
        tempo = math.log(rng.uniform(0.25, 0.9))
        calls.append([await _pauses(_spoken(parts, tempo, rng), question, make_vad(), judge) for parts in utterances])
    return calls


def _spoken(parts: Sequence[Samples], tempo: float, rng: random.Random) -> Samples:
    """Parts [n] with pauses about a tempo (the logarithm of their median) between them, and silence around, over faint noise."""
    pieces = [np.zeros(INPUT_RATE // 2, np.int16)]
    for part in parts:
        pause = min(max(math.exp(rng.gauss(tempo, 0.35)), SHORTEST), LONGEST)
        pieces += [part, np.zeros(round(pause * INPUT_RATE), np.int16)]
    pieces[-1] = np.zeros(INPUT_RATE, np.int16)
    clean = np.concatenate(pieces)
    noise = np.random.default_rng(len(clean)).normal(0, 8, clean.size)
    noisy: Samples = np.clip(clean + noise, -32768, 32767).astype(np.int16)
    return noisy


async def _pauses(samples: Samples, question: str, detect: vad.VAD, judge: Engine | None) -> list[Pause]:
    """The pauses of one utterance [n]; the detector never ends the turn before the stream does."""
    detector = TurnDetector(TurnSettings(silence=60.0))
    margin, found, probability, speech = round(detector.settings.pause * INPUT_RATE), list[Pause](), None, 0.0
    for start in range(0, samples.size - detect.window + 1, detect.window):
        match detector.push(detect.window, detect(samples[start : start + detect.window])):
            case TurnPaused(start=begin, speech_end=end):
                heard = samples[begin : end + margin]
                silences = detector.settings.padding + sum(pause.length for pause in found)
                speech = (end - begin) / INPUT_RATE - silences
                probability = (await judge.prefill(_asked(question, heard))).end_of_turn if judge else None
            case TurnResumed(silence=silence):
                found.append(Pause(silence, probability, speech))
            case TurnEnded() | None | _:
                pass
    return [*found, Pause(math.inf, probability, speech)]


def _asked(question: str, heard: Samples) -> tuple[Message, ...]:
    return (
        Message("instructions", "system", (Text(INSTRUCTIONS),)),
        Message("question", "assistant", (Text(question),)),
        Message("answer", "user", (Audio(heard),)),
    )


def _compare(calls: Calls, question: str) -> dict[str, object]:
    """Both kinds of points, (median wait in seconds, share of the pauses inside utterances that were cut), and their ratios."""
    settings = TurnSettings()
    fixed = [(silence, _cut(calls, [[[silence] * len(u) for u in call] for call in calls])) for silence in FIXED]
    policy = []
    for silence in SILENCES:
        waits = _policy(calls, replace(settings, silence=silence), question)
        policy.append((statistics.median(u[-1] for call in waits for u in call), _cut(calls, waits)))
    at_300 = _best(policy, fixed[1][0])
    at_800 = _best([(cut, wait) for wait, cut in policy], fixed[3][1])
    return {
        "false_cutoff_ratio": round(at_300 / fixed[1][1], 3) if fixed[1][1] else None,
        "wait_ratio": round(at_800 / fixed[3][0], 3),
        "pauses": sum(len(u) - 1 for call in calls for u in call),
        "vad": [(wait, round(cut, 3)) for wait, cut in fixed],
        "parley": [(round(wait, 3), round(cut, 3)) for wait, cut in policy],
    }


def _best(points: list[tuple[float, float]], limit: float) -> float:
    """The least second of those pairs whose first is within a limit, or of the pair with the least first."""
    return min((second for first, second in points if first <= limit), default=min(points)[1])


def _policy(calls: Calls, settings: TurnSettings, question: str) -> list[list[list[float]]]:
    """What the policy waits in each pause, learning from those before."""
    experience, waits = Experience(), list[list[list[float]]]()
    for call in calls:
        endpointing = Endpointing(experience)
        waits.append([])
        for utterance in call:
            endpointing.expect(question)
            waits[-1].append([_wait(endpointing, settings, pause) for pause in utterance])
    return waits


def _wait(endpointing: Endpointing, settings: TurnSettings, pause: Pause) -> float:
    wait = endpointing.wait(settings, pause.end_of_turn, pause.speech)
    if pause.length == math.inf:
        endpointing.ended(pause.end_of_turn, pause.speech)
    else:
        endpointing.resumed(pause.length, pause.end_of_turn)
    return wait


def _cut(calls: Calls, waits: list[list[list[float]]]) -> float:
    """The share of the pauses inside utterances that were waited out."""
    pairs = [
        (pause.length, wait)
        for call, its in zip(calls, waits, strict=True)
        for utterance, those in zip(call, its, strict=True)
        for pause, wait in zip(utterance[:-1], those[:-1], strict=True)
    ]
    return sum(length >= wait for length, wait in pairs) / max(1, len(pairs))


def _table(name: str, result: dict[str, object]) -> str:
    fixed, policy = result["vad"], result["parley"]
    assert isinstance(fixed, list)
    assert isinstance(policy, list)
    rows = [
        f"  {kind:8}{1000 * wait:10.0f} ms{100 * cut:12.1f} %"
        for kind, points in (("VAD", fixed), ("Parley", policy[::3]))
        for wait, cut in points
    ]
    return "\n".join(
        [
            f"{name}: {result['pauses']} pauses inside utterances",
            f"  {'':8}{'median wait':>13}{'cut off':>14}",
            *rows,
            f"  false cut-offs at the median wait of VAD 300 ms: {result['false_cutoff_ratio']} of its",
            f"  median wait at the false cut-offs of VAD 800 ms: {result['wait_ratio']} of its",
        ]
    )
