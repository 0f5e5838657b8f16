"""Whole runs on towers of random weights: seconds each."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("accelerate", reason="the extra 'train' is not installed")

from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models import load
from models.__main__ import main
from models.checkpoint import open_checkpoint
from models.distill.settings import OptimizerSettings, Settings, SettingsError
from models.distill.start import start
from models.distill.train import BAD, LOG, RESULT, STATE, Run, learning_rate, train
from tests.models import checkpoints
from tests.models.distill import corpus

ROOT = Path(__file__).parents[3]


def losses(settings: Settings) -> dict[int, float]:
    """Read the loss of each step from the log."""
    # a run continued within the same second may sort before its first part, which would then count as orphaned
    events = EventAccumulator(str(settings.output / LOG), purge_orphaned_data=False).Reload()
    return {event.step: event.value for event in events.Scalars("loss")}


def bad(settings: Settings) -> dict[str, str]:
    """Read which clips were bad, by their place."""
    path = settings.output / BAD
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {row["name"].rpartition("/")[2]: row["reason"] for row in rows}


def test_the_learning_rate_rises_then_falls_to_its_share() -> None:
    settings = OptimizerSettings(learning_rate=2.0, warm_up_steps=4, final_share=0.1)
    rates = [learning_rate(step, 24, settings) for step in range(25)]
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[14] == pytest.approx(2 * 0.55)
    assert rates[24] == pytest.approx(0.2)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_distilling_lowers_the_loss_and_the_result_hears(folder: Path) -> None:
    """The loss of two rounds, each of which has every clip once, is compared: clips differ more than a round changes them."""
    gentle = {"warm_up_steps": 2, "learning_rate": 0.003}
    settings = corpus.settings(folder, run=corpus.run(steps=240, save_every=240), optimizer=gentle)
    result = train(settings)
    curve = losses(settings)
    assert list(curve) == list(range(1, 241))
    assert np.mean([curve[step] for step in range(235, 241)]) < 0.8 * np.mean([curve[step] for step in range(1, 7)])
    before, after = (load(path, dtype="float32") for path in (settings.output / "start", result))
    assert open_checkpoint(result, {}).layout == "projector inside; both towers by id"
    sound = soundfile.read(folder / "3.wav", dtype="float32")[0]
    chat = [{"role": "user", "content": "what do you hear? <|audio|>"}]
    assert "".join(after.generate(chat, [sound], 8)) != "".join(before.generate(chat, [sound], 8))


def test_cross_entropy_lowers_its_loss_too(folder: Path) -> None:
    settings = corpus.settings(folder, run=corpus.run(steps=30), loss={"kind": "cross_entropy"})
    train(settings)
    curve = list(losses(settings).values())
    assert np.mean(curve[-5:]) < np.mean(curve[:5])


def test_towers_stay_as_they_are_where_they_are_inside(folder: Path) -> None:
    whole, _ = checkpoints.write(folder / "whole", "whole")
    settings = corpus.settings(folder, model={"checkpoint": str(whole)}, run=corpus.run(steps=2))
    result = train(settings)
    assert json.loads((result / "config.json").read_text()) == json.loads((whole / "config.json").read_text())
    before, after = (dict(load(path, dtype="float32")._network.named_parameters()) for path in (whole, result))
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if name.startswith("multi_modal_projector.")}


def test_additions_to_the_audio_tower_are_merged_into_the_result(folder: Path) -> None:
    model = {
        "audio": str(folder / "whisper"),
        "text": str(folder / "text"),
        "projector": {"hidden": 32, "norm_mid": True},
        "lora": {"rank": 2, "alpha": 4},
    }
    settings = corpus.settings(folder, model=model, run=corpus.run(steps=4))
    result = train(settings)
    assert open_checkpoint(result, {}).layout == "audio tower and projector inside; language model by id"
    before, after = (
        dict(load(path, dtype="float32")._network.named_parameters()) for path in (settings.output / "start", result)
    )
    trained = torch.load(settings.output / STATE, weights_only=True)["trained"]
    for name, value in before.items():
        if name.startswith("multi_modal_projector."):
            assert not value.equal(after[name])
        elif name.endswith(("k_proj.weight", "q_proj.weight")) and name.startswith("audio_tower."):
            stem = "network." + name.removesuffix(".weight")
            added = trained[f"{stem}.lora_B.default.weight"] @ trained[f"{stem}.lora_A.default.weight"]
            assert added.abs().max() > 0
            assert after[name] == pytest.approx((value + 4 / 2 * added).detach().numpy(), abs=1e-6)
        else:
            assert value.equal(after[name]), name


def test_a_trained_audio_tower_goes_inside(folder: Path) -> None:
    towers = {"audio": str(folder / "whisper"), "text": str(folder / "text"), "projector": {"hidden": 32}}
    settings = corpus.settings(folder, model=towers | {"train_audio": True}, run=corpus.run(steps=2))
    result = train(settings)
    assert open_checkpoint(result, {}).layout == "audio tower and projector inside; language model by id"
    before, after = (
        dict(load(path, dtype="float32")._network.named_parameters()) for path in (settings.output / "start", result)
    )
    same = {name for name in before if before[name].equal(after[name])}
    assert {name for name in same if name.startswith("audio_tower.")} == {"audio_tower.embed_positions.weight"}
    assert same >= {name for name in before if name.startswith("language_model.")}


def test_mixed_precision_and_accumulation(folder: Path) -> None:
    settings = corpus.settings(folder, run=corpus.run(steps=3, precision="bf16", accumulation=2, workers=1))
    result = train(settings)
    assert len(losses(settings)) == 3
    assert all(np.isfinite(list(losses(settings).values())))
    stored = load(result, dtype="bfloat16")
    assert stored.dtype == torch.bfloat16
    trained = torch.load(settings.output / STATE, weights_only=True)["trained"]
    assert {tensor.dtype for tensor in trained.values()} == {torch.float32}


@pytest.mark.parametrize(("native", "computed"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_that_only_emulates_bfloat16_computes_in_float32(folder: Path, monkeypatch, native, computed) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    settings = corpus.settings(folder, run=corpus.run(steps=1, precision=None))
    checkpoint = start(settings.model, settings.output / "start", settings.seed)
    run = Run(settings, Accelerator(), checkpoint)
    assert {value.dtype for value in checkpoint.network.language_model.parameters()} == {computed}
    assert len(list(run.steps())) == 1
    kept = load_file(run.finish() / "model.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.bfloat16}


def test_accumulating_is_a_larger_batch(folder: Path) -> None:
    """All clips and answers are of one length here, so that a mean of means is the mean."""
    rows = [
        row | {"audio": "3.wav", "transcript": "hello", "continuation": "what"} for row in corpus.write_clips(folder)
    ]
    corpus.write_manifest(folder, rows)
    curves = []
    for name, shape in (("one", {"batch": 4}), ("two", {"batch": 2, "accumulation": 2})):
        settings = corpus.settings(folder, run=corpus.run(steps=4, **shape), output=folder / name)
        train(settings)
        curves.append(list(losses(settings).values()))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


TOML = """
output = "{output}"
[model]
audio = "whisper"
text = "text"
projector = {{ hidden = 32 }}
[optimizer]
warm_up_steps = 2
learning_rate = 0.01
[run]
steps = 60
batch = 2
precision = "fp32"
workers = 1
save_every = 7
log_every = 1
[[data]]
manifest = "train.jsonl"
[[data]]
manifest = "train.jsonl"
form = "transcription"
weight = 0.5
"""


def launch(config: Path, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, "-m", "models", "train", str(config)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.mark.timeout(300)
def test_a_killed_run_goes_on_with_the_losses_it_would_have_had(folder: Path) -> None:
    for name in ("whole", "killed"):
        (folder / f"{name}.toml").write_text(TOML.format(output=name))
    running = launch(folder / "killed.toml")
    while not (folder / "killed" / STATE).is_file() and running.poll() is None:
        sleep(0.005)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    saved = torch.load(folder / "killed" / STATE, weights_only=True)["step"]
    assert 0 < saved < 60
    assert not (folder / "killed" / RESULT).exists()
    assert main(["train", str(folder / "killed.toml")]) == 0
    corpus.forget_accelerator()
    assert main(["train", str(folder / "whole.toml")]) == 0
    curves = [losses(corpus.settings(folder, output=folder / name)) for name in ("whole", "killed")]
    assert list(curves[0]) == list(range(1, 61))
    assert curves[0] == curves[1]
    results = [(folder / name / RESULT / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert results[0] == results[1]


@pytest.mark.timeout(300)
def test_two_processes_do_what_one_does_with_twice_the_batch_in_two_passes(folder: Path) -> None:
    (folder / "two.toml").write_text(TOML.format(output="two").replace("steps = 60", "steps = 5"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    assert launch(folder / "two.toml", launcher).wait() == 0
    text = (
        TOML.format(output="one").replace("steps = 60", "steps = 5").replace("batch = 2", "batch = 2\naccumulation = 2")
    )
    (folder / "one.toml").write_text(text)
    assert main(["train", str(folder / "one.toml")]) == 0
    two, one = (losses(corpus.settings(folder, output=folder / name)) for name in ("two", "one"))
    assert list(two) == [1, 2, 3, 4, 5]
    assert two == pytest.approx(one, rel=1e-4)


def test_a_finished_run_has_nothing_left_to_do(folder: Path) -> None:
    settings = corpus.settings(folder, run=corpus.run(steps=2))
    result = train(settings)
    first = (result / "model.safetensors").read_bytes()
    shutil.rmtree(result)
    corpus.forget_accelerator()
    assert (train(settings) / "model.safetensors").read_bytes() == first
    assert list(losses(settings)) == [1, 2]


def test_a_run_is_not_continued_with_other_settings(folder: Path) -> None:
    train(corpus.settings(folder, run=corpus.run(steps=2)))
    corpus.forget_accelerator()
    with pytest.raises(SettingsError, match=r"other settings \(optimizer\): change them back"):
        train(corpus.settings(folder, run=corpus.run(steps=4), optimizer={"learning_rate": 0.5}))
    corpus.forget_accelerator()
    longer = corpus.settings(folder, run=corpus.run(steps=4))
    train(longer)
    assert list(losses(longer)) == [1, 2, 3, 4]


def test_bad_clips_are_counted_once_and_named(folder: Path) -> None:
    soundfile.write(folder / "long.wav", np.zeros(16000 * 17), 16000)
    rows = [
        *corpus.write_clips(folder),
        {"audio": "none.wav", "transcript": "x", "continuation": "y"},
        {"audio": "0.wav", "transcript": " ", "continuation": "y"},
        {"audio": "long.wav", "transcript": "x", "continuation": "y"},
        '{"audio": ',
    ]
    corpus.write_manifest(folder, rows)
    settings = corpus.settings(folder, run=corpus.run(steps=20, workers=1))
    train(settings)
    reasons = bad(settings)
    assert set(reasons) == {f"train.jsonl:{line}" for line in (7, 8, 9, 10)}
    assert "no such file" in reasons["train.jsonl:7"]
    assert "empty transcript" in reasons["train.jsonl:8"]
    assert "over the limit" in reasons["train.jsonl:9"]
    assert "not JSON" in reasons["train.jsonl:10"]
    assert len(losses(settings)) == 20


def test_a_loss_that_is_no_number_is_left_out_and_poisons_nothing(folder: Path) -> None:
    """The language model is broken where it reads a tilde, which one clip's transcript has (and no date in a prompt)."""
    rows = corpus.write_clips(folder)
    rows[3]["transcript"] = "hello ~"
    corpus.write_manifest(folder, rows)
    shutil.copytree((folder / "text").resolve(), folder / "broken")
    weights = load_file(folder / "broken" / "model.safetensors")
    weights["model.embed_tokens.weight"][checkpoints.tokenizer().token_to_id("~")] = float("nan")
    save_file(weights, folder / "broken" / "model.safetensors", {"format": "pt"})
    model = {"audio": str(folder / "whisper"), "text": str(folder / "broken"), "projector": {"hidden": 32}}
    settings = corpus.settings(folder, model=model, run=corpus.run(steps=9))
    train(settings)
    reasons = bad(settings)
    assert reasons.pop("train.jsonl:4") == "the loss is not a number"
    assert len(reasons) == 3  # steps: the clip is drawn in each of three rounds
    assert set(reasons.values()) == {"left out, because the gradient is not a number"}
    left_out = {int(name.removeprefix("step ")) for name in reasons}
    assert set(losses(settings)) == set(range(1, 10)) - left_out
    trained = torch.load(settings.output / STATE, weights_only=True)["trained"]
    assert all(tensor.isfinite().all() for tensor in trained.values())


