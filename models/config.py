"""What a checkpoint's config.json says, as frozen values: the audio encoder, the projector, the language model.

Takes the parsed JSON of a published `config.json` (and, where that names towers by id, of the towers' own); gives an
`UltravoxConfig`. Sizes are in elements, times in frames (a mel frame is 10 ms, an encoder frame 20 ms).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = Mapping[str, Any]

PROJECTOR_ACTIVATIONS = ("swiglu", "gelu", "relu", "silu")

# A published config.json leaves out what equals its family's default in transformers, so these belong to the format.
_WHISPER: Json = {
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "activation_function": "gelu",
}
_LLAMA: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
}
_FAMILIES: Mapping[str, Json] = {
    "llama": _LLAMA,
    "mistral": _LLAMA
    | {
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "qwen3": _LLAMA
    | {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
}
_EIGHT_BITS = ("int-quantized", "float-quantized", "naive-quantized")  # of compressed-tensors, as `weights` reads them


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded; the message says which file or part of it, and why."""


def _check_stored(config: Json) -> None:
    """Refuse weights that are stored quantised in a way that `weights` cannot read. Raises CheckpointError."""
    if (stored := config.get("quantization_config")) is None:
        return
    way = stored.get("format") or stored.get("quant_method")
    if way not in _EIGHT_BITS:
        raise CheckpointError(
            f"weights that are stored quantised as {way!r} run only in the vLLM engine; of compressed-tensors "
            f"{', '.join(_EIGHT_BITS)} run here"
        )


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """The audio tower: a Whisper encoder (Radford et al. 2022)."""

    width: int
    layers: int
    heads: int
    feedforward: int
    mels: int = 80
    max_frames: int = 1500  # encoder frames: 1500 = 3000 mel frames = 30 s
    latency_block: int | None = None  # encoder frames; each block sees itself and what came before

    @property
    def max_mel_frames(self) -> int:
        return 2 * self.max_frames

    @classmethod
    def parse(cls, config: Json, latency_block: int | None = None) -> "AudioConfig":
        """Read the config.json of a Whisper repository, or the `audio_config` part of an Ultravox one."""
        if (family := config.get("model_type", "whisper")) != "whisper":
            raise CheckpointError(f"audio tower of type {family!r}: only whisper encoders are known")
        config = {**_WHISPER, **config}
        if (activation := config["activation_function"]) != "gelu":
            raise CheckpointError(f"audio tower with activation {activation!r}: whisper encoders use gelu")
        return cls(
            width=config["d_model"],
            layers=config["encoder_layers"],
            heads=config["encoder_attention_heads"],
            feedforward=config["encoder_ffn_dim"],
            mels=config["num_mel_bins"],
            max_frames=config["max_source_positions"],
            latency_block=latency_block,
        )


