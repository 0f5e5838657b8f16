import importlib.util
import json
from pathlib import Path

import pytest
import torch

from models import Model, load
from models.__main__ import main
from models.engine import Engine, Limits
from models.request import Options
from tests.models.test_engine import run, text

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
PROMPT = "what is <|audio|>?"
AUDIO = [[0.1, -0.1, 0.05] * 9000]


def test_float32_agrees_with_the_cpu(whole: Path, model: Model) -> None:
    on_gpu = load(whole, device="cuda", dtype="float32")
    expected = model.logits(model.prepare(PROMPT, AUDIO))
    torch.testing.assert_close(on_gpu.logits(on_gpu.prepare(PROMPT, AUDIO)).cpu(), expected, atol=1e-2, rtol=0)


def test_bfloat16_is_the_default_and_answers(whole: Path) -> None:
    on_gpu = load(whole, device="cuda")
    assert on_gpu.dtype == torch.bfloat16
    messages = [{"role": "user", "content": PROMPT}]
    greedy = [list(on_gpu.generate(messages, AUDIO, max_new_tokens=20)) for _ in range(2)]
    assert greedy[0] == greedy[1]


@pytest.mark.skipif(not importlib.util.find_spec("torchao"), reason="torchao is not installed")
@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantised_answers(whole: Path, quantize: str) -> None:
    rounded = load(whole, device="cuda", quantize=quantize)
    assert rounded.logits(rounded.prepare(PROMPT, AUDIO)).isfinite().all()


def test_the_engine_answers_as_the_cpu_does(whole: Path, model: Model) -> None:
    on_gpu = Engine(load(whole, device="cuda", dtype="float32"), Limits(conversations=3))
    chats = [([{"role": "user", "content": "hello " * n + "<|audio|>"}], AUDIO) for n in (1, 5, 9)]
    requests = [on_gpu.ask(messages, audios, Options(12)) for messages, audios in chats]
    outputs = run(on_gpu)
    for request, (messages, audios) in zip(requests, chats, strict=True):
        assert text(outputs, request) == "".join(model.generate(messages, audios, 12))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tokens_are_computed_by_graphs(whole: Path, dtype: str) -> None:
    engine = Engine(load(whole, device="cuda", dtype=dtype), Limits(conversations=5))
    assert engine._graphs
    assert engine._graphs.difference() < 0.05


def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["bench", "--shape", "demo", "--device", "cuda", "--rounds", "1", "--conversations", "1", "8", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["dtype"] == "bfloat16"
