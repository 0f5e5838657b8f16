import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import CheckpointError, load, memory
from models.checkpoint import choose_dtype, open_checkpoint
from tests.models import checkpoints, reference
from tests.models.checkpoints import AUDIO_ID, TEXT_ID

PROMPT = "<|begin_of_text|>please translate <|audio|> to German"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def answers_like(folder: Path, towers: dict[str, str], parts: checkpoints.Parts) -> None:
    """Compare logits over one audio with the reference's."""
    model = load(folder, towers=towers, dtype="float32")
    audio = torch.randn(9000, generator=torch.Generator().manual_seed(1)).mul(0.1).numpy()
    expected = reference.logits(parts, PROMPT, [audio])
    torch.testing.assert_close(model.logits(model.prepare(PROMPT, [audio])), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("layout", checkpoints.LAYOUTS)
@pytest.mark.parametrize(("norm_mid", "mels"), [(False, 80), (True, 128)])
def test_every_layout_gives_the_same_model(tmp_path: Path, layout: str, norm_mid: bool, mels: int) -> None:
    parts = checkpoints.parts(norm_mid, mels)
    answers_like(*checkpoints.write(tmp_path, layout, parts), parts)


@pytest.mark.parametrize("family", ["mistral", "qwen3"])
def test_every_family_loads(tmp_path: Path, family: str) -> None:
    parts = checkpoints.parts(family=family)
    answers_like(*checkpoints.write(tmp_path, "v0_3", parts), parts)


def test_tied_embeddings_need_no_head(tmp_path: Path) -> None:
    text = checkpoints.language_model(tie_word_embeddings=True)
    parts = checkpoints.Parts(
        checkpoints.whisper(), checkpoints.projector(32, 48, norm_mid=False), text, norm_mid=False
    )
    folder, towers = checkpoints.write(tmp_path, "v0_3", parts)
    assert not any("lm_head" in key for shard in folder.glob("*.safetensors") for key in load_file(shard))
    answers_like(folder, towers, parts)


def write_lora(folder: Path, parts: checkpoints.Parts, rank: int, alpha: int) -> dict[str, torch.Tensor]:
    """Write a training checkpoint with low-rank additions to the encoder; give what they add, by weight."""
    generator = torch.Generator().manual_seed(8)
    halves, added = {}, {}
    for layer in range(2):
        for name in ("k_proj", "q_proj"):
            a, b = torch.randn(rank, 32, generator=generator) * 0.1, torch.randn(32, rank, generator=generator)
            key = f"layers.{layer}.self_attn.{name}"
            halves[f"audio_tower.base_model.model.{key}.lora_A.default.weight"] = a
            halves[f"audio_tower.base_model.model.{key}.lora_B.default.weight"] = b
            added[f"{key}.weight"] = alpha / rank * b @ a
    config = {"audio_model_id": AUDIO_ID, "text_model_id": TEXT_ID}
    lora = {"audio_model_lora_config": {"r": rank, "lora_alpha": alpha, "target_modules": ["k_proj", "q_proj"]}}
    checkpoints.write_json(folder / "config.json", checkpoints.base_config(parts) | config | lora)
    checkpoints.save(parts.projector | halves, folder / "model.safetensors")
    return added


def test_lora_is_merged(tmp_path: Path) -> None:
    parts = checkpoints.parts(norm_mid=True)
    added = write_lora(tmp_path, parts, rank=4, alpha=8)
    towers = checkpoints.write_towers(tmp_path, parts)
    checkpoint = open_checkpoint(tmp_path, towers)
    assert checkpoint.layout.endswith("LoRA merged into 4 weights on loading")
    tower = load(tmp_path, towers, dtype="float32")._network.audio_tower.state_dict()
    for name, weight in parts.whisper.model.encoder.state_dict().items():
        torch.testing.assert_close(tower[name], weight + added.get(name, 0))


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn])
def test_weights_that_are_stored_in_8_bits_are_multiplied_by_their_scales(tmp_path: Path, kind: torch.dtype) -> None:
    folder, _ = checkpoints.write(tmp_path, "whole")
    stored = load_file(folder / "model.safetensors")
    meant = checkpoints.store_in_steps(folder, kind)
    assert len(meant) == 2 * 6 + 3 * 7
    in_steps = load(folder, dtype="float32")
    checkpoints.save(stored | meant, folder / "model.safetensors")
    plain = load(folder, dtype="float32")
    audio = torch.randn(9000, generator=torch.Generator().manual_seed(1)).mul(0.1).numpy()
    prompt = plain.prepare(PROMPT, [audio])
    torch.testing.assert_close(in_steps.logits(prompt), plain.logits(prompt), atol=0, rtol=0)