@dataclass(frozen=True, slots=True)
class ProjectorConfig:
    """Stack of `stack` encoder frames -> rows of the language model's width."""

    audio_width: int
    text_width: int
    hidden: int = 4096  # before the gate halves it
    stack: int = 8
    activation: str = "swiglu"
    norm_mid: bool = False  # norm after the activation (v0.5 and later) instead of after the second linear

    @property
    def inner(self) -> int:
        return self.hidden // 2 if self.activation == "swiglu" else self.hidden


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary position embedding: base, and how its frequencies are stretched for long contexts."""

    theta: float = 10000.0
    kind: Literal["default", "linear", "llama3", "yarn"] = "default"
    factor: float = 1.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_positions: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    @classmethod
    def parse(cls, config: Json) -> "RopeConfig":
        """Read `rope_theta` with `rope_scaling`, or the newer `rope_parameters` that holds both."""
        scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind not in ("default", "linear", "llama3", "yarn"):
            raise CheckpointError(f"rope scaling {kind!r} is not known (default, linear, llama3 and yarn are)")
        positions = scaling.get("original_max_position_embeddings") or config.get("max_position_embeddings", 8192)
        return cls(
            theta=float(scaling.get("rope_theta") or config.get("rope_theta") or 10000.0),
            kind=kind,
            factor=float(scaling.get("factor", 1.0)),
            low_frequency_factor=float(scaling.get("low_freq_factor", 1.0)),
            high_frequency_factor=float(scaling.get("high_freq_factor", 4.0)),
            original_positions=positions,
            beta_fast=float(scaling.get("beta_fast") or 32.0),
            beta_slow=float(scaling.get("beta_slow") or 1.0),
            attention_factor=scaling.get("attention_factor"),
            truncate=scaling.get("truncate", True),
        )


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The language model: Llama 3.x, Mistral (Nemo) or Qwen 3, which differ only in what is told here."""

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    feedforward: int
    max_positions: int
    eps: float = 1e-5
    rope: RopeConfig = RopeConfig()
    tied: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    head_norm: bool = False  # Qwen 3 normalises queries and keys per head
    windows: tuple[int | None, ...] = ()  # per layer: keys that a query sees, itself included; None is all
    stop: tuple[int, ...] = ()  # ids that end an answer, where no generation_config.json says

    @classmethod
    def parse(cls, config: Json) -> "TextConfig":
        """Read a language model's config.json.

        Raises CheckpointError for a family that is not run here; a vLLM server runs it (the vLLM engine of the agent).
        """
        family = config.get("model_type", "llama")
        if family not in _FAMILIES:
            raise CheckpointError(
                f"language model family {family!r} does not run in process (only {', '.join(_FAMILIES)} do); "
                "serve this checkpoint with vLLM and use the vLLM engine",
            )
        _check_stored(config)
        config = {**_FAMILIES[family], **config}
        if (activation := config["hidden_act"]) != "silu":
            raise CheckpointError(f"language model with activation {activation!r}: only silu is known")
        heads, width = config["num_attention_heads"], config["hidden_size"]
        return cls(
            family=family,
            vocabulary=config["vocab_size"],
            width=width,
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or width // heads,
            feedforward=config["intermediate_size"],
            max_positions=config["max_position_embeddings"],
            eps=config["rms_norm_eps"],
            rope=RopeConfig.parse(config),
            tied=config.get("tie_word_embeddings", False),
            attention_bias=family != "mistral" and config.get("attention_bias", False),
            mlp_bias=family == "llama" and config.get("mlp_bias", False),
            head_norm=family == "qwen3",
            windows=_windows(config, family),
            stop=token_ids(config.get("eos_token_id")),
        )


def token_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """Read token ids that may be written as one number, as a list, or not at all."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _windows(config: Json, family: str) -> tuple[int | None, ...]:
    """Sliding window per layer: Mistral's holds for every layer, Qwen's from `max_window_layers` on if switched on."""
    layers: int = config["num_hidden_layers"]
    window: int | None = config.get("sliding_window")
    if window is None or family == "llama" or (family == "qwen3" and not config.get("use_sliding_window", False)):
        return tuple(None for _ in range(layers))
    if family == "qwen3" and (kinds := config.get("layer_types")):
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    first = config["max_window_layers"] if family == "qwen3" else 0
    return tuple(window if layer >= first else None for layer in range(layers))


@dataclass(frozen=True, slots=True)
class UltravoxConfig:
    """A whole model."""

    audio: AudioConfig
    projector: ProjectorConfig
    text: TextConfig

    @classmethod
    def parse(cls, config: Json, audio: Json | None = None, text: Json | None = None) -> "UltravoxConfig":
        """Read an Ultravox config.json; `audio` and `text` are the towers' own where the checkpoint names them by id.

        Raises CheckpointError.
        """
        if (kind := config.get("model_type")) != "ultravox":
            raise CheckpointError(f"model_type is {kind!r}, not 'ultravox'")
        if config.get("num_projector_layers"):
            raise CheckpointError("a transformer projector (num_projector_layers > 0) runs only in the vLLM engine")
        _check_stored(config)
        tower = AudioConfig.parse(audio or config.get("audio_config") or {}, config.get("audio_latency_block_size"))
        language = TextConfig.parse(text or config.get("text_config") or {})
        projector = ProjectorConfig(
            audio_width=tower.width,
            text_width=language.width,
            hidden=config.get("hidden_size", 4096),
            stack=config.get("stack_factor", 8),
            activation=config.get("projector_act", "swiglu"),
            norm_mid=config.get("projector_ln_mid", False),
        )
        if projector.activation not in PROJECTOR_ACTIVATIONS:
            raise CheckpointError(f"projector_act {projector.activation!r} is not one of {PROJECTOR_ACTIVATIONS}")
        return cls(audio=tower, projector=projector, text=language)
