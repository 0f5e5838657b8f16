"""The receive buffer: order, loss, wraparound, and no delay that stays."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edge.jitter import FIRST_WAIT, MAX_WAIT, JitterBuffer, Packet


def packet(number: int, arrival: float | None = None) -> Packet:
    """One that arrives when it was sent, every 20 ms, unless it is told when."""
    return Packet(number % 65536, number * 960 % 2**32, 96, b"x", number * 0.02 if arrival is None else arrival)


def feed(buffer: JitterBuffer, numbers: list[int], start: float = 0.0) -> list[list[int]]:
    """What comes out after each packet; one arrives every 20 ms."""
    return [
        [out.sequence for out in buffer.add(packet(number, start + 0.02 * index))]
        for index, number in enumerate(numbers)
    ]


def test_packets_in_order_pass_at_once():
    assert feed(JitterBuffer(), [7, 8, 9]) == [[7], [8], [9]]


def test_a_hole_waits_one_packet_while_nothing_is_known_of_the_stream():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 2, 4, 5, 6]) == [[1], [2], [], [4, 5], [6]]
    assert (buffer.lost, buffer.late) == (1, 0)


def test_two_packets_that_changed_places_come_out_in_order():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 2, 4]) == [[1], [], [2, 3], [4]]
    assert (buffer.lost, buffer.late, buffer.reordered) == (0, 0, 1)


def test_a_packet_that_comes_after_its_hole_was_given_up_is_dropped():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 4, 2, 5]) == [[1], [], [3, 4], [], [5]]
    assert (buffer.lost, buffer.late) == (1, 1)


def test_duplicates_are_dropped_whether_played_or_held():
    buffer = JitterBuffer()
    out = [buffer.add(packet(number, 0.0)) for number in (1, 1, 3, 3, 2)]
    assert [[p.sequence for p in given] for given in out] == [[1], [], [], [], [2, 3]]
    assert buffer.late == 2


def test_a_burst_of_losses_costs_no_more_waiting_than_one():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 12, 13, 14]) == [[1], [], [12, 13], [14]]
    assert buffer.lost == 10


def test_where_order_always_holds_a_hole_soon_waits_no_more():
    buffer = JitterBuffer()
    assert buffer.wait == pytest.approx(FIRST_WAIT)
    feed(buffer, list(range(3000)))
    assert buffer.wait < 0.001
    assert buffer.add(packet(3001)) == []
    assert [p.sequence for p in buffer.expire(buffer.due)] == [3001]
    assert buffer.due == float("inf")


def test_the_wait_grows_with_what_comes_late_and_never_beyond_its_limit():
    buffer = JitterBuffer()
    feed(buffer, list(range(3000)))
    for number, late in ((3000, 0.015), (3003, 0.5)):
        buffer.add(packet(number))
        buffer.add(packet(number + 2))
        buffer.expire(buffer.due)
        buffer.add(packet(number + 1, (number + 2) * 0.02 + late))
        assert buffer.wait == pytest.approx(min(MAX_WAIT, 1.5 * late), rel=0.01)
    assert buffer.late == 2


def test_sequence_numbers_wrap():
    assert feed(JitterBuffer(), [65534, 65535, 65536, 65538, 65537]) == [[65534], [65535], [0], [], [1, 2]]


def test_a_stream_that_starts_anew_is_followed():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 40_000, 40_001]) == [[1], [], [3, 40_000], [40_001]]
    assert feed(buffer, [200, 201], 1.0) == [[200], [201]]


def test_the_wait_is_counted_from_the_first_packet_behind_the_hole():
    buffer = JitterBuffer()
    buffer.add(packet(1, 0.00))
    buffer.add(packet(3, 0.04))
    buffer.add(packet(4, 0.05))
    assert buffer.due == pytest.approx(0.04 + FIRST_WAIT, rel=0.01)
    assert buffer.expire(0.05) == []
    assert [p.sequence for p in buffer.expire(0.06)] == [3, 4]


fates = st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=80)
"""For each packet the delays, in packets, of its copies: none when it is lost."""


@given(st.integers(0, 65535), fates)
def test_whatever_the_network_does_order_holds_and_the_delay_returns_to_nothing(start, delays):
    arriving = sorted((number + delay, number) for number, copies in enumerate(delays, start) for delay in copies)
    buffer = JitterBuffer()
    out = [played.sequence for when, number in arriving for played in buffer.add(packet(number, when * 0.02))]
    first = arriving[0][1] if arriving else start
    positions = [(sequence - first) % 65536 for sequence in out]
    assert positions == sorted(set(positions)), "in order, none twice"
    assert set(out) <= {number % 65536 for _, number in arriving}
    assert buffer.received == len(out) + buffer.late + len(buffer.expire(float("inf")))
    later = start + len(delays) + 10
    given = [buffer.add(packet(later + step)) for step in range(5)]
    assert [p.sequence for p in given[4]] == [(later + 4) % 65536], "nothing is held any longer"


def test_at_heavy_loss_what_arrives_is_played_within_40_ms():
    chance = random.Random(1)
    buffer = JitterBuffer()
    played: set[int] = set()
    arrived: list[int] = []
    for number in range(5000):
        played |= {out.sequence for out in buffer.expire(number * 0.02)}
        assert {n for n in arrived if (number - n) * 0.02 > MAX_WAIT} <= played
        if chance.random() < 0.2:
            continue
        arrived = [*arrived[-10:], number]
        played |= {out.sequence for out in buffer.add(packet(number))}
    assert buffer.late == 0
    assert abs(buffer.lost - 1000) < 120
