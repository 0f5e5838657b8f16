"""How well and how fast a model hears: the clips of a manifest, asked one by one.

Words are compared as the field does: word error rate after Whisper's normalisers (Radford et al. 2022, appendix C; without
its list of British spellings, which comes with no package), BLEU as sacrebleu counts it, answers to the letter.
Times are milliseconds from the question, sound included, to the first text.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from models.distill.forms import instruction, question
from models.distill.records import BadSampleError, Record, read_audio
from models.distill.sources import Manifest
from models.distill.tally import Tally
from models.inputs import LONGEST, InputError
from models.model import Model

Task = Literal["transcribe", "translate", "answer"]
TASKS: tuple[Task, ...] = ("transcribe", "translate", "answer")
_UNSPACED = {"zh", "yue", "ja", "th", "lo", "my", "km"}  # written without spaces: their letters count as words
_BLEU_TOKENS = {"zh": "zh", "yue": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "my": "char"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked, where the clips do not tell it themselves."""

    task: Task
    prompt: str | None = None  # with the placeholder; by default what training asks
    system: str | None = None
    language: str = "English"  # of the speech
    target: str = "English"  # of translations
    max_new_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one clip."""

    name: str
    language: str  # of the answer
    expected: str
    given: str
    first_ms: float
    tokens: int
    tokens_per_s: float | None  # after the first; None for answers of one token


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all."""

    scores: Mapping[str, float]
    first_ms: float  # median
    first_ms_p95: float
    tokens_per_s: float  # median
    answers: Sequence[Answer]
    bad: Mapping[str, int]

    def table(self) -> str:
        """Lay out the figures."""
        left_out = ", ".join(f"{count} x {reason}" for reason, count in self.bad.items()) or "none"
        rows = [
            ("clips", f"{len(self.answers)}"),
            ("left out", left_out),
            *((name, f"{value:.2f}") for name, value in self.scores.items()),
            ("first token, median", f"{self.first_ms:.0f} ms"),
            ("first token, 95 %", f"{self.first_ms_p95:.0f} ms"),
            ("tokens/s, median", f"{self.tokens_per_s:.1f}"),
        ]
        return "\n".join(f"{name:22} {value}" for name, value in rows)

    def as_json(self) -> dict[str, Any]:
        """Give everything, answer by answer."""
        return asdict(self)


def evaluate(model: Model, manifest: Manifest, setting: Setting, tally: Tally) -> Report:
    """Ask about every clip; those that cannot be used are counted in the tally. Raises InputError when none can."""
    answers = list[Answer]()
    for line in tqdm(range(manifest.size), desc=setting.task, unit="clip"):
        try:
            record = _complete(manifest.at(line), setting)
            if not answers:
                _ask(model, record, setting)  # the first answer warms up
            answers.append(_ask(model, record, setting))
        except (BadSampleError, InputError) as error:
            tally.add(manifest.place(line), str(error))
    if not answers:
        raise InputError(f"no clip of {manifest.size} could be used: {tally}")
    first = [answer.first_ms for answer in answers]
    speeds = [answer.tokens_per_s for answer in answers if answer.tokens_per_s is not None]
    return Report(
        scores=SCORES[setting.task](answers),
        first_ms=statistics.median(first),
        first_ms_p95=float(np.percentile(first, 95)),
        tokens_per_s=statistics.median(speeds) if speeds else 0.0,
        answers=answers,
        bad=dict(tally.counts),
    )


def _complete(record: Record, setting: Setting) -> Record:
    """Fill in what a record leaves to the setting; `answer` becomes what is expected. Raises BadSampleError."""
    language, target = record.language or setting.language, record.target or setting.target
    expected = {"transcribe": record.transcript, "translate": record.translation, "answer": record.answer}[setting.task]
    if not expected:
        lacks = {"transcribe": "empty transcript", "translate": "no translation", "answer": "no answer"}
        raise BadSampleError(lacks[setting.task])
    if setting.task == "transcribe" and not normalise(expected, language):
        raise BadSampleError("no words in the transcript")
    return replace(record, language=language, target=target, answer=expected)


def _question(record: Record, setting: Setting) -> str:
    if setting.prompt:
        return setting.prompt
    match setting.task:
        case "transcribe":
            return instruction("transcription")
        case "translate":
            return instruction("translation", target=record.target)
        case "answer":
            return question(record)


def _ask(model: Model, record: Record, setting: Setting) -> Answer:
    """Put the question, and time the answer. Raises BadSampleError, InputError."""
    samples = read_audio(record.audio, LONGEST).numpy()
    messages = [{"role": "system", "content": setting.system}] if setting.system else []
    messages.append({"role": "user", "content": _question(record, setting)})
    started, first, given = perf_counter(), 0.0, ""
    for delta in model.generate(messages, [samples], setting.max_new_tokens):
        first = first or perf_counter()
        given += delta
    ended = perf_counter()
    tokens = len(model.tokenizer.encode(given))
    return Answer(
        name=record.name,
        language=record.target if setting.task == "translate" else record.language,
        expected=(record.answer or "").strip(),
        given=given.strip(),
        first_ms=1000 * ((first or ended) - started),
        tokens=tokens,
        tokens_per_s=(tokens - 1) / (ended - first) if tokens > 1 and ended > first else None,
    )


def code(language: str) -> str:
    """Give the code of a language that is named or coded."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return str(TO_LANGUAGE_CODE.get(language.lower(), language.lower()))


def normalise(text: str, language: str) -> str:
    """Write text as words that can be compared: Whisper's English rules, or its basic ones."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    short = code(language)
    rules = EnglishTextNormalizer({}) if short == "en" else BasicTextNormalizer(split_letters=short in _UNSPACED)
    return str(rules(text)).strip()


def word_errors(answers: Sequence[Answer]) -> dict[str, float]:
    """Give the word error rate in percent of the expected words, and of what kind the errors are."""
    import jiwer

    expected = [normalise(answer.expected, answer.language) for answer in answers]
    given = [normalise(answer.given, answer.language) for answer in answers]
    told = jiwer.process_words(expected, given)
    words = sum(len(text.split()) for text in expected)
    kinds = {"substituted": told.substitutions, "deleted": told.deletions, "inserted": told.insertions}
    return {"WER %": 100 * told.wer, **{f"  {kind} %": 100 * count / words for kind, count in kinds.items()}}


def bleu(answers: Sequence[Answer]) -> dict[str, float]:
    """Give BLEU of all translations together (Papineni et al. 2002; sacrebleu, Post 2018)."""
    import sacrebleu

    tokens = _BLEU_TOKENS.get(code(answers[0].language), "13a")
    given, expected = [answer.given for answer in answers], [answer.expected for answer in answers]
    return {"BLEU": float(sacrebleu.corpus_bleu(given, [expected], tokenize=tokens).score)}


def exact(answers: Sequence[Answer]) -> dict[str, float]:
    """Give the share of answers that are right to the letter."""
    return {"right %": 100 * sum(answer.given == answer.expected for answer in answers) / len(answers)}


SCORES: Mapping[Task, Callable[[Sequence[Answer]], dict[str, float]]] = {
    "transcribe": word_errors,
    "translate": bleu,
    "answer": exact,
}
