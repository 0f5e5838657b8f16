import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models import Model
from models.__main__ import main
from tests.models import checkpoints


@pytest.fixture
def wav(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "question.wav"
    soundfile.write(path, rng.standard_normal(9000) * 0.1, 16000)
    return path


def ask(whole: Path, *arguments: object) -> int:
    return main(["ask", "--model", str(whole), "--dtype", "float32", *map(str, arguments)])


def test_ask_answers_as_the_model_does(
    whole: Path, model: Model, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(whole, "--audio", wav, "--system", "be brief", "--max-new-tokens", 12, "Translate: <|audio|>") == 0
    out, err = capsys.readouterr()
    audio = soundfile.read(wav, dtype="float32")[0]
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Translate: <|audio|>"}]
    assert out == "".join(model.generate(messages, [audio], max_new_tokens=12)) + "\n"
    assert "first token after" in err
    assert "tokens/s" in err


def test_audio_alone_is_the_question(whole: Path, wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(whole, "--audio", wav, "--audio", wav, "--max-new-tokens", 4) == 0
    alone = capsys.readouterr().out
    assert ask(whole, "--audio", wav, "--audio", wav, "--max-new-tokens", 4, "<|audio|><|audio|>") == 0
    assert capsys.readouterr().out == alone


def test_without_audio_it_is_a_text_chat(
    whole: Path, model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\nwhat?\n"))
    assert ask(whole, "--max-new-tokens", 8) == 0
    first = "".join(model.generate([{"role": "user", "content": "hello"}], max_new_tokens=8))
    turns = [("user", "hello"), ("assistant", first), ("user", "what?")]
    second = "".join(model.generate([{"role": r, "content": c} for r, c in turns], max_new_tokens=8))
    assert capsys.readouterr().out == f"{first}\n{second}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "./nowhere", "hello"], "ask: ./nowhere is neither a folder nor a hub id"),
        (["--model", "WHOLE", "<|audio|>"], "has 1 <|audio|> but there are 0 audios"),
        (["--model", "WHOLE", "--audio", "none.wav"], "none.wav: no such file"),
    ],
)
def test_one_line_says_what_is_wrong(
    whole: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *(str(whole) if a == "WHOLE" else a for a in arguments)]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_tower_is_named_with_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, towers = checkpoints.write(tmp_path, "v0_4_1")
    given = [argument for name, path in towers.items() for argument in ("--tower", f"{name}={path}")]
    assert main(["inspect", *given, str(folder)]) == 0
    assert "projector inside; both towers by id" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["inspect", "--tower", "nonsense", str(folder)])
    assert "not of the form ID=DIR" in capsys.readouterr().err


def test_inspect(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(whole)]) == 0
    out = capsys.readouterr().out
    for part in (
        "audio tower, projector and language model, all inside",
        "whisper, 2 layers of 32",
        "80 mel bins, windows of 30 s",
        "llama, 3 layers of 48",
        "rope llama3",
        "audio tokens/s  6.25",
        "float32",
        "int4",
        "per 1000 tokens",
        checkpoints.CHAT_TEMPLATE,
    ):
        assert part in out
