"""What a checkpoint's config.json says, as frozen values: the audio encoder, the projector, the language model.

Takes the parsed JSON of a published `config.json` (and, where that names towers by id, of the towers' own); gives an
`UltravoxConfig`. Sizes are in elements, times in frames (a mel frame is 10 ms, an encoder frame 20 ms).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = Mapping[str, Any]

FAMILIES = ("llama", "mistral", "qwen3")


class ConfigError(ValueError):
    """A config.json that asks for something this code does not run, or that lacks a needed value."""


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
            raise ConfigError(f"audio tower of type {family!r}: only whisper encoders are known")
        if (activation := config.get("activation_function", "gelu")) != "gelu":
            raise ConfigError(f"audio tower with activation {activation!r}: whisper encoders use gelu")
        return cls(
            width=need(config, "d_model"),
            layers=need(config, "encoder_layers"),
            heads=need(config, "encoder_attention_heads"),
            feedforward=need(config, "encoder_ffn_dim"),
            mels=config.get("num_mel_bins", 80),
            max_frames=config.get("max_source_positions", 1500),
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
            raise ConfigError(f"rope scaling {kind!r} is not known (default, linear, llama3 and yarn are)")
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

    @classmethod
    def parse(cls, config: Json) -> "TextConfig":
        """Read a language model's config.json.

        Raises ConfigError for a family that is not run here; a vLLM server runs it (the vLLM engine of the agent).
        """
        family = need(config, "model_type")
        if family not in FAMILIES:
            raise ConfigError(
                f"language model family {family!r} does not run in process (only {', '.join(FAMILIES)} do); "
                "serve this checkpoint with vLLM and use the vLLM engine",
            )
        if (activation := config.get("hidden_act", "silu")) != "silu":
            raise ConfigError(f"language model with activation {activation!r}: only silu is known")
        heads, width, layers = (need(config, k) for k in ("num_attention_heads", "hidden_size", "num_hidden_layers"))
        return cls(
            family=family,
            vocabulary=need(config, "vocab_size"),
            width=width,
            layers=layers,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            # Qwen 3 defaults to 128 whatever the width; the others to width / heads
            head_size=config.get("head_dim") or (128 if family == "qwen3" else width // heads),
            feedforward=need(config, "intermediate_size"),
            max_positions=config.get("max_position_embeddings", 2048),
            eps=config.get("rms_norm_eps", 1e-6),
            rope=RopeConfig.parse(config),
            tied=config.get("tie_word_embeddings", False),
            attention_bias=family != "mistral" and config.get("attention_bias", False),
            mlp_bias=family == "llama" and config.get("mlp_bias", False),
            head_norm=family == "qwen3",
            windows=_windows(config, family, layers),
        )


def _windows(config: Json, family: str, layers: int) -> tuple[int | None, ...]:
    """Sliding window per layer: Mistral's holds for every layer, Qwen's from `max_window_layers` on if switched on."""
    window = config.get("sliding_window")
    if window is None or family == "llama" or (family == "qwen3" and not config.get("use_sliding_window", False)):
        return (None,) * layers
    first = config.get("max_window_layers", 28) if family == "qwen3" else 0
    if kinds := config.get("layer_types") if family == "qwen3" else None:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
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

        Raises ConfigError.
        """
        if (kind := config.get("model_type")) != "ultravox":
            raise ConfigError(f"model_type is {kind!r}, not 'ultravox'")
        if config.get("num_projector_layers"):
            raise ConfigError("a transformer projector (num_projector_layers > 0) runs only in the vLLM engine")
        tower = AudioConfig.parse(audio or need(config, "audio_config"), config.get("audio_latency_block_size"))
        language = TextConfig.parse(text or need(config, "text_config"))
        projector = ProjectorConfig(
            audio_width=tower.width,
            text_width=language.width,
            hidden=config.get("hidden_size", 4096),
            stack=config.get("stack_factor", 8),
            activation=config.get("projector_act", "swiglu"),
            norm_mid=config.get("projector_ln_mid", False),
        )
        return cls(audio=tower, projector=projector, text=language)


def need(config: Json, key: str) -> Any:
    """Give a value that has no default; raises ConfigError naming the key."""
    if (value := config.get(key)) is None:
        raise ConfigError(f"config.json lacks {key!r}")
    return value
