from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from models.attention import causal
from models.cache import Cache
from models.config import RopeConfig, TextConfig
from models.decoder import LanguageModel
from models.rope import Rope, neighbours, rotate
from tests.models import checkpoints

LLAMA3_2_ROPE = checkpoints.LLAMA3_ROPE | {"factor": 32.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 3": ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
    "llama 3.1": ("llama", {"rope_parameters": checkpoints.LLAMA3_ROPE}),
    "llama 3.2, tied": ("llama", {"rope_parameters": LLAMA3_2_ROPE, "tie_word_embeddings": True}),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, own head size": ("llama", {"head_dim": None}),
    "mistral nemo": ("mistral", {"sliding_window": None, "head_dim": 32}),
    "mistral, window": ("mistral", {"sliding_window": 9}),
    "qwen 3": ("qwen3", {}),
    "qwen 3, yarn": ("qwen3", {"rope_parameters": YARN}),
    "qwen 3, window": ("qwen3", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}),
}


def build(case: str) -> tuple[LanguageModel, PreTrainedModel]:
    family, changes = CASES[case]
    theirs = checkpoints.language_model(family, **changes)
    mine = LanguageModel(TextConfig.parse(theirs.config.to_dict())).eval()
    state = theirs.state_dict()
    if mine.config.tied:
        del state["lm_head.weight"]
    mine.load_state_dict(state)
    return mine, theirs


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_equals_transformers(case: str) -> None:
    mine, theirs = build(case)
    ids = torch.randint(0, checkpoints.VOCABULARY, (2, 90), generator=torch.Generator().manual_seed(4))
    expected = theirs(input_ids=ids).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(mine.head(mine(mine.embed(ids))), expected, atol=1e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("case", ["llama 3.1", "mistral, window", "qwen 3"])
def test_a_cache_changes_nothing(case: str) -> None:
    mine, _ = build(case)
    ids = torch.randint(0, checkpoints.VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(5))
    cache = Cache(mine.config.layers, capacity=4)
    pieces = [mine(mine.embed(piece), cache) for piece in ids.split([13, 1, 1, 20, 5], dim=1)]
    assert cache.length == 40
    torch.testing.assert_close(torch.cat(pieces, 1), mine(mine.embed(ids)), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_rewound_cache_has_forgotten() -> None:
    mine, _ = build("llama 3.1")
    ids = torch.randint(0, checkpoints.VOCABULARY, (1, 30), generator=torch.Generator().manual_seed(6))
    cache = Cache(mine.config.layers)
    mine(mine.embed(ids), cache)
    cache.rewind(12)
    again = mine(mine.embed(ids[:, 5:9]), cache)
    fresh = mine(mine.embed(torch.cat((ids[:, :12], ids[:, 5:9]), 1)))[:, 12:]
    torch.testing.assert_close(again, fresh, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("length", [-1, 6])
def test_a_cache_rewinds_only_to_what_it_holds(length: int) -> None:
    mine, _ = build("llama 3.1")
    cache = Cache(mine.config.layers)
    mine(mine.embed(torch.zeros(1, 5, dtype=torch.int64)), cache)
    with pytest.raises(ValueError, match="5 positions"):
        cache.rewind(length)


def test_masks() -> None:
    device = torch.device("cpu")
    assert causal(1, 7, None, device) is None
    assert causal(4, 4, None, device) is None
    assert causal(4, 4, 4, device) is None
    mask = causal(2, 4, 2, device)
    assert mask is not None
    assert mask.int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]


def test_rotation_is_computed_in_float32_for_any_dtype() -> None:
    """Positions beyond 256 are not whole in bfloat16; angles must not be rounded before their cosine."""
    x = torch.tensor([1.0, 0.0] + [0.0] * 6, dtype=torch.bfloat16).view(1, 1, 1, 8)
    turned = rotate(x, Rope(RopeConfig(), 8)(torch.tensor([1001])))
    torch.testing.assert_close(turned[0, 0, 0, :2], torch.tensor([1001.0, 1001.0 - torch.pi / 2]).cos())


def test_pairs_become_neighbours_along_any_dimension() -> None:
    assert neighbours(torch.arange(6)).tolist() == [0, 3, 1, 4, 2, 5]
    assert neighbours(torch.arange(12).view(6, 2), 0)[:, 0].tolist() == [0, 6, 2, 8, 4, 10]
