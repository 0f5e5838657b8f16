import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from models import CheckpointError, load, memory
from models.checkpoint import open_checkpoint
from tests.models import checkpoints

DEMO = Path(__file__).parents[2] / "models" / "demo" / "checkpoint"
needs_torchao = pytest.mark.skipif(not importlib.util.find_spec("torchao"), reason="torchao is not installed")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose layers are wide enough for groups of 128 and of 32."""
    text = checkpoints.language_model(hidden_size=256, intermediate_size=352, head_dim=64)
    parts = checkpoints.Parts(checkpoints.whisper(), checkpoints.projector(32, 256, norm_mid=True), text, norm_mid=True)
    return checkpoints.write(tmp_path_factory.mktemp("wide"), "whole", parts)[0]


EACH = pytest.mark.parametrize("quantize", ["int8", pytest.param("int4", marks=needs_torchao)])


@needs_torchao
@pytest.mark.parametrize(("quantize", "error"), [("int8", 0.02), ("int4", 0.25)])
def test_error_and_size(wide: Path, quantize: str, error: float) -> None:
    """A random layer keeps its output within what rounding to so many bits must cost."""
    exact, rounded = load(wide, dtype="bfloat16"), load(wide, quantize=quantize)
    x = torch.randn(1, 7, 256, dtype=torch.bfloat16)
    for name in ("self_attn.q_proj", "mlp.gate_proj"):
        path = f"language_model.model.layers.1.{name}"
        before, after = (model._network.get_submodule(path)(x).float() for model in (exact, rounded))
        assert 0 < (after - before).norm() / before.norm() < error
    inputs = exact.prepare("hello <|audio|>", [[0.1] * 4000])
    assert rounded.logits(inputs).shape == exact.logits(inputs).shape
    assert "".join(rounded.generate([{"role": "user", "content": "hello"}], max_new_tokens=5)) is not None


@EACH
def test_only_the_language_models_layers_are_quantised(wide: Path, quantize: str) -> None:
    network = load(wide, quantize=quantize)._network
    assert network.audio_tower.conv1.weight.dtype == torch.bfloat16
    assert type(network.audio_tower.layers[0].fc1.weight) is torch.nn.Parameter
    assert type(network.multi_modal_projector.linear_1.weight) is torch.nn.Parameter
    assert type(network.language_model.lm_head.weight) is torch.nn.Parameter
    weight = network.language_model.model.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.int8 if quantize == "int8" else "Int4" in type(weight.data).__name__


@needs_torchao
def test_layers_that_int4_cannot_pack_stay_as_they_are(tmp_path: Path) -> None:
    """Its kernel for CPUs takes outputs in sixteens."""
    text = checkpoints.language_model(hidden_size=256, intermediate_size=344, head_dim=64)
    parts = checkpoints.Parts(checkpoints.whisper(), checkpoints.projector(32, 256, norm_mid=True), text, norm_mid=True)
    model = load(checkpoints.write(tmp_path, "whole", parts)[0], quantize="int4")
    layer = model._network.language_model.model.layers[0]
    assert type(layer.mlp.up_proj.weight.data) is torch.Tensor
    assert "Int4" in type(layer.self_attn.q_proj.weight.data).__name__
    assert model.logits(model.prepare("hello <|audio|>", [[0.1] * 4000])).isfinite().all()


def stored(weight: torch.Tensor) -> int:
    """Count the bytes of a tensor, or of the tensors that a quantised one is made of."""
    names = [*getattr(weight, "tensor_data_names", []), *getattr(weight, "optional_tensor_data_names", [])]
    inner = [getattr(weight, name) for name in names]
    return sum(tensor.nbytes for tensor in inner if tensor is not None) if names else weight.nbytes


@EACH
def test_memory_is_foretold(wide: Path, quantize: str) -> None:
    network = open_checkpoint(wide, {}).network
    foretold = memory.weight_bytes(network, torch.bfloat16, quantize)
    assert foretold < memory.weight_bytes(network, torch.bfloat16)
    loaded = load(wide, quantize=quantize)._network
    assert foretold == sum(stored(tensor.data) for tensor in (*loaded.parameters(), *loaded.buffers()))


@pytest.mark.parametrize(
    ("quantize", "dtype", "message"),
    [("int2", None, "quantize='int2' is not one of int8, int4"), ("int4", "float32", "runs in bfloat16 only")],
)
def test_what_is_refused(wide: Path, quantize: str, dtype: str | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(wide, dtype=dtype, quantize=quantize)


def test_v0_4_fits_a_12_gb_card_in_int8(tmp_path: Path) -> None:
    """Whisper-medium and Llama 3.1 8B by their published configs: about 16.8 GB in bfloat16."""
    from models.config import UltravoxConfig
    from models.ultravox import Ultravox
    from tests.models.test_config import V0_4

    with torch.device("meta"):
        network = Ultravox(UltravoxConfig.parse(V0_4))
    projector = sum(parameter.numel() for parameter in network.multi_modal_projector.parameters())
    assert projector == 41_955_328  # as published
    assert memory.needed(network, torch.bfloat16) > 16e9
    assert memory.needed(network, torch.bfloat16, "int8") < 11e9
    assert memory.needed(network, torch.bfloat16, "int4") < 7.5e9


@pytest.fixture(scope="module")
def spoken() -> list[np.ndarray]:
    """Questions to the demo checkpoint, by espeak-ng at 16 kHz."""
    from models.demo.espeak import Voice, speak

    texts = ("hello", "who are you", "what can you do", "what is three plus four", "one four two", "thank you")
    made = [speak(text, Voice("en-us", rate=160)) for text in texts]
    quiet = np.zeros(3200, np.float32)
    return [np.concatenate((quiet, soxr.resample(m.samples, m.rate, 16000).clip(-1, 1) * 0.9, quiet)) for m in made]


@needs_torchao
@pytest.mark.skipif(not DEMO.is_dir(), reason="the demo checkpoint is not there")
@pytest.mark.parametrize(("quantize", "error"), [("int8", 0.05), ("int4", 0.4)])
def test_error_against_bfloat16_on_the_demo_checkpoint(spoken: list[np.ndarray], quantize: str, error: float) -> None:
    """Print and bound how far logits move, and how many answers stay the same to the letter."""
    exact, rounded = load(DEMO, dtype="bfloat16"), load(DEMO, quantize=quantize)
    question = [{"role": "user", "content": "<|audio|>"}]
    moved, same = [], 0
    for audio in spoken:
        inputs = exact.prepare(exact.prompt(question), [audio])
        before, after = exact.logits(inputs)[-1], rounded.logits(inputs)[-1]
        moved.append(((after - before).norm() / (before - before.mean()).norm()).item())
        answers = ["".join(model.generate(question, [audio], max_new_tokens=40)) for model in (exact, rounded)]
        same += answers[0] == answers[1]
    print(f"{quantize}: logits move by {np.mean(moved):.3f} of their size; {same} of {len(spoken)} answers the same")
    assert np.mean(moved) < error
    assert quantize == "int4" or same == len(spoken)
