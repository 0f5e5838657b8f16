import dataclasses
from typing import Any

import pytest

from models.config import AudioConfig, CheckpointError, RopeConfig, TextConfig, UltravoxConfig
from tests.models import checkpoints

# parts of published config.json files: what equals transformers' defaults is left out there
V0_4: dict[str, Any] = {
    "model_type": "ultravox",
    "audio_config": {
        "model_type": "whisper",
        "d_model": 1024,
        "encoder_attention_heads": 16,
        "encoder_ffn_dim": 4096,
        "encoder_layers": 24,
    },
    "text_config": {
        "model_type": "llama",
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "vocab_size": 128256,
    },
}


def test_what_a_published_config_leaves_out_is_the_familys_default() -> None:
    config = UltravoxConfig.parse(V0_4)
    assert config.audio == AudioConfig(width=1024, layers=24, heads=16, feedforward=4096)
    assert (config.text.width, config.text.layers, config.text.heads) == (4096, 32, 32)
    assert config.text.head_size == 128
    assert config.text.rope == RopeConfig(theta=500000.0, kind="llama3", factor=8.0, original_positions=8192)
    assert dataclasses.asdict(config.projector) == {
        "audio_width": 1024,
        "text_width": 4096,
        "hidden": 4096,
        "stack": 8,
        "activation": "swiglu",
        "norm_mid": False,
    }


@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_an_empty_text_config_equals_transformers_defaults(family: str) -> None:
    theirs = checkpoints.FAMILIES[family][0]()
    whole = TextConfig.parse(theirs.to_dict() | {"eos_token_id": None})
    assert TextConfig.parse({"model_type": family}) == whole


def test_windows_by_layer() -> None:
    qwen = {"model_type": "qwen3", "num_hidden_layers": 3, "sliding_window": 9, "max_window_layers": 1}
    assert TextConfig.parse(qwen).windows == (None, None, None)
    assert TextConfig.parse(qwen | {"use_sliding_window": True}).windows == (None, 9, 9)
    assert TextConfig.parse({"model_type": "mistral", "num_hidden_layers": 2}).windows == (4096, 4096)
    assert TextConfig.parse({"model_type": "llama", "num_hidden_layers": 2, "sliding_window": 9}).windows == (
        None,
        None,
    )


def test_both_ways_to_write_rope_scaling() -> None:
    scaling = V0_4["text_config"]["rope_scaling"]
    old = {"rope_theta": 500000.0, "rope_scaling": {**scaling, "type": "llama3"}}
    new = {"rope_parameters": {**scaling, "rope_theta": 500000.0}}
    assert RopeConfig.parse(old) == RopeConfig.parse(new)
    assert RopeConfig.parse({"rope_theta": 1e6}) == RopeConfig(theta=1e6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "not 'ultravox'"),
        ({"num_projector_layers": 2}, "vLLM"),
        ({"projector_act": "tanh"}, "projector_act 'tanh'"),
        ({"audio_config": {"model_type": "wav2vec2"}}, "wav2vec2"),
        ({"text_config": {"model_type": "gemma3"}}, "'gemma3' does not run in process.*vLLM"),
        ({"text_config": {"model_type": "llama", "quantization_config": {}}}, "stored quantised.*vLLM"),
        ({"quantization_config": {"quant_method": "awq"}}, "stored quantised as 'awq'.*vLLM.*int-quantized"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}},
            "'pack-quantized'",
        ),
        ({"text_config": {"model_type": "llama", "hidden_act": "gelu"}}, "activation 'gelu'"),
        ({"text_config": {"model_type": "llama", "rope_scaling": {"type": "dynamic"}}}, "rope scaling 'dynamic'"),
    ],
)
def test_what_is_not_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        UltravoxConfig.parse(V0_4 | change)
