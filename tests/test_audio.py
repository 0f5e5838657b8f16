"""Sample arithmetic: lengths, delay and quality of the resampler; levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio import INPUT_RATE, Resampler, Samples, TimeLine, dbfs, onset

PAIRS = [
    (48_000, 16_000),
    (22_050, 48_000),
    (16_000, 48_000),
    (24_000, 48_000),
    (44_100, 16_000),
    (8_000, 16_000),
    (16_000, 8_000),
]


def tone(frequency: float, rate: int, amplitude: float = 10_000) -> Samples:
    return np.rint(amplitude * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.int16)


def resampled(samples: Samples, source: int, target: int, size: int) -> list[Samples]:
    resampler = Resampler(source, target)
    pieces = [resampler(samples[start : start + size]) for start in range(0, len(samples), size)]
    return [*pieces, resampler(samples[:0], last=True)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_stream_keeps_its_length_and_holds_back_little(source: int, target: int) -> None:
    *pieces, rest = resampled(tone(300, source), source, target, source // 50)
    lengths = np.cumsum([len(piece) for piece in pieces])
    arrived = np.minimum((np.arange(len(pieces)) + 1) * (source // 50), source) / source
    assert max(arrived - lengths / target) <= 16 / min(source, target) + 1 / target  # 1 ms at 16 kHz
    assert lengths[-1] + len(rest) == target


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_an_impulse_stays_where_it_is(source: int, target: int) -> None:
    impulse = np.zeros(source, np.int16)
    impulse[source // 5] = 20_000
    out = np.concatenate(resampled(impulse, source, target, source // 50))
    assert abs(np.argmax(np.abs(out)) / target - 0.2) <= 1 / target


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_what_fits_passes_and_what_would_alias_does_not(source: int, target: int) -> None:
    half = min(source, target) / 2
    middle = slice(target // 10, -target // 10)
    kept = np.concatenate(resampled(tone(0.8 * half, source), source, target, 997))[middle]
    assert dbfs(kept) == pytest.approx(dbfs(tone(0.8 * half, source)), abs=0.1)
    if target < source:
        assert dbfs(np.concatenate(resampled(tone(1.12 * half, source), source, target, 997))[middle]) < -75


@given(st.lists(st.integers(0, 700), max_size=20), st.sampled_from(PAIRS))
def test_how_a_stream_is_cut_does_not_matter(sizes: list[int], pair: tuple[int, int]) -> None:
    samples = np.random.default_rng(1).integers(-30_000, 30_000, sum(sizes)).astype(np.int16)
    cut, whole = Resampler(*pair), Resampler(*pair)
    pieces = [cut(piece) for piece in np.split(samples, np.cumsum(sizes)[:-1])] if sizes else []
    pieces.append(cut(samples[:0], last=True))
    joined, expected = np.concatenate(pieces), whole(samples, last=True)
    assert len(joined) == len(expected) == -(-len(samples) * pair[1] // pair[0])
    assert not len(joined) or np.max(np.abs(joined.astype(int) - expected)) <= 1  # rounding of float32 sums


def test_loud_samples_are_clipped_not_wrapped() -> None:
    square = np.repeat(np.array([32_767, -32_768] * 50, np.int16), 160)
    out = np.concatenate(resampled(square, 16_000, 48_000, 320))
    assert out.max() == 32_767
    assert out.min() == -32_768


def test_a_long_recording_in_one_piece() -> None:
    minute = np.tile(tone(300, 48_000), 60)
    assert len(Resampler(48_000, 16_000)(minute, last=True)) == 60 * 16_000


def test_equal_rates_pass_through() -> None:
    samples = tone(440, 16_000)
    assert np.array_equal(Resampler(16_000, 16_000)(samples), samples)


def test_levels() -> None:
    assert dbfs(np.zeros(0, np.int16)) == -96
    assert dbfs(np.zeros(320, np.int16)) == -96
    assert dbfs(np.full(320, -32_768, np.int16)) == 0
    assert dbfs(tone(440, 16_000, 32_767)) == pytest.approx(-3.01, abs=0.01)


def test_the_onset_of_sound() -> None:
    assert onset(np.array([0, 32, -32, -33, 0], np.int16)) == 3
    assert onset(np.array([-32_768], np.int16)) == 0
    assert onset(np.zeros(5, np.int16)) == 5
    assert onset(np.zeros(0, np.int16)) == 0


def piece(value: int, seconds: float = 0.02) -> np.ndarray:
    return np.full(round(seconds * INPUT_RATE), value, np.int16)


def test_pieces_of_a_time_line_stand_in_their_places():
    line = TimeLine()
    line.add(piece(1), 0.0)
    line.add(piece(2), 0.5)
    taken = line.take(INPUT_RATE)
    assert np.flatnonzero(taken == 1).tolist() == list(range(320))
    assert np.flatnonzero(taken == 2).tolist() == list(range(8000, 8320))
    assert taken.size == INPUT_RATE, "silence where nothing is yet"


def test_a_piece_that_is_a_little_late_follows_the_one_before():
    line = TimeLine()
    for number in range(5):
        line.add(piece(number + 1), 0.02 * number + (0.04 if number % 2 else 0.0))
    assert line.end == 5 * 320
    assert np.array_equal(line.take(1600), np.repeat(np.arange(1, 6), 320))


def test_a_piece_that_is_early_waits_for_its_turn():
    line = TimeLine()
    line.add(piece(1, 0.2), 0.0)
    line.add(piece(2), 0.1)
    assert line.take(3520)[3200] == 2


def test_a_time_line_is_taken_in_parts():
    line = TimeLine()
    line.add(piece(1, 0.3), 0.0)
    assert line.take(1600).all()
    assert (line.taken, line.end) == (1600, 4800)
    line.add(piece(2), 0.4)
    rest = line.take(5120)
    assert rest[:3200].tolist() == [1] * 3200
    assert rest[4800:].tolist() == [2] * 320


def test_what_lies_beyond_a_cut_is_dropped():
    line = TimeLine()
    line.add(piece(1, 1.0), 0.0)
    line.take(1600)
    line.cut(0.5)
    assert line.end == 8000
    line.add(piece(2), 0.5)
    assert line.take(6720)[6399:6401].tolist() == [1, 2]
    line.cut(0.1)
    assert line.end == line.taken, "what was taken is gone"