def test_base_layers_inside_count_as_the_tower(tmp_path: Path) -> None:
    """With the tower itself saved, peft's names around its layers are taken off and no id is needed."""
    parts = checkpoints.parts()
    added = write_lora(tmp_path, parts, rank=2, alpha=2)
    wrapped = {
        name.replace("audio_tower.", "audio_tower.base_model.model.").replace(
            ".k_proj.weight", ".k_proj.base_layer.weight"
        ): tensor
        for name, tensor in checkpoints.audio_weights(parts).items()
    }
    stored = load_file(tmp_path / "model.safetensors")
    checkpoints.save(stored | wrapped, tmp_path / "model.safetensors")
    edit(tmp_path / "config.json", audio_model_id=None, audio_config=checkpoints.inline(parts.whisper.config))
    tower = load(tmp_path, checkpoints.write_towers(tmp_path, parts), dtype="float32")._network.audio_tower
    name = "layers.1.self_attn.k_proj.weight"
    expected = parts.whisper.model.encoder.state_dict()[name] + added[name]
    torch.testing.assert_close(tower.state_dict()[name], expected)


def test_what_the_checkpoint_holds_wins_over_the_tower(tmp_path: Path) -> None:
    """A training checkpoint with some layers unfrozen holds only those of its tower."""
    parts = checkpoints.parts()
    folder, towers = checkpoints.write(tmp_path, "v0_4_1", parts)
    tuned = torch.randn(32)
    checkpoints.save(parts.projector | {"audio_tower.layer_norm.bias": tuned}, folder / "model.safetensors")
    tower = load(folder, towers, dtype="float32")._network.audio_tower
    assert torch.equal(tower.layer_norm.bias, tuned)
    assert torch.equal(tower.conv1.weight, parts.whisper.model.encoder.conv1.weight)


