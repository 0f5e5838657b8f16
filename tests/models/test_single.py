"""The step of a lone conversation is the decoder's own, for every model that has one."""

import pytest
import torch

from models.cache import Pool
from models.single import Single
from tests.models.test_cache import ids
from tests.models.test_decoder import CASES, build

OTHERS = {case for case in CASES if "window" in case or "qwen" in case}


@torch.inference_mode()
@pytest.mark.parametrize("case", sorted(CASES.keys() - OTHERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gives_what_the_decoder_gives(case: str, dtype: torch.dtype) -> None:
    model = build(case)[0].to(dtype)
    model.fuse()
    pool = Pool(model.config, 2, 64, dtype, torch.device("cpu"))
    single = Single.of(model, 64)
    assert single
    mine, plain = pool.slot(0), pool.slot(1)
    for cache in (mine, plain):
        model(model.embed(ids(9)), cache)
    for token in ids(5, seed=1)[0].tolist():
        expected = model.head(model(model.embed(torch.tensor([[token]])), plain)[:, 0])
        made = single.decode(token, mine)
        difference = (made.float() - expected.float()).norm() / expected.float().norm()
        assert difference < (1e-5 if dtype == torch.float32 else 0.02)
    assert mine.length == plain.length == 14


@pytest.mark.parametrize("case", sorted(OTHERS))
def test_is_not_for_models_that_see_a_window_or_norm_their_heads(case: str) -> None:
    model, _ = build(case)
    model.fuse()
    assert Single.of(model, 64) is None


def test_is_not_for_a_model_that_is_not_fused() -> None:
    assert Single.of(build("llama 3.1")[0], 64) is None
