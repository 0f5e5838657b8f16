"""The pool: slots advance together, begin as others do, and never see one another."""

import psutil
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attention import additive, attend
from models.cache import Batch, Cache, Pool
from models.decoder import LanguageModel
from tests.models import checkpoints
from tests.models.test_decoder import build

WINDOWED, _ = build("mistral, window")
PLAIN, _ = build("llama 3.1")


def ids(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, checkpoints.VOCABULARY, (1, count), generator=torch.Generator().manual_seed(seed))


def pool(model: LanguageModel, slots: int = 4) -> Pool:
    return Pool(model.config, slots, 64, torch.float32, torch.device("cpu"))


@torch.no_grad()
def hidden(model: LanguageModel, tokens: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
    return model(model.embed(tokens), cache)


@torch.no_grad()
def test_slots_of_different_lengths_advance_together() -> None:
    for model in (PLAIN, WINDOWED):
        for order in ([0, 1, 2], [0, 2, 3], [1, 3], [2]):
            held = pool(model)
            caches = [held.slot(slot) for slot in order]
            prompts = [ids(count, seed=count) for count in (3, 17, 30)]
            for prompt, cache in zip(prompts, caches, strict=False):
                hidden(model, prompt, cache)
            new = ids(6, seed=9)
            prompts = prompts[: len(order)]
            for step in range(2):
                tokens = new[0, 3 * step : 3 * step + len(order), None]
                out = hidden(model, tokens, Batch(held, order, caches))
                prompts = [torch.cat((p, t[None]), 1) for p, t in zip(prompts, tokens, strict=True)]
                alone = torch.cat([hidden(model, prompt)[:, -1:] for prompt in prompts])
                torch.testing.assert_close(out, alone, atol=1e-4, rtol=1e-4)
            assert [cache.length for cache in caches] == [5, 19, 32][: len(order)]


@torch.no_grad()
def test_a_slot_can_begin_as_another() -> None:
    held = pool(PLAIN)
    first, second = held.slot(0), held.slot(2)
    hidden(PLAIN, ids(20), first)
    held.copy(0, 2, 12)
    second.advance(12)
    out = hidden(PLAIN, ids(5, seed=1), second)
    fresh = hidden(PLAIN, torch.cat((ids(20)[:, :12], ids(5, seed=1)), 1))[:, 12:]
    torch.testing.assert_close(out, fresh, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_wiped_slot_harms_nobody() -> None:
    held = pool(PLAIN)
    held.buffer[:, :, 1] = float("nan")
    held.clear(1)
    long, short = held.slot(0), held.slot(1)
    hidden(PLAIN, ids(30), long)
    hidden(PLAIN, ids(2), short)
    assert hidden(PLAIN, ids(2).T, Batch(held, [0, 1], [long, short])).isfinite().all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.tuples(st.just("append"), st.integers(1, 9)), st.tuples(st.just("rewind"), st.floats(0, 1))))
)
@torch.no_grad()
def test_any_appends_and_rewinds_give_what_computing_from_nothing_gives(operations: list[tuple[str, float]]) -> None:
    for model in (PLAIN, WINDOWED):
        cache, tokens = pool(model).slot(1), torch.empty(1, 0, dtype=torch.int64)
        for number, (operation, amount) in enumerate(operations):
            if operation == "rewind":
                cache.rewind(int(amount * cache.length))
                tokens = tokens[:, : cache.length]
            elif cache.length + amount <= cache.capacity:
                new = ids(int(amount), seed=number)
                tokens = torch.cat((tokens, new), 1)
                fresh = hidden(model, tokens)[:, -new.shape[1] :]
                torch.testing.assert_close(hidden(model, new, cache), fresh, atol=1e-4, rtol=1e-4)


def test_queries_that_share_a_key_mix_as_if_it_were_repeated() -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, heads, 7, 8, generator=generator) for heads in (6, 2, 2))
    mask = torch.rand(2, 1, 7, 7, generator=generator) < 0.7
    mask |= torch.eye(7, dtype=torch.bool)
    for count in (1, 5):
        asked, seen = query[:, :, :count], mask[:, :, :count]
        scores = asked @ key.repeat_interleave(3, 1).transpose(2, 3) / 8**0.5
        expected = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value.repeat_interleave(3, 1)
        out = attend(asked, key, value, additive(seen, torch.float32))
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_a_pool_takes_memory_only_where_it_is_written() -> None:
    before = psutil.Process().memory_info().rss
    held = Pool(PLAIN.config, 64, 100_000, torch.float32, torch.device("cpu"))
    assert held.buffer.nbytes > 4e9
    hidden(PLAIN, ids(20), held.slot(63))
    held.copy(63, 5, 20)
    assert psutil.Process().memory_info().rss - before < 100e6
    assert not held.buffer[:, :, 7, :, :50].any()
