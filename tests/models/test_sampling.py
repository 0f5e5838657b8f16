import pytest
import torch

from models.sampling import GREEDY, Sampling, choose, penalise

LOGITS = torch.tensor([[0.0, 3.0, 1.0, -2.0], [2.0, 0.0, 1.9, 1.8]])


def test_the_likeliest_by_default() -> None:
    assert choose(LOGITS, [GREEDY, GREEDY]) == [1, 0]


def test_a_row_that_is_not_finite_is_told_and_harms_no_other() -> None:
    for broken in (float("nan"), float("inf")):
        logits = LOGITS.clone()
        logits[0, 2] = broken
        assert choose(logits, [GREEDY, GREEDY]) == [-1, 0]
        assert choose(logits, [Sampling(1.0), GREEDY]) == [-1, 0]


def test_drawn_tokens_have_their_probabilities() -> None:
    torch.manual_seed(0)
    how = [Sampling(temperature=0.5)] * 4000
    counts = torch.bincount(torch.tensor(choose(LOGITS[1:].expand(4000, -1), how)), minlength=4) / 4000
    torch.testing.assert_close(counts, (LOGITS[1] / 0.5).softmax(-1), atol=0.03, rtol=0)


def test_top_p_leaves_the_fewest_that_together_suffice() -> None:
    torch.manual_seed(0)
    how = [Sampling(temperature=1.0, top_p=0.6)] * 300  # 0.34, 0.31, 0.28, 0.05
    assert set(choose(LOGITS[1:].expand(300, -1), how)) == {0, 2}
    assert set(choose(LOGITS[1:].expand(300, -1), [Sampling(1.0, top_p=0.1)] * 300)) == {0}


def test_greedy_and_drawn_rows_mix() -> None:
    torch.manual_seed(0)
    rows = [choose(LOGITS[1:].expand(2, -1), [GREEDY, Sampling(5.0)]) for _ in range(40)]
    assert {first for first, _ in rows} == {0}
    assert len({second for _, second in rows}) == 4


@pytest.mark.parametrize(("seen", "expected"), [([1, 3], [0.0, 1.5, 1.0, -4.0]), ([], [0.0, 3.0, 1.0, -2.0])])
def test_what_was_said_becomes_less_likely(seen: list[int], expected: list[float]) -> None:
    ids = torch.tensor(seen, dtype=torch.int64)
    assert penalise(LOGITS[0], ids, Sampling(repetition_penalty=2.0)).tolist() == expected