def test_the_tiny_file_runs_on_the_demo_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "models" / "distill" / "tiny.toml", folder / "tiny.toml")
    monkeypatch.chdir(ROOT)
    assert main(["train", str(folder / "tiny.toml")]) == 0
    result = folder / "runs" / "tiny" / RESULT
    assert {path.name for path in result.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert open_checkpoint(result, {}).layout == "audio tower, projector and language model, all inside"


def test_one_line_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.toml").write_text(TOML.format(output="out").replace("train.jsonl", "none.jsonl"))
    assert main(["train", str(folder / "bad.toml")]) == 1
    assert "none.jsonl cannot be read" in capsys.readouterr().err
    assert main(["train", str(folder / "none.toml")]) == 1
    assert "train: " in capsys.readouterr().err


def test_all_forms_are_trained_together(folder: Path) -> None:
    rows = [
        row | {"translation": "hallo", "target": "German", "language": "English"} for row in corpus.write_clips(folder)
    ]
    corpus.write_manifest(folder, rows)
    corpus.write_manifest(folder, [{"audio": "0.wav"}, {"audio": "5.wav"}], "noise.jsonl")
    data = [
        {"manifest": folder / "train.jsonl", "form": form} for form in ("continuation", "transcription", "translation")
    ]
    data.append({"manifest": folder / "noise.jsonl", "form": "noise", "weight": 3})
    settings = corpus.settings(folder, run=corpus.run(steps=20, batch=4, name_language=True), data=data)
    train(settings)
    curve = list(losses(settings).values())
    assert np.mean(curve[-5:]) < np.mean(curve[:5])
    assert bad(settings) == {}


def test_the_data_is_the_same_however_many_processes_read_it(folder: Path) -> None:
    curves = []
    for workers in (0, 2):
        settings = corpus.settings(folder, run=corpus.run(steps=5, workers=workers), output=folder / f"{workers}")
        train(settings)
        corpus.forget_accelerator()
        curves.append(losses(settings))
    assert curves[0] == curves[1]


def test_the_log_has_every_figure_of_every_logged_step(folder: Path) -> None:
    settings = corpus.settings(folder, run=corpus.run(steps=6, log_every=2))
    train(settings)
    # a run continued within the same second may sort before its first part, which would then count as orphaned
    events = EventAccumulator(str(settings.output / LOG), purge_orphaned_data=False).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "gradient", "learning rate", "tokens/s", "bad"}
    rates = {event.step: event.value for event in events.Scalars("learning rate")}
    assert list(rates) == [2, 4, 6]
    for step, rate in rates.items():
        assert rate == pytest.approx(learning_rate(step - 1, 6, settings.optimizer))


def test_towers_may_be_given_on_the_command_line(folder: Path) -> None:
    text = TOML.format(output="out").replace('"whisper"', '"open/whisper"').replace("steps = 60", "steps = 1")
    (folder / "ids.toml").write_text(text)
    assert main(["train", str(folder / "ids.toml"), "--tower", f"open/whisper={folder / 'whisper'}"]) == 0
    config = json.loads((folder / "out" / RESULT / "config.json").read_text())
    assert config["audio_model_id"] == "open/whisper"


def test_a_missing_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.delitem(sys.modules, "models.distill.train")
    (folder / "c.toml").write_text(TOML.format(output="out"))
    assert main(["train", str(folder / "c.toml")]) == 1
    assert "accelerate is not installed: pip install 'parley[train]'" in capsys.readouterr().err
