"""What is asked about a clip: the turn as it is heard, the same turn as the language model reads it, and the answer."""

from dataclasses import dataclass

from models.distill.records import BadSampleError, Record
from models.distill.settings import Form
from models.inputs import PLACEHOLDER

NOISE = "((noise))"  # the marker of v0.6 for what is no speech
_TEACHER_OF_NOISE = f"Answer with exactly {NOISE} and with nothing else."


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's turn in both forms, and its answer."""

    heard: str  # with the placeholder of the sound
    read: str
    answer: str | None  # None: nothing is to be answered yet


def instruction(form: Form, language: str = "", target: str = "") -> str:
    """Word the user's turn, the placeholder where the sound goes; `language` is named where it is given."""
    named = f" {language}" if language else ""
    match form:
        case "continuation":
            return f"Continue the following{named} text in less than 50 words, without repeating it:\n\n{PLACEHOLDER}"
        case "transcription":
            return f"Repeat this{named} speech word for word, without explanation: {PLACEHOLDER}"
        case "translation":
            return f"Translate the following to {target}. Give only the translation:\n\n{PLACEHOLDER}"
        case "noise" | "answer":
            return PLACEHOLDER


def exchange(record: Record, form: Form, name_language: bool = False) -> Exchange:
    """Ask about a clip. Raises BadSampleError when it lacks what the form needs."""
    language = record.language if name_language and form != "translation" else ""
    heard = question(record) if form in ("answer", "noise") else instruction(form, language, record.target)
    if form == "noise":
        return Exchange(heard, _TEACHER_OF_NOISE, NOISE)
    if not record.transcript and not (form == "answer" and record.answer == ""):
        raise BadSampleError("empty transcript")
    answer = {
        "continuation": record.continuation,
        "transcription": record.transcript,
        "translation": record.translation,
        "answer": record.answer,
    }[form]
    if answer is None or (not answer and form != "answer"):
        if not record.unfinished:
            raise BadSampleError(f"no {form}")
        answer = None
    if form == "translation" and not record.target:
        raise BadSampleError("the language of the translation (target) is not told")
    return Exchange(heard, heard.replace(PLACEHOLDER, record.transcript), answer)


def question(record: Record) -> str:
    """Give a clip's own question, the placeholder where the sound goes: at its end where it is not told."""
    asked = record.question
    return asked if PLACEHOLDER in asked else f"{asked}\n\n{PLACEHOLDER}".strip()
