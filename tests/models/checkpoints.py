"""Small random checkpoints in exactly the layouts that are published, and the parts that they are made of.

The towers are transformers' own classes, saved by transformers; the same objects serve as the reference.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

AUDIO_ID, TEXT_ID = "openai/whisper-tiny-random", "meta-llama/Llama-tiny-random"
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CHAT_TEMPLATE = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Today is " + (date_string if date_string is defined else strftime_now("%d %b %Y")) + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant', 'tool'] %}
        {{- raise_exception("unknown role " + message.role) }}
    {%- endif %}
    {%- if loop.first and tools is not none %}
        {{- "<|start_header_id|>user<|end_header_id|>\n\nYou may call:\n" }}
        {%- for tool in tools %}
            {{- tool | tojson(indent=4) }}
            {{- "\n\n" }}
        {%- endfor %}
        {{- message.content | trim + "<|eot_id|>" }}
    {%- elif message.tool_calls %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
        {{- '{"name": "' + call.name + '", "parameters": ' + (call.arguments | tojson) + "}<|eot_id|>" }}
    {%- elif message.role == "tool" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" + message.content + "<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>" + message.role + "<|end_header_id|>\n\n" + message.content | trim + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
{%- endif %}
"""
SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
)
FAMILIES: dict[str, tuple[type, type]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


@dataclass(frozen=True)
class Parts:
    """What a checkpoint is made of."""

    whisper: WhisperForConditionalGeneration
    projector: dict[str, torch.Tensor]
    text: PreTrainedModel
    norm_mid: bool


@cache
def tokenizer() -> Tokenizer:
    """Byte-level BPE over a few words with Llama 3's special tokens; every text can be encoded."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    words = ["hello there, what do you hear in this audio? please translate it to German"] * 3
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(words, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    bpe.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return bpe


VOCABULARY = tokenizer().get_vocab_size()
EOT = tokenizer().token_to_id("<|eot_id|>")


def randomise(module: nn.Module, seed: int) -> None:
    """Draw weights large enough for answers to depend on everything, and norms that are not all one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            size = 0.3 if parameter.ndim > 1 else 0.2
            drawn = torch.randn(parameter.shape, generator=generator) * size
            parameter.copy_(drawn + parameter if parameter.ndim == 1 else drawn)


@cache
def whisper(mels: int = 80) -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        vocab_size=60,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=32,
        num_mel_bins=mels,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    model = WhisperForConditionalGeneration(config).eval()
    randomise(model.model.encoder, seed=1)
    return model


def language_model(family: str = "llama", **changes: object) -> PreTrainedModel:
    config_class, model_class = FAMILIES[family]
    values: dict[str, object] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": EOT,
    }
    model = model_class(config_class(**(values | changes))).eval()
    randomise(model, seed=2)
    return model


