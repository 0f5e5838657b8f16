"""The checkpoint folder as it is written: small enough for the repository, and read again as what was trained."""

import json

import torch
from safetensors import safe_open

from models.demo.adapter import Hearing
from models.demo.export import assemble, read_network, write_checkpoint
from models.demo.language import build_language_model


def test_a_checkpoint_is_read_as_what_was_written_within_half_a_step(hearing: Hearing, chat, tmp_path):
    model = assemble(hearing, build_language_model())
    write_checkpoint(tmp_path, model, chat)
    read = dict(read_network(tmp_path).named_parameters())
    for name, value in model.named_parameters():
        if name.startswith("audio_tower.layers.") and value.ndim == 2:
            half = value.abs().amax(1, keepdim=True) / 127 / 2
            assert ((read[name] - value).abs() <= 1.001 * half).all(), name
            assert not torch.equal(read[name], value), name
        else:
            assert torch.equal(read[name], value.bfloat16().float()), name


def test_the_file_leaves_room_below_20_mb(hearing: Hearing, chat, tmp_path):
    write_checkpoint(tmp_path, assemble(hearing, build_language_model()), chat)
    assert (tmp_path / "model.safetensors").stat().st_size < 17e6
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        kinds = {stored.get_slice(name).get_dtype() for name in stored.keys() if "fc1.weight" in name}  # noqa: SIM118
    assert kinds == {"I8", "F32"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["quantization_config"]["format"] == "int-quantized"


def test_an_output_whose_weights_are_all_zero_stays_zero(hearing: Hearing, chat, tmp_path):
    model = assemble(hearing, build_language_model())
    matrix = model.audio_tower.layers[0].fc2.weight
    with torch.no_grad():
        matrix[3] = 0
    write_checkpoint(tmp_path, model, chat)
    read = read_network(tmp_path).audio_tower.layers[0].fc2.weight
    assert not read[3].any()
    assert read[4].any()
