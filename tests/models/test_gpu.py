import importlib.util
from pathlib import Path

import pytest
import torch

from models import Model, load

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