def projector(audio_width: int, text_width: int, norm_mid: bool, hidden: int = 64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    after = {"ln_mid": draw(hidden // 2) + 0.4} if norm_mid else {"ln_post": draw(text_width) + 0.4}
    return {
        f"multi_modal_projector.{name}.weight": tensor
        for name, tensor in {
            "ln_pre": draw(audio_width * 8) + 0.4,
            "linear_1": draw(hidden, audio_width * 8),
            "linear_2": draw(text_width, hidden // 2),
            **after,
        }.items()
    }


@cache
def parts(norm_mid: bool = False, mels: int = 80, family: str = "llama") -> Parts:
    rope = {"rope_parameters": LLAMA3_ROPE} if family == "llama" else {}
    text = language_model(family, **rope)
    return Parts(whisper(mels), projector(32, text.config.hidden_size, norm_mid), text, norm_mid)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2))


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files as they are found in a Llama repository."""
    tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", config)
    eos = [tokenizer().token_to_id(token) for token in SPECIAL[1:3]]
    write_json(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": EOT})


def write_towers(folder: Path, made: Parts) -> dict[str, str]:
    """Save the towers as their own repositories; give the folder of each by its id."""
    audio, text = folder / "whisper", folder / "text"
    made.whisper.save_pretrained(audio)
    made.text.save_pretrained(text)
    write_tokenizer(text)
    return {AUDIO_ID: str(audio), TEXT_ID: str(text)}


def audio_weights(made: Parts) -> dict[str, torch.Tensor]:
    return {f"audio_tower.{name}": tensor for name, tensor in made.whisper.model.encoder.state_dict().items()}


def text_weights(made: Parts) -> dict[str, torch.Tensor]:
    tied = made.text.config.tie_word_embeddings
    state = {name: tensor for name, tensor in made.text.state_dict().items() if not (tied and name == "lm_head.weight")}
    return {f"language_model.{name}": tensor for name, tensor in state.items()}


def inline(config: object) -> dict[str, object]:
    """Write a tower's config as it stands inside another: what equals the class's default is left out."""
    return json.loads(config.to_json_string(use_diff=True))


def base_config(made: Parts) -> dict[str, object]:
    config: dict[str, object] = {"model_type": "ultravox", "hidden_size": 64, "torch_dtype": "bfloat16"}
    return config | ({"projector_ln_mid": True} if made.norm_mid else {})


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path, {"format": "pt"})


def save_shards(tensors: dict[str, torch.Tensor], folder: Path, count: int) -> None:
    """Save tensors in so many files with an index, as large checkpoints are."""
    names = sorted(tensors)
    files = [f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]
    weight_map = {name: files[position % count] for position, name in enumerate(names)}
    for file in files:
        save({name: tensors[name] for name in names if weight_map[name] == file}, folder / file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_v0_3(folder: Path, made: Parts) -> None:
    """v0_3, v0_4 8B: language model and projector in shards, the audio tower by id."""
    config = {"audio_model_id": AUDIO_ID, "text_config": inline(made.text.config), "audio_token_index": VOCABULARY}
    write_json(folder / "config.json", base_config(made) | config)
    save_shards(made.projector | text_weights(made), folder, 3)
    write_tokenizer(folder)


def write_v0_4_1(folder: Path, made: Parts) -> None:
    """v0_4 70B, v0_4_1: the projector alone, both towers by id; the tokenizer comes with the language model here."""
    write_json(folder / "config.json", base_config(made) | {"audio_model_id": AUDIO_ID, "text_model_id": TEXT_ID})
    save(made.projector, folder / "model.safetensors")


def write_v0_5(folder: Path, made: Parts) -> None:
    """v0_5, v0_6: audio tower and projector, the language model by id."""
    config = {"audio_model_id": None, "audio_config": inline(made.whisper.config), "text_model_id": TEXT_ID}
    write_json(folder / "config.json", base_config(made) | config)
    save(made.projector | audio_weights(made), folder / "model.safetensors")
    write_tokenizer(folder)


def write_whole(folder: Path, made: Parts) -> None:
    """Everything inside, as the demo checkpoint is."""
    config = {
        "audio_model_id": None,
        "text_model_id": None,
        "audio_config": inline(made.whisper.config),
        "text_config": inline(made.text.config),
    }
    write_json(folder / "config.json", base_config(made) | config)
    save(made.projector | audio_weights(made) | text_weights(made), folder / "model.safetensors")
    write_tokenizer(folder)


IN_STEPS = {"quant_method": "compressed-tensors", "format": "int-quantized"}


def store_in_steps(folder: Path, kind: torch.dtype) -> dict[str, torch.Tensor]:
    """Write the encoder's and the language model's matrices again as compressed-tensors does; give what they then are."""
    stored, meant = load_file(folder / "model.safetensors"), dict[str, torch.Tensor]()
    for name, tensor in list(stored.items()):
        if "layers." in name and tensor.ndim == 2:
            scale = tensor.abs().amax(1, keepdim=True) / 100
            steps = tensor / scale
            stored[name] = (steps.round() if kind == torch.int8 else steps).to(kind)
            stored[f"{name}_scale"] = scale
            stored[f"{name.removesuffix('weight')}input_zero_point"] = torch.zeros(
                1, dtype=torch.int8
            )  # of activations
            meant[name] = stored[name].float() * scale
    save(stored, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    write_json(
        folder / "config.json",
        config
        | {"quantization_config": IN_STEPS, "text_config": config["text_config"] | {"quantization_config": IN_STEPS}},
    )
    return meant


LAYOUTS: dict[str, Callable[[Path, Parts], None]] = {
    "v0_3": write_v0_3,
    "v0_4_1": write_v0_4_1,
    "v0_5": write_v0_5,
    "whole": write_whole,
}


def write(folder: Path, layout: str, made: Parts | None = None) -> tuple[Path, dict[str, str]]:
    """Write a checkpoint and its towers: (folder of the checkpoint, folder of each tower by id)."""
    made = made or parts()
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    LAYOUTS[layout](checkpoint, made)
    return checkpoint, {} if layout == "whole" else write_towers(folder, made)
