"""The relay's arithmetic without sockets, so that what the fault tests rely on is true."""

from itertools import pairwise

import pytest

from agent.caller.relay import Faults, Path


def fates(faults: Faults, count: int = 20_000) -> list[list[float]]:
    """Of each packet, sent every 20 ms, the delays of its copies."""
    path = Path(1)
    path.faults = faults
    return [[when - n * 0.02 for when in path.arrivals(n * 0.02)] for n in range(count)]


def test_a_good_network_does_nothing():
    assert fates(Faults(), 100) == [[0.0]] * 100


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1), (0.1, 1), (0.1, 4), (0.01, None), (0.3, None)])
def test_losses_and_how_many_in_a_row(loss, burst):
    lost = [not fate for fate in fates(Faults(loss=loss, burst=burst))]
    bursts = sum(now and not before for before, now in pairwise([False, *lost]))
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.2)
    assert sum(lost) / bursts == pytest.approx(burst or 1 / (1 - loss), rel=0.15)


def test_duplicates():
    assert sum(len(fate) == 2 for fate in fates(Faults(duplicate=0.1))) == pytest.approx(2000, rel=0.1)


def test_delay_and_jitter_keep_the_order():
    out = fates(Faults(delay=0.05, jitter=0.03))
    delays = [fate[0] for fate in out]
    assert 0.05 <= min(delays) < 0.051
    assert 0.079 < max(delays) <= 0.0801
    arrivals = [n * 0.02 + delay for n, delay in enumerate(delays)]
    assert arrivals == sorted(arrivals)


def test_some_are_overtaken():
    out = fates(Faults(reorder=0.1, overtaken_by=0.03))
    late = [n for n, fate in enumerate(out) if fate[0] > 0.02]
    assert len(late) == pytest.approx(2000, rel=0.1)


def test_drift_grows():
    out = fates(Faults(drift=1e-4), 5000)
    assert out[-1][0] == pytest.approx(0.01, rel=0.01)


def test_a_narrow_place_lets_its_rate_through_and_keeps_packets_no_longer_than_its_queue():
    path = Path(1)
    path.faults = Faults(rate=48_000, queue=0.1)
    arrivals = [(n * 0.02, when) for n in range(500) for when in path.arrivals(n * 0.02, 132)]  # 64 kb/s
    assert len(arrivals) == pytest.approx(375, abs=5)
    assert 0.08 < max(when - sent for sent, when in arrivals) <= 0.1
    assert min(after - before for (_, before), (_, after) in pairwise(arrivals)) >= 0.0266
    path.faults = Faults(rate=80_000)
    assert [path.arrivals(100 + n * 0.02, 132)[0] - 100 - n * 0.02 for n in range(50)] == pytest.approx([0.016] * 50)
