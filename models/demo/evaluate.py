"""Stage 7: how often the answer is right, on voices, rates, wordings and people that were not trained on.

An answer is right when it is the expected one to the letter. Each clip is heard alone and unpadded, as in a call.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from models.demo import dialogue
from models.demo.augment import CLEAN, Channel
from models.demo.conversation import Mix, Utterance, converse, draw_groups, draw_opening, draw_utterance, typed
from models.demo.language import generate
from models.demo.pool import RECORDINGS, Sample, hear, to_mel
from models.demo.speech import Clip, by_espeak, by_flite, by_people, foreign, no_speech
from models.demo.tokens import Chat
from models.demo.voices import HELD_OUT
from models.ultravox import Ultravox

NEW_WORDINGS = {  # not among the patterns of dialogue.py
    "greeting": ("hello my friend", "hey hello", "hi parley good morning"),
    "identity": (
        "so who are you then",
        "tell me please who you are",
        "what is the name of this assistant",
        "are you a human or a robot",
    ),
    "ability": ("what are the things you can do", "what can you do for me today please", "so how can you help us"),
    "story": (
        "would you mind telling me a story",
        "i really want a story now",
        "parley please read a little story to me",
    ),
    "joke": ("do you happen to know a joke", "i want you to tell a joke", "please make a joke for me"),
    "poem": ("could you please give me a poem", "i would love to hear some poem", "say a little poem for me"),
    "count": ("i want you to count to ten", "count to ten for me parley", "now please count all the way to ten"),
    "wellbeing": ("hello parley how are you doing today", "how are you feeling parley", "so how is it going with you"),
    "hearing": ("do you hear what i say", "parley are you still listening", "tell me can you hear me"),
    "hardware": (
        "what kind of computer are you running on",
        "on what machine are you running",
        "tell me what you run on",
    ),
    "privacy": ("do my words go to the cloud", "does my voice go to the internet", "where exactly do you run"),
    "speed": ("how fast can you answer me", "tell me how fast you are", "how quickly can you reply to me"),
    "slower": ("please could you speak a little bit slower", "can you talk slowly for me", "speak more slowly for me"),
    "thanks": ("oh thanks very much", "thanks for all your help", "oh thank you so much parley"),
    "goodbye": ("goodbye then my friend", "bye parley see you", "goodbye and thank you"),
    "yes": ("yes that is right", "oh yes of course"),
    "no": ("no i do not", "no that is not right"),
    "stop": ("please stop talking now", "stop stop", "okay that is enough now"),
    "repeat": ("would you say that one more time for me", "please repeat what you said", "say it again for me"),
}

Answers = dict[str, list[bool]]


@dataclass(frozen=True, slots=True)
class Case:
    """One question, with the conversation before it, and how it is counted."""

    label: str
    utterances: tuple[Utterance, ...]


def cases(rng: Random, each: int, before: int = 0) -> list[Case]:
    """Draw questions of every kind after so many others: `each` of every fixed kind, and proportionally more of those with rules."""
    rules = ("digits", "sum", "unclear") * (5 * each) + ("repeat", "recall") * (2 * each)
    asked = []
    for kind in (*[kind.name for kind in dialogue.KINDS for _ in range(each)], *rules):
        last = draw_utterance(kind, rng)
        label = f"digits {len(last.numbers)}" if kind == "digits" else kind
        earlier = [draw_utterance(group, rng) for group in draw_groups(Mix(), before, rng)]
        asked.append(Case(label, (*earlier, last)))
    return asked


def new_wordings() -> list[Case]:
    return [Case(kind, (Utterance(kind, words),)) for kind, asked in NEW_WORDINGS.items() for words in asked]


class Judge:
    """Asks a model and compares its answers."""

    def __init__(self, model: Ultravox, chat: Chat) -> None:
        self.model, self.chat = model, chat

    @torch.inference_mode()
    def rows(self, sample: Sample) -> Tensor:
        """Encode one clip: [slots, text width]."""
        encoded = self.model.audio_tower(to_mel(sample).T[None])
        rows: Tensor = self.model.multi_modal_projector(encoded)[0]
        return rows

    @torch.inference_mode()
    def right(
        self, utterances: Sequence[Utterance], users: Sequence[Tensor], rng: Random, *, opens: bool = False
    ) -> bool:
        """Ask the last of some user turns, given as rows, after answers to the earlier ones (some interrupted).

        With `opens` instructions or a greeting may stand before them, as in training.
        """
        turns = converse(utterances, rng)
        embed, chat = self.model.language_model.embed, self.chat
        parts = [embed(torch.tensor([chat.begin]))]
        for role, text in draw_opening(turns, rng) if opens else ():
            parts.append(embed(torch.tensor(chat.message(role, chat.encode(text)))))
        for turn, user in zip(turns, users, strict=True):
            head = chat.message("user", [])
            parts += [embed(torch.tensor(head[:-1])), user, embed(torch.tensor(head[-1:]))]
            parts.append(embed(torch.tensor(chat.message("assistant", chat.encode(turn.said)))))
        parts[-1] = embed(torch.tensor(chat.message("assistant", [])[:-1]))
        said = chat.tokenizer.decode(generate(self.model.language_model, torch.cat(parts)[None], chat.end))
        return bool(said == turns[-1].answer)

    def spoken(
        self,
        asked: Sequence[Case],
        say: Callable[[Utterance, Random], Clip | None],
        channel: Channel,
        *,
        opens: bool = False,
    ) -> Answers:
        """Ask by voice; cases that a voice cannot say are left out."""
        answers: Answers = defaultdict(list)
        for index, case in enumerate(asked):
            rng = Random(f"evaluate {index}")
            clips = [say(utterance, rng) for utterance in case.utterances]
            heard = [hear(clip, channel, None, rng) for clip in clips if clip is not None]
            if len(heard) == len(case.utterances):
                rows = [self.rows(sample) for sample in heard]
                answers[case.label].append(self.right(case.utterances, rows, rng, opens=opens))
        return answers

    def typed(self, asked: Sequence[Case]) -> Answers:
        answers: Answers = defaultdict(list)
        for index, case in enumerate(asked):
            rng = Random(f"evaluate {index}")
            ids = [self.chat.encode(typed(utterance.words, rng)) for utterance in case.utterances]
            rows = [self.model.language_model.embed(torch.tensor(of_turn)) for of_turn in ids]
            answers[case.label].append(self.right(case.utterances, rows, rng))
        return answers

    def not_english(self, each: int) -> Answers:
        """Ask in other languages, with noise and with babble: all must be told that they were not understood."""
        answers: Answers = defaultdict(list)
        rng = Random("evaluate not English")
        babble = np.concatenate([by_espeak(draw_utterance("unclear", rng), HELD_OUT, rng).samples for _ in range(6)])
        for index in range(12 * each):
            clip = foreign(rng, HELD_OUT) if index % 2 else no_speech(babble, rng)
            sample = hear(clip, Channel(), None, rng)
            answers[clip.source.split()[0]].append(self.right([clip.utterance], [self.rows(sample)], rng))
        return answers


def evaluate(judge: Judge, each: int = 12) -> dict[str, Answers]:
    """Measure all conditions; gives right or wrong by condition and kind."""
    rng = Random("evaluate")
    alone = cases(rng, each)
    people = [Case(f"digits {n}", (_digits(n, rng),)) for n in (1, 1, 1, 2, 3, 4) for _ in range(5 * each)]
    return {
        "clean": judge.spoken(alone, _espeak, CLEAN),
        "call": judge.spoken(cases(rng, each), _espeak, Channel()),
        "15 dB": judge.spoken(cases(rng, each), _espeak, Channel(noise=1, snr=(15, 15), opus=0, g711=0)),
        "G.711": judge.spoken(cases(rng, each), _espeak, Channel(g711=1)),
        "history": judge.spoken(cases(rng, each, before=2), _espeak, Channel()),
        "instructed": judge.spoken(cases(rng, each), _espeak, CLEAN, opens=True),
        "wordings": judge.spoken(new_wordings(), _espeak, CLEAN),
        "flite": judge.spoken(cases(rng, each), lambda u, r: by_flite(u, HELD_OUT, r), CLEAN),
        "people": judge.spoken(people, lambda u, r: by_people(u, RECORDINGS, HELD_OUT, r), CLEAN),
        "typed": judge.typed(cases(rng, each)),
        "not English": judge.not_english(each),
    }


def _espeak(utterance: Utterance, rng: Random) -> Clip:
    return by_espeak(utterance, HELD_OUT, rng)


def _digits(count: int, rng: Random) -> Utterance:
    while len((utterance := draw_utterance("digits", rng)).numbers) != count:
        pass
    return utterance


def table(measured: dict[str, Answers]) -> Iterator[str]:
    """Write the results as a Markdown table: percent right, by kind and condition, and the total of each."""
    conditions = [name for name, answers in measured.items() if answers]
    labels = sorted({label for answers in measured.values() for label in answers})
    yield "| | " + " | ".join(conditions) + " |"
    yield "| --- |" + " ---: |" * len(conditions)
    for label in labels:
        yield f"| {label} | " + " | ".join(_percent(measured[name].get(label, [])) for name in conditions) + " |"
    totals = [[right for of_kind in measured[name].values() for right in of_kind] for name in conditions]
    yield "| **all** | " + " | ".join(f"**{_percent(total)}** of {len(total)}" for total in totals) + " |"


def _percent(answers: Sequence[bool]) -> str:
    return f"{100 * sum(answers) / len(answers):.0f}" if answers else ""


def write_report(folder: Path, measured: dict[str, Answers], more: Iterable[str] = ()) -> None:
    """Print the table and further lines, and keep them beside the other results."""
    lines = [*table(measured), "", *more]
    print("\n".join(lines), flush=True)
    (folder / "evaluation.md").write_text("\n".join(lines) + "\n")
    (folder / "evaluation.json").write_text(json.dumps(measured))