def test_half_a_lora_is_named(tmp_path: Path) -> None:
    parts = checkpoints.parts()
    write_lora(tmp_path, parts, rank=4, alpha=8)
    stored = load_file(tmp_path / "model.safetensors")
    del stored["audio_tower.base_model.model.layers.1.self_attn.q_proj.lora_B.default.weight"]
    checkpoints.save(stored, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layers\.1.*lora_A.* has no counterpart"):
        load(tmp_path, checkpoints.write_towers(tmp_path, parts))


def test_an_audio_token_index_outside_the_vocabulary_is_no_matter(tmp_path: Path) -> None:
    folder, towers = checkpoints.write(tmp_path, "v0_3")
    assert json.loads((folder / "config.json").read_text())["audio_token_index"] == checkpoints.VOCABULARY
    model = load(folder, towers, dtype="float32")
    assert model.prepare("<|audio|>", [[0.0] * 400]).input_ids.max() < checkpoints.VOCABULARY


def test_latency_block_reaches_the_encoder(tmp_path: Path) -> None:
    folder, towers = checkpoints.write(tmp_path, "v0_5")
    plain = load(folder, towers, dtype="float32")
    edit(folder / "config.json", audio_latency_block_size=10)
    blocked = load(folder, towers, dtype="float32")
    mel = torch.randn(80, 60)
    assert not torch.allclose(blocked.encode(mel), plain.encode(mel), atol=1e-3)


def test_a_single_file_wins_over_a_stale_index(tmp_path: Path) -> None:
    parts = checkpoints.parts()
    folder, towers = checkpoints.write(tmp_path, "v0_5", parts)
    checkpoints.write_json(folder / "model.safetensors.index.json", {"weight_map": {"gone": "gone.safetensors"}})
    answers_like(folder, towers, parts)


def damage_shape(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    stored["audio_tower.layers.0.fc1.weight"] = torch.zeros(65, 32)
    checkpoints.save(stored, folder / "model.safetensors")


def damage_missing(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    del stored["multi_modal_projector.ln_post.weight"]
    checkpoints.save(stored, folder / "model.safetensors")


def damage_truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def damage_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damage_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def damage_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def damage_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def damage_no_eos(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token="<|nothing|>")


def damage_no_tower(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    checkpoints.save({k: v for k, v in stored.items() if "audio_tower" not in k}, folder / "model.safetensors")


def damage_scale(folder: Path) -> None:
    checkpoints.store_in_steps(folder, torch.int8)
    stored = load_file(folder / "model.safetensors")
    del stored["audio_tower.layers.0.fc1.weight_scale"]
    checkpoints.save(stored, folder / "model.safetensors")


def damage_scale_shape(folder: Path) -> None:
    checkpoints.store_in_steps(folder, torch.int8)
    stored = load_file(folder / "model.safetensors")
    stored["audio_tower.layers.0.fc1.weight_scale"] = torch.ones(64, 4)
    checkpoints.save(stored, folder / "model.safetensors")


def damage_zeros(folder: Path) -> None:
    checkpoints.store_in_steps(folder, torch.int8)
    stored = load_file(folder / "model.safetensors")
    stored["audio_tower.layers.0.fc1.weight_zero_point"] = torch.zeros(64, 1, dtype=torch.int8)
    checkpoints.save(stored, folder / "model.safetensors")


DAMAGE = {
    damage_scale: r"model\.safetensors: .*0\.fc1\.weight is stored in 8 bits without its weight_scale",
    damage_scale_shape: r"0\.fc1\.weight_scale has shape \(64, 4\) beside \(64, 32\); only one scale",
    damage_zeros: r"0\.fc1\.weight_zero_point: weights whose zero is not 0 run only in the vLLM engine",
    damage_shape: r"model\.safetensors: audio_tower\.layers\.0\.fc1\.weight has shape \(65, 32\).*\(64, 32\)",
    damage_missing: r"checkpoint has no tensor multi_modal_projector\.ln_post\.weight",
    damage_truncated: r"model\.safetensors is broken or incomplete",
    damage_pickle: r"pytorch_model\.bin is a pickle.*only safetensors",
    damage_no_weights: r"has neither model\.safetensors nor",
    damage_no_config: r"config\.json is missing",
    damage_config: r"config\.json is not JSON",
    damage_no_tokenizer: r"tokenizer\.json is missing",
    damage_no_eos: r"tokenizer_config\.json: eos_token '<\|nothing\|>' is not in",
    damage_no_tower: r"holds no audio tower, and its config\.json names no audio_model_id",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Any) -> None:
    folder, _ = checkpoints.write(tmp_path, "whole")
    damage(folder)
    with pytest.raises(CheckpointError, match=DAMAGE[damage]):
        load(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder, towers = checkpoints.write(tmp_path, "v0_3")
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00003\.safetensors is missing"):
        load(folder, towers)


def test_an_unknown_family_names_the_vllm_engine(tmp_path: Path) -> None:
    folder, towers = checkpoints.write(tmp_path, "v0_5")
    edit(Path(towers[TEXT_ID]) / "config.json", model_type="glm4_moe")
    with pytest.raises(CheckpointError, match=r"config\.json: .*'glm4_moe' does not run in process.*vLLM engine"):
        load(folder, towers)


def test_a_device_that_is_not_there(whole: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(CheckpointError, match="device cuda: this machine has no CUDA device"):
        load(whole, device="cuda")


def test_end_tokens_come_from_the_first_file_that_tells(tmp_path: Path) -> None:
    folder, _ = checkpoints.write(tmp_path, "whole")
    end, turn = (checkpoints.tokenizer().token_to_id(token) for token in checkpoints.SPECIAL[1:3])
    assert load(folder).stop == {end, turn}
    (folder / "generation_config.json").unlink()
    assert load(folder).stop == {turn}
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = [5, end]
    checkpoints.write_json(folder / "config.json", config)
    assert load(folder).stop == {5, end, turn}


def test_memory_that_is_missing_is_told_before_reading(whole: Path) -> None:
    network = open_checkpoint(whole, {}).network
    needed = memory.needed(network, torch.float32)
    memory.check(network, torch.float32, None, needed)
    memory.check(network, torch.float32, None, None)
    with pytest.raises(
        CheckpointError, match=r"too little memory: .* needed, .* free; quantize='int8' would need .*int4"
    ):
        memory.check(network, torch.float32, None, needed - 1)


def test_memory_is_counted_as_it_is_taken(whole: Path) -> None:
    network = open_checkpoint(whole, {}).network
    loaded = load(whole, dtype="bfloat16")._network
    taken = sum(parameter.nbytes for parameter in loaded.parameters())
    assert memory.weight_bytes(network, torch.bfloat16) == taken
    assert memory.cache_bytes(network.config.text, torch.bfloat16, 10) == 2 * 3 * 2 * 16 * 10 * 2


def test_loading_peaks_below_the_model_and_a_shard(tmp_path: Path) -> None:
    """Peak host memory stays within 1.2 times the largest shard plus the model (120 MB in three shards)."""
    text = checkpoints.language_model(hidden_size=512, intermediate_size=9600, num_hidden_layers=2, head_dim=32)
    parts = checkpoints.Parts(
        checkpoints.whisper(), checkpoints.projector(32, 512, norm_mid=False), text, norm_mid=False
    )
    folder, towers = checkpoints.write(tmp_path, "v0_3", parts)
    shard = max(file.stat().st_size for file in folder.glob("*.safetensors"))
    script = (
        "import resource, sys; from models import load; from models.checkpoint import open_checkpoint\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        f"towers = {towers!r}; open_checkpoint({str(folder)!r}, towers); before = peak()\n"
        f"m = load({str(folder)!r}, towers, dtype=sys.argv[1]); after = peak()\n"
        "print(after - before, sum(p.nbytes for p in m._network.parameters()))"
    )
    for dtype in ("bfloat16", "float32"):
        run = subprocess.run([sys.executable, "-c", script, dtype], capture_output=True, text=True, check=True)
        grown, model_size = map(int, run.stdout.split())
        assert model_size > 50e6
        assert grown <= 1.2 * shard + model_size


def test_no_transformers_at_run_time(whole: Path) -> None:
    script = f"import sys; from models import load; load({str(whole)!r}); print('transformers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_dtypes() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_dtype("float32", cpu) == torch.float32
    assert choose_dtype(torch.bfloat16, cpu) == torch.bfloat16
    assert choose_dtype(None, gpu) == torch.bfloat16
    assert choose_dtype("float16", gpu) == torch.float16
    native = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    assert choose_dtype(None, cpu) == native
    with pytest.raises(CheckpointError, match="float16 is not for CPUs"):
        choose_dtype("float16", cpu)
    with pytest.raises(CheckpointError, match="dtype 'float8'"):
        choose_dtype("float8", cpu)
