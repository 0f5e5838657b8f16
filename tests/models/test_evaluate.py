import json
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("jiwer", reason="the extra 'train' is not installed")

from models import InputError, Model
from models.__main__ import main
from models.distill.sources import Manifest
from models.distill.tally import Tally
from models.evaluate import Answer, Setting, bleu, code, evaluate, exact, normalise, word_errors
from tests.models.distill import corpus


def pairs(*texts: tuple[str, str], language: str = "English") -> list[Answer]:
    return [Answer("x", language, expected, given, 1.0, 2, 3.0) for expected, given in texts]


def test_word_errors_are_counted_over_all_words() -> None:
    """Of 3 + 5 words one is replaced, two are left out, and one is too many."""
    scores = word_errors(pairs(("the cat sat", "the dog sat"), ("we SAW, many old trees", "many old trees there")))
    assert scores == pytest.approx(
        {"WER %": 100 * 4 / 8, "  substituted %": 100 / 8, "  deleted %": 200 / 8, "  inserted %": 100 / 8}
    )


def test_case_punctuation_and_number_words_are_no_errors() -> None:
    assert word_errors(pairs(("Mr. Brown can't pay $20.", "mister brown can not pay twenty dollars")))["WER %"] == 0


def test_languages_without_spaces_are_compared_by_letters() -> None:
    assert word_errors(pairs(("今日は晴れ", "今日は雨"), language="ja"))["WER %"] == pytest.approx(40)
    assert normalise("今日は", "Japanese") == "今 日 は"
    assert normalise("Straße, groß!", "German") == "straße groß"
    assert (code("German"), code("DE"), code("klingon")) == ("de", "de", "klingon")


def test_bleu_is_sacrebleus() -> None:
    whole = "the quick brown fox jumps over the lazy dog"
    assert bleu(pairs((whole, whole)))["BLEU"] == pytest.approx(100)
    # precisions 8/9, 6/8, 5/7, 4/6 and no brevity penalty
    expected = 100 * (8 / 9 * 6 / 8 * 5 / 7 * 4 / 6) ** 0.25
    assert bleu(pairs((whole, whole.replace("quick", "slow"))))["BLEU"] == pytest.approx(expected)
    assert bleu(pairs(("今日は晴れです", "今日は晴れです"), language="Japanese"))["BLEU"] == pytest.approx(100)


def test_answers_are_right_to_the_letter() -> None:
    assert exact(pairs(("Yes.", "Yes."), ("Yes.", "yes"), ("12", "12")))["right %"] == pytest.approx(200 / 3)


def written(folder: Path, rows: list[object]) -> Manifest:
    corpus.write_clips(folder, 4)
    return Manifest(corpus.write_manifest(folder, rows), seed=0)


def said(model: Model, folder: Path, question: str, index: int, most: int = 6) -> str:
    audio = soundfile.read(folder / f"{index}.wav", dtype="float32")[0]
    return "".join(model.generate([{"role": "user", "content": question}], [audio], most)).strip()


def test_the_answers_are_the_models(model: Model, tmp_path: Path) -> None:
    rows = [
        {"audio": "0.wav", "answer": "?", "question": "what do you hear"},
        {"audio": "1.wav", "answer": "?"},
        {"audio": "2.wav", "answer": "?", "question": "is <|audio|> German"},
    ]
    report = evaluate(model, written(tmp_path, rows), Setting("answer", max_new_tokens=6), Tally())
    questions = ["what do you hear\n\n<|audio|>", "<|audio|>", "is <|audio|> German"]
    assert [answer.given for answer in report.answers] == [
        said(model, tmp_path, question, index) for index, question in enumerate(questions)
    ]
    assert all(answer.first_ms > 0 for answer in report.answers)
    assert report.first_ms <= report.first_ms_p95
    right = [{**row, "answer": answer.given} for row, answer in zip(rows, report.answers, strict=True)]
    again = evaluate(model, written(tmp_path, right), Setting("answer", max_new_tokens=6), Tally())
    assert report.scores["right %"] == 0
    assert again.scores["right %"] == 100


def test_translations_are_asked_for_in_their_language(model: Model, tmp_path: Path) -> None:
    rows = [{"audio": "0.wav", "translation": "hallo", "target": "German"}, {"audio": "0.wav", "translation": "hello"}]
    report = evaluate(model, written(tmp_path, rows), Setting("translate", target="French", max_new_tokens=6), Tally())
    assert [answer.language for answer in report.answers] == ["German", "French"]


def test_bad_clips_are_counted_and_the_rest_is_measured(model: Model, tmp_path: Path) -> None:
    rows = [
        {"audio": "0.wav", "transcript": "hello"},
        {"audio": "none.wav", "transcript": "hello"},
        {"audio": "1.wav", "transcript": ""},
        {"audio": "1.wav", "transcript": "[laughs]"},
        "nonsense",
    ]
    tally = Tally()
    report = evaluate(model, written(tmp_path, rows), Setting("transcribe", max_new_tokens=4), tally)
    assert len(report.answers) == 1
    assert tally.total == 4
    assert "1 x empty transcript" in report.table()
    assert "1 x no such file" in report.table()
    assert sum(report.bad.values()) == 4
    with pytest.raises(InputError, match="no clip of 1 could be used"):
        evaluate(model, written(tmp_path, ["nonsense"]), Setting("transcribe"), Tally())


def test_the_command_prints_a_table_and_writes_all(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, [{"audio": "0.wav", "transcript": "hello"}, {"audio": "1.wav", "transcript": "there"}])
    call = ["evaluate", "--model", str(whole), "--manifest", str(tmp_path / "train.jsonl"), "--dtype", "float32"]
    assert main([*call, "--max-new-tokens", "4", "--system", "be brief"]) == 0
    out = capsys.readouterr().out
    told = json.loads((tmp_path / "train.transcribe.json").read_text())
    assert f"WER % {told['scores']['WER %']:18.2f}".split() == [*out.splitlines()[2].split()]
    assert "first token, median" in out
    assert [answer["expected"] for answer in told["answers"]] == ["hello", "there"]
    assert (told["task"], told["system"], told["model"]) == ("transcribe", "be brief", str(whole))
    assert main([*call[:4], str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl cannot be read" in capsys.readouterr().err
