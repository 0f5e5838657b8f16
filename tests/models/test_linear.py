"""Fusing changes the layout of the weights and nothing else."""

import copy

import pytest
import torch
from torch import nn

from models.linear import Int8Linear, PackedLinear, joined, pack
from tests.models import checkpoints
from tests.models.test_decoder import CASES, build

IDS = torch.randint(0, checkpoints.VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(4))


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_a_fused_model_is_the_same(case: str) -> None:
    model, _ = build(case)
    expected = model.head(model(model.embed(IDS)))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    for _ in range(2):  # a second time changes nothing
        model.fuse()
    torch.testing.assert_close(model.head(model(model.embed(IDS))), expected, atol=1e-4, rtol=1e-4)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@torch.no_grad()
def test_a_fused_model_is_close_in_bfloat16() -> None:
    model, _ = build("llama, biases")
    exact = model.head(model(model.embed(IDS)))
    fused = copy.deepcopy(model).bfloat16()
    fused.fuse()
    rounded = fused.head(fused(fused.embed(IDS))).float()
    assert torch.nn.functional.cosine_similarity(rounded, exact, dim=-1).min() > 0.95


@torch.no_grad()
@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this CPU does not compute in bfloat16")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_packed_layer_is_the_same(rows: int, bias: bool) -> None:
    torch.manual_seed(rows)
    linear = nn.Linear(72, 40, bias=bias).bfloat16()
    packed = pack(linear)
    assert isinstance(packed, PackedLinear)
    x = torch.randn(2, rows, 72).bfloat16()
    torch.testing.assert_close(packed(x), linear(x), atol=0.02, rtol=0.02)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inputs", "bias"), [(80, True), (80, False), (72, True)])
def test_eight_bits_are_the_nearest_that_there_are(dtype: torch.dtype, inputs: int, bias: bool) -> None:
    torch.manual_seed(inputs)
    linear = nn.Linear(inputs, 40, bias=bias).to(dtype)
    linear.weight[3] = 0
    rounded = Int8Linear.of(linear)
    weight = rounded.weight * rounded.step.float()[:, None]
    assert ((weight - linear.weight.float()).abs() <= rounded.step.float()[:, None] * 0.51).all()
    for rows in (1, 5, 100):
        x = torch.randn(2, rows, inputs).to(dtype)
        expected = nn.functional.linear(x.float(), weight, None if linear.bias is None else linear.bias.float())
        torch.testing.assert_close(rounded(x).float(), expected, atol=0.03, rtol=0.02)


@torch.no_grad()
@pytest.mark.parametrize("case", ["llama 3.1", "llama, biases", "qwen 3"])
def test_a_model_of_eight_bits_is_fused_too(case: str) -> None:
    model, _ = build(case)
    for name, module in [*model.model.layers.named_modules()]:
        if isinstance(module, nn.Linear):
            model.model.layers.set_submodule(name, Int8Linear.of(module))
    expected = model.head(model(model.embed(IDS)))
    model.fuse()
    assert isinstance(model.model.layers[0].self_attn.qkv_proj, Int8Linear)
    torch.testing.assert_close(model.head(model(model.embed(IDS))), expected, atol=1e-3, rtol=1e-3)


def test_what_is_not_bfloat16_is_not_packed() -> None:
    linear = nn.Linear(8, 8)
    assert pack(linear) is linear


def test_an_embedding_serves_as_a_head() -> None:
    embedding = nn.Embedding(10, 4)
    head = joined([embedding])
    assert head is not None
    assert head.weight.data_ptr() == embedding.weight.data_ptr()
