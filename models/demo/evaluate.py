"""Stage 8: how often the answer is right, on voices, rates, wordings and people that were not trained on.

Each clip is heard alone and unpadded, as in a call.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

from models.decoder import LanguageModel
from models.demo import dialogue
from models.demo.augment import CLEAN, Channel, Samples, level
from models.demo.conversation import TALK, TRANSCRIBE, Mix, converse, draw_setting, draw_utterances
from models.demo.judge import Asked, Judge, reads
from models.demo.phrases import LANGUAGES
from models.demo.pool import RECORDINGS, hear
from models.demo.speech import Clip, by_espeak, by_flite, by_network, by_people, foreign, no_speech
from models.demo.tokens import Chat
from models.demo.utterances import Utterance, draw_digits, draw_utterance, spell
from models.demo.voices import HELD_OUT, Cast
from models.demo.wordings import NEW_WORDINGS

REPORT = "evaluation.md"  # in the build folder
Answers = dict[str, list[bool]]
Say = Callable[[Utterance, Random], Clip | None]
CALL = Channel()  # everything at random, one on top of the other
CONDITIONS = {  # the others have one disturbance each
    "clean": CLEAN,
    "babble": replace(CLEAN, noise=1, snr=(15, 15), sound="babble"),
    "pink": replace(CLEAN, noise=1, snr=(15, 15), sound="pink"),
    "G.711": replace(CLEAN, g711=1),
    "Opus": replace(CLEAN, opus=1, bitrates=(24_000,)),
    "call": CALL,
}
TALKERS = 6  # of babble
DRAW = "evaluate"  # questions, voices and disturbances are drawn from it; another name gives others


@dataclass(frozen=True, slots=True)
class Case:
    """One question, with the conversation before it, and how it is counted."""

    label: str
    utterances: tuple[Utterance, ...]
    task: str = TALK


def cases(rng: Random, each: int, before: int = 0) -> list[Case]:
    """Draw questions of every kind after so many others: `each` of every fixed kind, and more of those with rules."""
    groups = dict.fromkeys((kind.name for kind in dialogue.KINDS), each) | {
        **dict.fromkeys(("sum", "difference", "unclear"), 4 * each),
        **dict.fromkeys(("repeat", "recall", "phone", "timer", "light"), 2 * each),
        **dict.fromkeys(("time", "date"), each),
    }
    made = [
        Case(kind, _after(draw_utterance(kind, rng), before, rng))
        for kind, count in groups.items()
        for _ in range(count)
    ]
    for digits in range(1, 13):
        made += [Case(f"digits {digits}", _after(_digits(digits, rng), before, rng)) for _ in range(each)]
    for task in (TRANSCRIBE, *LANGUAGES):
        drawn = [draw_utterances(Mix(unfinished=0), task, 1, rng) for _ in range(2 * each)]
        made += [Case(task, tuple(utterances), task) for utterances in drawn if utterances[0].words]
    return made + _corrections(rng, each) + _repeated(rng, each)


def _after(asked: Utterance, before: int, rng: Random) -> tuple[Utterance, ...]:
    earlier = [draw_utterance("fixed", rng) for _ in range(before)]
    return (*earlier, asked)


def _corrections(rng: Random, each: int) -> list[Case]:
    """Draw what follows a telephone number: yes, no, and corrections."""
    made = []
    for kind in ("yes", "no", "correction", "correction"):
        for _ in range(each):
            digits = draw_digits(rng, 10)
            number = Utterance("phone", f"my number is {spell(digits)}", digits)
            made.append(Case(f"number, {kind}", (number, draw_utterance(kind, rng))))
    return made


def _repeated(rng: Random, each: int) -> list[Case]:
    """Draw results that are asked for again: what is to be said then stands in the answer alone."""
    kinds = [kind for kind in ("sum", "difference") for _ in range(each)]
    return [Case("result, repeat", (draw_utterance(kind, rng), draw_utterance("repeat", rng))) for kind in kinds]


def new_wordings() -> list[Case]:
    return [Case(kind, (Utterance(kind, words),)) for kind, asked in NEW_WORDINGS.items() for words in asked]


def ask(case: Case, rng: Random) -> Asked:
    """Put a case into a setting, with the right answers; functions are offered where one is needed."""
    setting = draw_setting(case.task, case.utterances, rng)
    return Asked(converse(case.utterances, setting, rng), setting)


def heard(judge: Judge, asked: Sequence[Case], say: Say, channel: Channel, draw: str = DRAW) -> Answers:
    """Ask by voice; cases that a voice cannot say are left out."""
    answers: Answers = defaultdict(list)
    babble = _babble(Random(f"{draw} babble"))
    for index, case in enumerate(asked):
        rng = Random(f"{draw} {index}")
        clips = [say(utterance, rng) for utterance in case.utterances]
        samples = [hear(clip, channel, babble, rng).sample for clip in clips if clip is not None]
        if len(samples) == len(case.utterances):
            answers[case.label].append(judge.hears(ask(case, rng), samples))
    return answers


def read(language: LanguageModel, chat: Chat, asked: Sequence[Case], spoken: float, draw: str = DRAW) -> Answers:
    """Ask a language model in text, laid out as audio or typed."""
    answers: Answers = defaultdict(list)
    for index, case in enumerate(asked):
        rng = Random(f"{draw} {index}")
        answers[case.label].append(reads(language, chat, ask(case, rng), rng, spoken))
    return answers


def not_english(judge: Judge, each: int, draw: str = DRAW) -> Answers:
    """Ask in other languages, with noise, sounds and babble: none is understood; silence is answered with nothing."""
    answers: Answers = defaultdict(list)
    rng = Random(f"{draw} not English")
    babble = _talk(rng)
    for index in range(16 * each):
        clip = foreign(rng, HELD_OUT) if index % 4 == 0 else no_speech(babble, HELD_OUT, rng)
        sample = hear(clip, CALL, None, rng).sample
        asked = ask(Case("", (clip.utterance,)), rng)
        answers[clip.source.split()[0]].append(judge.hears(asked, [sample]))
    return answers


def evaluate(judge: Judge, cast: Cast = HELD_OUT, each: int = 12, draw: str = DRAW) -> dict[str, Answers]:
    """Measure all conditions, digits by the people of the cast; gives right or wrong by condition and kind."""
    rng = Random(draw)
    language, chat = judge.model.language_model, judge.chat
    people = [Case(f"digits {n}", (_digits(n, rng),)) for n in (1, 1, 1, 1, 2, 3, 4, 7, 10) for _ in range(5 * each)]
    measured = {name: heard(judge, cases(rng, each), _espeak, channel, draw) for name, channel in CONDITIONS.items()}
    return measured | {
        "history": heard(judge, cases(rng, each, before=2), _espeak, CALL, draw),
        "wordings": heard(judge, new_wordings(), _espeak, CLEAN, draw),
        "flite": heard(judge, cases(rng, each), lambda u, r: by_flite(u, HELD_OUT, r), CLEAN, draw),
        "people": heard(judge, people, lambda u, r: by_people(u, RECORDINGS, cast.people, r), CLEAN, draw),
        "typed": read(language, chat, cases(rng, each), 0, draw),
        "neural": heard(judge, cases(rng, each // 3), lambda u, r: by_network(u, HELD_OUT, r), CLEAN, draw),
        "not English": not_english(judge, each, draw),
    }


def _babble(rng: Random) -> Samples:
    """Let several voices talk at the same time, for as long as the first does."""
    first, *others = (level(_talk(rng), -6) for _ in range(TALKERS))
    together: Samples = np.sum([first, *(np.resize(other, len(first)) for other in others)], axis=0)
    return together


def _talk(rng: Random) -> Samples:
    """Say six things one after the other, each by a voice of its own."""
    return np.concatenate([_espeak(draw_utterance("unclear", rng), rng).samples for _ in range(6)])


def _espeak(utterance: Utterance, rng: Random) -> Clip:
    return by_espeak(utterance, HELD_OUT, rng)


def _digits(count: int, rng: Random) -> Utterance:
    digits = draw_digits(rng, count)
    return Utterance("digits", spell(digits), digits)


def table(measured: dict[str, Answers]) -> Iterator[str]:
    """Write the results as a Markdown table: percent right, by kind and condition, and the total of each."""
    conditions = [name for name, answers in measured.items() if answers]
    labels = dict.fromkeys(label for answers in measured.values() for label in answers)
    yield "| | " + " | ".join(conditions) + " |"
    yield "| --- |" + " ---: |" * len(conditions)
    for label in labels:
        yield f"| {label} | " + " | ".join(_percent(measured[name].get(label, [])) for name in conditions) + " |"
    totals = [[right for of_kind in measured[name].values() for right in of_kind] for name in conditions]
    yield "| **all** | " + " | ".join(f"**{_percent(total)}** of {len(total)}" for total in totals) + " |"


def _percent(answers: Sequence[bool]) -> str:
    return f"{100 * sum(answers) / len(answers):.0f}" if answers else ""


def write_report(folder: Path, measured: dict[str, Answers], *more: Iterable[str]) -> None:
    """Print the table and further tables, and keep them beside the other results."""
    lines = [line for lines in (table(measured), *more) for line in (*lines, "")][:-1]
    print("\n".join(lines), flush=True)
    (folder / "evaluation.json").write_text(json.dumps(measured))
    (folder / REPORT).write_text("\n".join(lines) + "\n")
