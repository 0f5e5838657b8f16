"""What a training run is told: one TOML file, checked before anything is loaded.

Times of audio are in seconds, lengths of text in tokens. `SettingsError` says in one line per mistake what is wrong where.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Form = Literal["continuation", "transcription", "translation", "answer", "noise"]
_STRICT = ConfigDict(extra="forbid", frozen=True)
_WINDOW = 30.0  # seconds that the encoder takes at once


class SettingsError(ValueError):
    """A training file, a data source or a machine that a run cannot begin with; the message says what is wrong."""


class LoraSettings(BaseModel):
    """Low-rank additions to the audio tower (Hu et al. 2021), as v0.5 and v0.6 were trained with; merged into the result."""

    model_config = _STRICT
    rank: Count = 8
    alpha: Positive = 8
    targets: tuple[str, ...] = ("k_proj", "q_proj")  # suffixes of layer names


class ProjectorSettings(BaseModel):
    """A new projector; defaults are those of v0.4."""

    model_config = _STRICT
    hidden: Count = 4096  # before the gate halves it
    stack: Count = 8  # encoder frames per row
    norm_mid: bool = False  # v0.5 and later
    norm_init: float = 0.4


class ModelSettings(BaseModel):
    """Two towers and a new projector, or a checkpoint whose projector is trained further."""

    model_config = _STRICT
    checkpoint: str | None = None  # folder or hub id
    audio: str | None = None
    text: str | None = None
    projector: ProjectorSettings = ProjectorSettings()
    lora: LoraSettings | None = None
    train_audio: bool = False  # the whole audio tower, for small ones; with neither it stays as it is
    towers: dict[str, Path] = {}  # folders of hub ids

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.checkpoint and (self.audio or self.text or "projector" in self.model_fields_set):
            raise ValueError("checkpoint brings its own towers and projector: leave out audio, text and projector")
        if not self.checkpoint and not (self.audio and self.text):
            raise ValueError("name a checkpoint, or both audio and text")
        if self.lora and self.train_audio:
            raise ValueError("train either the whole audio tower (train_audio) or additions to it (lora)")
        return self


class LossSettings(BaseModel):
    """KL(teacher || student), or cross-entropy with the answers themselves."""

    model_config = _STRICT
    kind: Literal["kl", "cross_entropy"] = "kl"
    temperature: Positive = 2.0
    positions: Literal["shifted", "unshifted"] = "shifted"  # v0.6; up to v0.5
    end_of_turn_weight: float = Field(1.0, ge=0)  # of the answers' last tokens: v0.6; nothing up to v0.5
    turn_weight: float = Field(0.0, ge=0)  # of foretelling, where the sound ends, whether the speaker has finished
    max_answer_tokens: Count | None = 50  # v0.6; longer answers are cut

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "cross_entropy" and self.positions == "unshifted":
            raise ValueError("cross-entropy compares predictions with what follows: its positions are shifted")
        return self


class OptimizerSettings(BaseModel):
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine; defaults are those of v0.4."""

    model_config = _STRICT
    learning_rate: Positive = 2e-3
    final_share: Share = 0.0  # of the learning rate at the last step; 0.1 from v0.5 on
    warm_up_steps: int = Field(1000, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    clip: Positive = 1.0  # norm of the gradient


class RunSettings(BaseModel):
    """How long, in what pieces, and what is kept."""

    model_config = _STRICT
    steps: Count
    batch: Count = 24  # clips per device and pass
    accumulation: Count = 1  # passes per step
    precision: Literal["bf16", "fp32"] | None = None  # bf16, which a CPU that only emulates it computes in fp32
    save_every: Count = 500  # steps
    log_every: Count = 10
    workers: int = Field(2, ge=0)  # processes that read data, per device
    max_seconds: float = Field(16.0, gt=0, le=_WINDOW)  # longer clips are left out, as in the published training
    name_language: bool = False  # whether instructions name the clip's language (v0.6)


class DataSettings(BaseModel):
    """A set of clips, and what is asked about each."""

    model_config = _STRICT
    manifest: Path | None = None  # JSON lines
    dataset: str | None = None  # a folder, or a name on the Hugging Face hub
    config: str | None = None
    split: str = "train"
    streaming: bool = False
    columns: dict[str, str] = {}  # our field -> the set's column, where they differ
    samples: Count | None = None  # size of a streamed set that does not tell it
    form: Form = "continuation"
    weight: Positive = 1.0  # how often the set is gone through, beside the others
    capitals: bool = False  # whether transcripts are in capitals throughout, which are then written as sentences
    language: str | None = None  # of the clips, where they do not tell it
    target: str | None = None  # language of the translations

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.manifest is None) == (self.dataset is None):
            raise ValueError("name either a manifest or a dataset")
        return self

    @property
    def name(self) -> str:
        return str(self.manifest or "/".join(filter(None, (self.dataset, self.config, self.split))))


class Settings(BaseModel):
    """A whole training file."""

    model_config = _STRICT
    output: Path
    seed: int = 42
    model: ModelSettings
    run: RunSettings
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    data: tuple[DataSettings, ...] = Field(min_length=1)


def read(path: Path) -> Settings:
    """Read a training file; relative manifests, towers and output are seen from its folder. Raises SettingsError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        raise SettingsError("\n".join([f"{path}:", *map(_tell, error.errors())])) from error
    return _placed(settings, path.parent)


def _tell(error: object) -> str:
    assert isinstance(error, dict)
    where = ".".join(map(str, error["loc"]))
    return f"  {where}: {error['msg'].removeprefix('Value error, ')}"


def _placed(settings: Settings, folder: Path) -> Settings:
    towers = {name: folder / path for name, path in settings.model.towers.items()}
    names = {key: _near(getattr(settings.model, key), folder) for key in ("checkpoint", "audio", "text")}
    data = tuple(
        entry.model_copy(
            update={
                "manifest": entry.manifest and folder / entry.manifest,
                "dataset": _near(entry.dataset, folder),
            }
        )
        for entry in settings.data
    )
    model = settings.model.model_copy(update={"towers": towers, **names})
    return settings.model_copy(update={"output": folder / settings.output, "model": model, "data": data})


def _near(name: str | None, folder: Path) -> str | None:
    """A name that is a folder beside the training file is that folder; else it is a hub id."""
    return str((folder / name).resolve()) if name and (folder / name).is_dir() else name
