"""The checkpoint folder, in the layout in which Ultravox models are published.

The matrices of the encoder's layers are kept in 8 bits, as compressed-tensors keeps them, for the repository's sake: all of
`models/demo` is to stay below 20 MB.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.checkpoint import fill, open_checkpoint
from models.config import UltravoxConfig
from models.decoder import LanguageModel
from models.demo.adapter import PROJECTOR, Hearing
from models.demo.encoder import AUDIO
from models.demo.language import TEXT
from models.demo.tokens import TEMPLATE, Chat
from models.ultravox import Ultravox

CHECKPOINT = Path(__file__).parent / "checkpoint"
_IN_STEPS = "audio_tower.layers."
_STORED = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": [f"re:{re.escape(_IN_STEPS)}.*"],
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False},
        }
    },
}


def assemble(hearing: Hearing, language: LanguageModel) -> Ultravox:
    """Join the trained parts to one model under the published names."""
    model = Ultravox(UltravoxConfig(AUDIO, PROJECTOR, TEXT))
    model.audio_tower.load_state_dict(hearing.listener.audio_tower.state_dict())
    model.multi_modal_projector.load_state_dict(hearing.multi_modal_projector.state_dict())
    model.language_model.load_state_dict(language.state_dict())
    return model.eval()


def read_network(folder: Path) -> Ultravox:
    """Read a checkpoint's network in float32. Raises CheckpointError."""
    checkpoint = open_checkpoint(folder, {})
    fill(checkpoint, torch.device("cpu"), torch.float32)
    return checkpoint.network.eval()


def write_checkpoint(folder: Path, model: Ultravox, chat: Chat) -> None:
    """Write weights, those of `_IN_STEPS` in 8 bits and others in bfloat16, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_stored(model), folder / "model.safetensors", metadata={"format": "pt"})
    chat.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    ends = [chat.end, chat.tokenizer.token_to_id("<|eom_id|>"), chat.tokenizer.token_to_id("<|end_of_text|>")]
    files: dict[str, Any] = {
        "config.json": _config(chat),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
            "pad_token": "<|eot_id|>",
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
        "generation_config.json": {
            "bos_token_id": chat.begin,
            "eos_token_id": ends,
            "pad_token_id": chat.end,
            "do_sample": False,
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "UltravoxProcessor",
            "feature_size": AUDIO.mels,
            "sampling_rate": 16000,
            "hop_length": 160,
            "n_fft": 400,
            "chunk_length": 30,
            "padding_value": 0.0,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def _stored(model: Ultravox) -> dict[str, Tensor]:
    """Give the tensors of the file; what is in 8 bits is in steps of a 127th of its output's largest weight (`weight_scale`)."""
    stored = dict[str, Tensor]()
    for name, value in model.state_dict().items():
        if name.startswith(_IN_STEPS) and value.ndim == 2:
            scale = value.float().abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
            stored[name], stored[f"{name}_scale"] = (value / scale).round().to(torch.int8), scale
        else:
            stored[name] = value.to(torch.bfloat16).contiguous()
    return stored


def _config(chat: Chat) -> dict[str, Any]:
    return {
        "model_type": "ultravox",
        "architectures": ["UltravoxModel"],
        "audio_model_id": None,
        "text_model_id": None,
        "audio_config": {
            "model_type": "whisper",
            "_name_or_path": "parley/whisper-demo",
            "d_model": AUDIO.width,
            "encoder_layers": AUDIO.layers,
            "encoder_attention_heads": AUDIO.heads,
            "encoder_ffn_dim": AUDIO.feedforward,
            "num_mel_bins": AUDIO.mels,
            "max_source_positions": AUDIO.max_frames,
            "activation_function": "gelu",
        },
        "text_config": {
            "model_type": TEXT.family,
            "vocab_size": TEXT.vocabulary,
            "hidden_size": TEXT.width,
            "num_hidden_layers": TEXT.layers,
            "num_attention_heads": TEXT.heads,
            "num_key_value_heads": TEXT.kv_heads,
            "head_dim": TEXT.head_size,
            "intermediate_size": TEXT.feedforward,
            "max_position_embeddings": TEXT.max_positions,
            "rms_norm_eps": TEXT.eps,
            "rope_theta": TEXT.rope.theta,
            "hidden_act": "silu",
            "tie_word_embeddings": TEXT.tied,
            "bos_token_id": chat.begin,
            "eos_token_id": chat.end,
        },
        "hidden_size": PROJECTOR.hidden,
        "stack_factor": PROJECTOR.stack,
        "norm_init": 0.4,
        "projector_act": PROJECTOR.activation,
        "projector_ln_mid": PROJECTOR.norm_mid,
        "audio_token_index": chat.audio,
        "vocab_size": TEXT.vocabulary,
        "pad_token_id": chat.end,
        "torch_dtype": "bfloat16",
        "quantization_config": _STORED,
    }
