import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("soxr", reason="the extra 'train' is not installed")

from models import Model
from models.__main__ import main
from models.distill.backbone import load_backbone
from models.distill.continuation import Job, continue_manifest
from models.distill.forms import instruction
from models.distill.settings import SettingsError
from tests.models import checkpoints
from tests.models.distill import corpus


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("backbone")
    checkpoints.write_towers(folder, checkpoints.parts())
    return load_backbone(str(folder / "text"), {}, "cpu", "float32")


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def plain(folder: Path, count: int = 11) -> Path:
    """A manifest without continuations."""
    bare = [{"audio": f"{n}.wav", "transcript": f"hello {n}", "speaker": "x"} for n in range(count)]
    return corpus.write_manifest(folder, bare, "plain.jsonl")


def job(folder: Path, name: str = "out.jsonl", **changes: object) -> Job:
    return Job("m", plain(folder), folder / name, **({"max_new_tokens": 6, "batch": 2} | changes))


def test_a_language_model_alone_computes_what_transformers_does(backbone: Model) -> None:
    prompt = "hello there, what do you hear"
    ids = torch.tensor([backbone.tokenizer.encode(prompt)])
    with torch.no_grad():
        expected = checkpoints.parts().text(ids).logits[0]
    assert torch.allclose(backbone.logits(backbone.prepare(prompt)), expected, atol=1e-3)


def test_an_ultravox_checkpoint_is_a_backbone_too(folder: Path, backbone: Model) -> None:
    whole, _ = checkpoints.write(folder / "whole", "whole")
    model = load_backbone(str(whole), {}, "cpu", "float32")
    chat = [{"role": "user", "content": "hello"}]
    assert "".join(model.generate(chat, (), 8)) == "".join(backbone.generate(chat, (), 8))


def test_every_row_gets_what_the_model_answers_alone(folder: Path, backbone: Model) -> None:
    wanted = job(folder)
    continue_manifest(backbone, wanted)
    made = rows(wanted.output)
    assert [row["transcript"] for row in made] == [f"hello {n}" for n in range(11)]
    for row in made:
        asked = instruction("continuation").replace("<|audio|>", row["transcript"])
        alone = "".join(backbone.generate([{"role": "user", "content": asked}], (), 6))
        assert row["continuation"] == alone.strip()
        assert row["speaker"] == "x"
    assert not wanted.path(".partial").exists()
    assert not wanted.path(".progress").exists()


class Interrupting:
    """A model whose user stops it when it is asked about a certain transcript."""

    def __init__(self, model: Model, transcript: str) -> None:
        self._model = model
        self._transcript = transcript

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def prompt(self, messages: list[dict[str, str]], *others: object) -> str:
        if messages[0]["content"].endswith(self._transcript):
            raise KeyboardInterrupt
        return self._model.prompt(messages, *others)


def interrupt(backbone: Model, wanted: Job, transcript: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        continue_manifest(Interrupting(backbone, transcript), wanted)  # type: ignore[arg-type]


def test_a_job_that_was_stopped_gives_the_same_file(folder: Path, backbone: Model) -> None:
    whole = job(folder, "whole.jsonl", batch=1)
    continue_manifest(backbone, whole)
    stopped = job(folder, "stopped.jsonl", batch=1)
    interrupt(backbone, stopped, "hello 2")  # in the first part of four lines
    assert rows(stopped.path(".partial")) == []
    interrupt(backbone, stopped, "hello 10")  # in the third
    assert len(rows(stopped.path(".partial"))) == 8
    with stopped.path(".partial").open("a") as file:
        file.write('{"audio": "half a li')  # as a kill within a write leaves it
    continue_manifest(backbone, stopped)
    assert stopped.output.read_bytes() == whole.output.read_bytes()


def test_a_job_is_not_continued_otherwise(folder: Path, backbone: Model) -> None:
    interrupt(backbone, job(folder), "hello 9")
    assert job(folder).path(".progress").exists()
    with pytest.raises(SettingsError, match=r"begun otherwise \(max_new_tokens\)"):
        continue_manifest(backbone, job(folder, max_new_tokens=9))
    continue_manifest(backbone, job(folder))
    with pytest.raises(SettingsError, match="is there already"):
        continue_manifest(backbone, job(folder))


def test_bad_lines_are_named_and_what_is_continued_stays(folder: Path, backbone: Model) -> None:
    path = corpus.write_manifest(
        folder,
        [
            {"audio": "0.wav", "transcript": "hello", "continuation": "kept"},
            "nonsense",
            {"audio": "0.wav", "transcript": "  "},
            {"audio": "0.wav", "transcript": "hello " * 1500},
            {"audio": "0.wav", "transcript": "there"},
        ],
        "mixed.jsonl",
    )
    (folder / "other").mkdir()
    wanted = Job("m", path, folder / "other" / "out.jsonl", 4, 2)
    tally = continue_manifest(backbone, wanted)
    assert [row["transcript"] for row in rows(wanted.output)] == ["hello", "there"]
    assert rows(wanted.output)[0]["continuation"] == "kept"
    assert (folder / "other" / rows(wanted.output)[0]["audio"]).samefile(folder / "0.wav")
    reasons = {row["name"].rpartition(":")[2]: row["reason"] for row in rows(wanted.path(".bad"))}
    assert set(reasons) == {"2", "3", "4"}
    assert "not JSON" in reasons["2"]
    assert reasons["3"] == "empty transcript"
    assert "the window holds 1024" in reasons["4"]
    assert tally.total == 3


def test_the_command_continues_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", folder / "text", "--manifest", plain(folder), "--output", folder / "out.jsonl"]
    call = ["continue", *map(str, arguments), "--max-new-tokens", "5", "--dtype", "float32"]
    assert main(call) == 0
    assert len(rows(folder / "out.jsonl")) == 11
    assert main(call) == 1
    assert "is there already" in capsys.readouterr().err
