"""What a run begins with and what it leaves, apart from training."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("soxr", reason="the extra 'train' is not installed")

from models import CheckpointError, load
from models.checkpoint import Checkpoint
from models.distill import export
from models.distill.settings import LoraSettings, ModelSettings
from models.distill.start import start
from tests.models import checkpoints


def towers(folder: Path, **changes: object) -> ModelSettings:
    values = {"audio": str(folder / "whisper"), "text": str(folder / "text"), "projector": {"hidden": 24}}
    return ModelSettings.model_validate(values | changes)


@pytest.mark.parametrize(("norm_mid", "last"), [(False, "ln_post"), (True, "ln_mid")])
def test_a_new_projector_is_a_published_checkpoint(folder: Path, norm_mid: bool, last: str) -> None:
    settings = towers(folder, projector={"hidden": 24, "norm_mid": norm_mid, "norm_init": 0.3})
    checkpoint = start(settings, folder / "start", seed=1)
    assert checkpoint.layout == "projector inside; both towers by id"
    tensors = load_file(folder / "start" / "model.safetensors")
    names = {f"multi_modal_projector.{name}.weight" for name in ("ln_pre", "linear_1", "linear_2", last)}
    assert set(tensors) == names
    assert all((tensors[name] == torch.tensor(0.3)).all() for name in names if ".ln_" in name)
    assert tensors["multi_modal_projector.linear_1.weight"].shape == (24, 8 * 32)
    assert load(folder / "start", dtype="float32").config.projector.norm_mid == norm_mid


def test_the_seed_decides_the_projector_and_nothing_else_is_drawn(folder: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    made = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        start(towers(folder), folder / name, seed)
        made[name] = (folder / name / "model.safetensors").read_bytes()
    assert made["a"] == made["b"] != made["c"]
    assert torch.rand(3).equal(expected)


def test_what_is_there_is_not_drawn_again(folder: Path) -> None:
    start(towers(folder), folder / "start", seed=1)
    before = (folder / "start" / "model.safetensors").read_bytes()
    start(towers(folder), folder / "start", seed=2)
    assert (folder / "start" / "model.safetensors").read_bytes() == before


def test_towers_may_be_ids_with_folders_given_for_them(folder: Path) -> None:
    given = {"open/whisper": folder / "whisper", "some/text": folder / "text"}
    settings = towers(folder, audio="open/whisper", text="some/text", towers=given)
    start(settings, folder / "start", seed=1)
    config = json.loads((folder / "start" / "config.json").read_text())
    assert (config["audio_model_id"], config["text_model_id"]) == ("open/whisper", "some/text")
    assert load(folder / "start", given, dtype="float32").parameters > 0


def test_a_tower_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\./none"):
        start(towers(folder, audio="./none"), folder / "start", seed=1)


def trained(checkpoint: Checkpoint, lora: LoraSettings | None = None) -> dict[str, torch.Tensor]:
    """What a run might have made of a checkpoint: projector weights, and additions to the first key projection."""
    generator = torch.Generator().manual_seed(4)
    made = {
        name: torch.randn(weight.shape, generator=generator)
        for name, weight in checkpoint.network.named_parameters()
        if name.startswith("multi_modal_projector.")
    }
    if lora:
        stem = "audio_tower.layers.0.self_attn.k_proj"
        made[f"{stem}.lora_A.default.weight"] = torch.randn(lora.rank, 32, generator=generator)
        made[f"{stem}.lora_B.default.weight"] = torch.randn(32, lora.rank, generator=generator)
    return made


@pytest.mark.parametrize("layout", sorted(checkpoints.LAYOUTS))
@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2, alpha=6)], ids=["frozen", "lora"])
def test_every_layout_keeps_what_it_held(tmp_path: Path, layout: str, lora: LoraSettings | None) -> None:
    folder, given = checkpoints.write(tmp_path, layout)
    settings = ModelSettings.model_validate({"checkpoint": str(folder), "towers": given})
    checkpoint = start(settings, tmp_path / "unused", seed=1)
    made = trained(checkpoint, lora)
    export.write(checkpoint, made, lora, tmp_path / "result")
    assert not (tmp_path / "unused").exists()
    before = dict(load(folder, given, dtype="float32")._network.named_parameters())
    after = dict(load(tmp_path / "result", given, dtype="float32")._network.named_parameters())
    key = "audio_tower.layers.0.self_attn.k_proj"
    for name, value in after.items():
        expected = made.get(name, before[name])
        if lora and name == f"{key}.weight":
            added = made[f"{key}.lora_B.default.weight"] @ made[f"{key}.lora_A.default.weight"]
            expected = expected + 3 * added
        assert torch.allclose(value, expected, atol=1e-6), name
    held = {name.partition(".")[0] for name in load_file(tmp_path / "result" / "model.safetensors")}
    first = {name.partition(".")[0] for name, stored in checkpoint.tensors.items() if stored.file.parent == folder}
    assert held == (first | {"audio_tower"} if lora else first)


def test_what_was_stored_in_8_bits_is_written_in_full(tmp_path: Path) -> None:
    folder, _ = checkpoints.write(tmp_path, "whole")
    meant = checkpoints.store_in_steps(folder, torch.int8)
    checkpoint = start(ModelSettings.model_validate({"checkpoint": str(folder)}), tmp_path / "unused", seed=1)
    export.write(checkpoint, trained(checkpoint, None), None, tmp_path / "result")
    assert "quantization_config" not in (tmp_path / "result" / "config.json").read_text()
    written = load_file(tmp_path / "result" / "model.safetensors")
    assert not any(name.endswith(("_scale", "_point")) for name in written)
    for name, value in meant.items():
        assert torch.equal(written[name], value), name


def test_the_reference_takes_its_own_encoder_for_a_merged_one(tmp_path: Path) -> None:
    """By the name in the inline config, which must have "whisper" in it."""
    folder, given = checkpoints.write(tmp_path, "v0_4_1")
    checkpoint = start(ModelSettings.model_validate({"checkpoint": str(folder), "towers": given}), tmp_path, seed=1)
    lora = LoraSettings(rank=2)
    export.write(checkpoint, trained(checkpoint, lora), lora, tmp_path / "result")
    config = json.loads((tmp_path / "result" / "config.json").read_text())
    assert config["audio_model_id"] is None
    assert "whisper" in config["audio_config"]["_name_or_path"]
    assert config["text_model_id"] == checkpoints.TEXT_ID


def test_small_files_come_along_and_an_older_result_is_replaced(tmp_path: Path) -> None:
    folder, _ = checkpoints.write(tmp_path, "v0_3")
    given = {checkpoints.AUDIO_ID: str(tmp_path / "whisper")}
    checkpoint = start(ModelSettings.model_validate({"checkpoint": str(folder), "towers": given}), tmp_path, seed=1)
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "stale.json").write_text("{}")
    (tmp_path / "result.partial").mkdir()
    export.write(checkpoint, trained(checkpoint), None, tmp_path / "result")
    names = {path.name for path in (tmp_path / "result").iterdir()}
    wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"}
    assert names == wanted  # one file now, so no index of shards
    assert not (tmp_path / "result.partial").exists()
