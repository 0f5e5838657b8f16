"""The benchmark measures what it says, on the right work; no test looks at how long that takes."""

import json
import math
from dataclasses import replace

import pytest
import torch

from models import bench, rivals, shapes
from models.__main__ import main
from models.config import ProjectorConfig, UltravoxConfig
from models.engine import Engine, Limits
from models.request import Options

CPU = torch.device("cpu")


def setting(**changes: object) -> bench.Setting:
    values: dict[str, object] = {
        "shape": "demo",
        "device": CPU,
        "dtype": torch.float32,
        "rounds": 1,
        "tokens": 3,
        "conversations": (1, 2),
        "talking": 2,
    }
    return bench.Setting(**(values | changes))


def test_json_has_what_is_asked_for_most(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TURN", 0.01)
    command = ["bench", "--shape", "demo", "--device", "cpu", "--dtype", "float32", "--rounds", "1", "--threads", "1"]
    assert main([*command, "--conversations", "1", "8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = ("ratio_1", "ratio_8", "ratio_8_batched")
    for name in ("ttft_tape_ratio", "ttft_ms", "tokens_per_s", "roofline_share", *(f"tokens_per_s_{n}" for n in names)):
        assert math.isfinite(report[name])
        assert report[name] > 0
    assert (report["shape"], report["device"], report["dtype"], report["threads"]) == ("demo", "cpu", "float32", 1)


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TURN", 0.01)
    report = bench.measure(setting(rounds=2))
    stages = {"mel_ms", "convolutions_ms", "encoder_layers_ms", "projector_ms", "prefill_1000_ms", "memory_mb"}
    stages |= {"mel_more_ms", "convolutions_more_ms", "hear_5s_ms", "hear_more_5s_ms", "rewind_ms", "per_token_ms"}
    stages |= {"roofline_per_token_ms", "bandwidth_gb_s", "peak_tflop_s", "ttft_2_talking_ms", "ttft_2_talking_p95_ms"}
    assert stages | {"tokens_per_s_1", "tokens_per_s_2", "transformers_tokens_per_s_1"} <= set(report)
    for kind in ("nothing", "tape", "speculated"):
        assert {f"ttft_{kind}_{s}s_{h}_ms" for s in (1, 5, 15) for h in (0, 1000)} <= set(report)
    assert "ttft_tape_1s_4000_ms" not in report  # the demo's window is 4096 tokens
    assert len(report["tokens_per_s_ratio_1"].values) == 2


def test_a_figure_shows_its_spread() -> None:
    figure = bench.Figure((3.0, 1.0, 2.0))
    assert figure.median == 2
    assert str(figure) == "     2.00  (1.00 to 3.00)"


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_shapes_are_those_published(shape: str) -> None:
    """Parameters of the language model: the demo's and the medium one's counted by hand, Llama 3.1 8B's by its card."""
    with torch.device("meta"):
        model = shapes.Ultravox(shapes.SHAPES[shape]()).language_model
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == {"demo": 3_213_568, "medium": 33_694_208, "v0_4": 8_030_261_248}[shape]


def test_transformers_answers_with_the_same_weights() -> None:
    model = shapes.build("demo", CPU, torch.float32)
    generate = rivals.Generate(model.language_model)
    ids = torch.randint(0, 256, (2, 30), generator=torch.Generator().manual_seed(1))
    expected = generate._model(ids).logits
    torch.testing.assert_close(
        model.language_model.head(model.language_model(model.language_model.embed(ids))), expected, atol=1e-4, rtol=1e-3
    )
    Engine(model, Limits(conversations=1))  # which fuses
    torch.testing.assert_close(generate._model(ids).logits, expected)
    assert generate.seconds(2, 5, 3) > 0


@pytest.mark.parametrize("shape", ["medium", "v0_4"])
def test_transformers_gets_every_setting(shape: str) -> None:
    text = shapes.SHAPES[shape]().text
    config = rivals._llama(text)
    assert replace(type(text).parse(config.to_dict()), windows=()) == text


def test_a_letter_is_a_token_and_no_answer_ends_by_itself() -> None:
    model = shapes.build("demo", CPU, torch.float32)
    engine = Engine(model, Limits(conversations=1))
    request = engine.ask([{"role": "user", "content": "x" * 50}], (), Options(20))
    assert len(request.keys) == 53
    while not engine.idle:
        engine.step()
    assert len(request.made) == 20


def test_the_roofline_reads_what_a_token_needs() -> None:
    model = shapes.build("demo", CPU, torch.float32).language_model
    plain, rounded = (rivals.Roofline.of(model, 0, quantize) for quantize in (None, "int8"))
    least = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert plain.bytes_per_s > 1e8
    assert plain.operations_per_s > 1e8
    assert plain.seconds >= least / plain.bytes_per_s
    assert rounded.size < 0.5 * plain.size == 0.5 * least


def small_v0_4() -> UltravoxConfig:
    """The published architecture with every size scaled down, and nothing else changed."""
    whole = shapes._v0_4()
    text = replace(whole.text, vocabulary=1024, width=256, layers=2, heads=8, kv_heads=2, head_size=32, feedforward=896)
    audio = replace(whole.audio, width=64, layers=2, heads=4, feedforward=256)
    return UltravoxConfig(audio, ProjectorConfig(64, 256, hidden=256), text)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_the_full_size_goes_the_way_that_a_small_one_goes(
    monkeypatch: pytest.MonkeyPatch, quantize: str | None
) -> None:
    monkeypatch.setattr(bench, "TURN", 0.01)
    monkeypatch.setattr(bench, "HISTORIES", (0, 1000))
    monkeypatch.setitem(shapes.SHAPES, "v0_4", small_v0_4)
    report = bench.measure(setting(shape="v0_4", dtype=torch.bfloat16, quantize=quantize))
    assert all(math.isfinite(figure.median) for figure in report.values())
