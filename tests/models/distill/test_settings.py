from pathlib import Path

import pytest
import torch

from models.config import AudioConfig, ProjectorConfig, TextConfig, UltravoxConfig
from models.distill.settings import SettingsError, read
from models.ultravox import Ultravox

GOOD = """
output = "out"
[model]
audio = "openai/whisper-tiny"
text = "some/model"
[run]
steps = 10
[[data]]
manifest = "train.jsonl"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    settings = read(written(tmp_path, GOOD.replace("some/model", "mine")))
    assert settings.output == tmp_path / "out"
    assert settings.data[0].manifest == tmp_path / "train.jsonl"
    assert settings.model.text == str(tmp_path / "mine")
    assert settings.model.audio == "openai/whisper-tiny"


def test_defaults_are_the_published_ones(tmp_path: Path) -> None:
    settings = read(written(tmp_path, GOOD))
    assert (settings.loss.kind, settings.loss.temperature, settings.loss.positions) == ("kl", 2, "shifted")
    assert (settings.loss.end_of_turn_weight, settings.loss.max_answer_tokens) == (1, 50)
    assert (settings.run.max_seconds, settings.seed, settings.optimizer.clip) == (16, 42, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("steps = 10", "stpes = 10"), "run.stpes: Extra inputs are not permitted"),
        (GOOD.replace("steps = 10", ""), "run.steps: Field required"),
        (GOOD.replace("steps = 10", "steps = 0"), "run.steps: Input should be greater than or equal to 1"),
        (GOOD.replace('text = "some/model"', ""), "model: name a checkpoint, or both audio and text"),
        (GOOD.replace("[model]", '[model]\ncheckpoint = "a/b"'), "model: checkpoint brings its own towers"),
        (GOOD + 'dataset = "a/b"', "data.0: name either a manifest or a dataset"),
        (GOOD + 'form = "song"', "data.0.form: Input should be"),
        (GOOD + '[loss]\nkind = "cross_entropy"\npositions = "unshifted"', "loss: cross-entropy compares"),
        (GOOD.replace("steps = 10", "steps = 10\nmax_seconds = 31"), "run.max_seconds: Input should be less"),
        ("output = ", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(written(tmp_path, text))
    assert message in str(error.value)
    assert "config.toml" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")


SHIPPED = sorted((Path(__file__).parents[3] / "models" / "distill").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_valid(path: Path) -> None:
    assert read(path).data


def test_the_v0_4_file_has_the_published_figures() -> None:
    [path] = [path for path in SHIPPED if path.stem == "v0_4"]
    settings = read(path)
    assert (settings.run.steps, settings.run.batch, settings.run.accumulation) == (14400, 24, 1)
    assert (settings.optimizer.learning_rate, settings.optimizer.warm_up_steps) == (2e-3, 1000)
    assert (settings.loss.positions, settings.loss.end_of_turn_weight) == ("unshifted", 0)
    assert settings.model.lora is None
    weights = {(d.dataset, d.config, d.form): d.weight for d in settings.data}
    speech = [weight for (_, _, form), weight in weights.items() if form == "continuation"]
    repeated = [weight for (_, _, form), weight in weights.items() if form == "transcription"]
    assert sum(repeated) == pytest.approx(sum(speech) / 10)


def test_the_file_for_one_card_fits_it_by_count() -> None:
    """Weights in bfloat16, the projector in float32 with its gradient and two moments; half the card for activations."""
    [path] = [path for path in SHIPPED if path.stem == "one_24gb_card"]
    projector = read(path).model.projector
    turbo = AudioConfig(
        width=1280, layers=32, heads=20, feedforward=5120, mels=128
    )  # whisper-large-v3-turbo's config.json
    text = TextConfig("llama", 128256, 3072, 28, 24, 8, 128, 8192, 131072, tied=True)  # Llama-3.2-3B-Instruct's
    shape = ProjectorConfig(turbo.width, text.width, projector.hidden, projector.stack, norm_mid=projector.norm_mid)
    with torch.device("meta"):
        network = Ultravox(UltravoxConfig(turbo, shape, text))
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    frozen = 2 * (counts["audio_tower"] + counts["language_model"])
    trained = 4 * 4 * counts["multi_modal_projector"]
    assert frozen == pytest.approx(7.7e9, rel=0.01)  # as the file says
    assert trained == pytest.approx(0.8e9, rel=0.1)
    assert frozen + trained < 12e9
