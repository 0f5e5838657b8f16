"""What a graph does on its buffers is the plain step, whatever fills them; the graphs here merely call it again.

Whether CUDA captures it is for `test_gpu.py`, on a machine that has it, and for every engine that starts there.
"""

import logging

import pytest
import torch

from models import graphs
from models.cache import Batch, Pool
from models.decoder import LanguageModel
from models.graphs import Graphs, Step, checked
from tests.models.test_cache import ids
from tests.models.test_decoder import build

WINDOWED, _ = build("mistral, window")
PLAIN, _ = build("llama 3.1")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_SHORTEST", 16)


def again(step: Step) -> Step:
    return step


def once(step: Step) -> Step:
    made = step()
    return lambda: made


def new_pool(model: LanguageModel, slots: int = 5) -> Pool:
    return Pool(model.config, slots, 64, torch.float32, torch.device("cpu"))


@torch.inference_mode()
@pytest.mark.parametrize("model", [PLAIN, WINDOWED])
@pytest.mark.parametrize("slots", [[0], [2, 4], [4, 0, 1], [0, 1, 2, 3, 4]])
def test_a_graph_is_the_plain_step(model: LanguageModel, slots: list[int]) -> None:
    fixed, plain = new_pool(model), new_pool(model)
    made = Graphs(model, fixed, again)
    caches = {pool: [pool.slot(slot) for slot in slots] for pool in (fixed, plain)}
    for pool in (fixed, plain):
        for row, cache in enumerate(caches[pool]):
            model(model.embed(ids(14 - 3 * row, seed=row)), cache)
    for step in range(5):  # beyond the shortest length
        tokens = ids(len(slots), seed=10 + step)[0].tolist()
        expected = model.head(
            model(model.embed(torch.tensor(tokens)[:, None]), Batch(plain, slots, caches[plain]))[:, 0]
        )
        torch.testing.assert_close(made.decode(tokens, slots, caches[fixed]), expected, atol=1e-4, rtol=1e-4)
    assert [cache.length for cache in caches[fixed]] == [cache.length for cache in caches[plain]]


def test_a_batch_takes_the_least_that_holds_it() -> None:
    made = Graphs(PLAIN, new_pool(PLAIN, 5), again)
    assert set(made._steps) == {(batch, held) for batch in (1, 2, 4, 5) for held in (16, 32, 64)}


def test_padding_harms_nobody() -> None:
    """Rows that are left over write into the spare slot and no other."""
    pool = new_pool(PLAIN)
    made = Graphs(PLAIN, pool, again)
    pool.buffer.zero_()
    with torch.inference_mode():
        made.decode([1, 2, 3], [0, 1, 2], [pool.slot(slot) for slot in range(3)])
    assert pool.buffer[:, :, 5].any()
    assert not pool.buffer[:, :, 3:5].any()


def test_checked_graphs_leave_an_empty_pool(caplog: pytest.LogCaptureFixture) -> None:
    pool = new_pool(PLAIN)
    assert checked(PLAIN, pool, again)
    assert not pool.buffer[:, :, :5].any()
    assert not caplog.records


def test_graphs_that_compute_something_else_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert checked(PLAIN, new_pool(PLAIN), once) is None
    [record] = caplog.records
    assert "without CUDA graphs" in record.message
    assert "differ by" in record.message


def test_a_capture_that_fails_costs_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_step: Step) -> Step:
        raise RuntimeError("operation not permitted when stream is capturing")

    assert checked(PLAIN, new_pool(PLAIN), fail) is None
    assert "not permitted" in caplog.text


def test_on_a_cpu_there_are_none() -> None:
    assert graphs.on_device(PLAIN, new_pool(PLAIN)) is None
