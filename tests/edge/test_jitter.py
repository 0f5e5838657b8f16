"""The receive buffer: order, loss, wraparound, and no delay that stays."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.edge.jitter import HOLD, JitterBuffer, Packet


def packet(number: int, arrival: float = 0.0) -> Packet:
    return Packet(number % 65536, number * 960 % 2**32, 96, b"x", arrival)


def feed(buffer: JitterBuffer, numbers: list[int]) -> list[list[int]]:
    """What comes out after each packet."""
    return [[out.sequence for out in buffer.add(packet(number))] for number in numbers]


def test_packets_in_order_pass_at_once():
    assert feed(JitterBuffer(), [7, 8, 9]) == [[7], [8], [9]]


def test_a_hole_waits_for_two_further_packets_and_is_then_given_up():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 2, 4, 5, 6]) == [[1], [2], [], [4, 5], [6]]
    assert (buffer.lost, buffer.late) == (1, 0)


def test_two_packets_that_changed_places_come_out_in_order():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 2, 4]) == [[1], [], [2, 3], [4]]
    assert (buffer.lost, buffer.late) == (0, 0)


def test_a_packet_that_comes_after_its_hole_was_given_up_is_dropped():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 4, 2, 5]) == [[1], [], [3, 4], [], [5]]
    assert (buffer.lost, buffer.late) == (1, 1)


def test_duplicates_are_dropped_whether_played_or_held():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 1, 3, 3, 2]) == [[1], [], [], [], [2, 3]]
    assert buffer.late == 2


def test_two_holes_are_given_up_one_after_the_other():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 5, 6, 7]) == [[1], [], [3], [5, 6], [7]]
    assert buffer.lost == 2


def test_a_burst_of_losses_costs_no_more_waiting_than_one():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 12, 13, 14]) == [[1], [], [12, 13], [14]]
    assert buffer.lost == 10


def test_sequence_numbers_wrap():
    assert feed(JitterBuffer(), [65534, 65535, 65536, 65538, 65537]) == [[65534], [65535], [0], [], [1, 2]]


def test_a_stream_that_starts_anew_is_followed():
    buffer = JitterBuffer()
    assert feed(buffer, [1, 3, 40_000, 40_001]) == [[1], [], [3, 40_000], [40_001]]
    assert feed(buffer, [200, 201]) == [[200], [201]]


def test_flush_gives_up_every_hole():
    buffer = JitterBuffer()
    feed(buffer, [1, 3])
    assert buffer.waiting_since == 0.0
    assert [out.sequence for out in buffer.flush()] == [3]
    assert buffer.waiting_since is None
    assert feed(buffer, [4]) == [[4]]


def test_the_wait_is_counted_from_the_first_packet_behind_the_hole():
    buffer = JitterBuffer()
    buffer.add(packet(1, 0.00))
    buffer.add(packet(3, 0.04))
    assert buffer.waiting_since == 0.04


fates = st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=80)
"""For each packet the delays, in packets, of its copies: none when it is lost."""


@given(st.integers(0, 65535), fates)
def test_whatever_the_network_does_order_holds_and_the_delay_returns_to_nothing(start, delays):
    arriving = sorted((number + delay, number) for number, copies in enumerate(delays, start) for delay in copies)
    buffer = JitterBuffer()
    out = [played for _, number in arriving for played in feed(buffer, [number])[0]]
    first = arriving[0][1] if arriving else start
    positions = [(sequence - first) % 65536 for sequence in out]
    assert positions == sorted(set(positions)), "in order, none twice"
    assert set(out) <= {number % 65536 for _, number in arriving}
    assert buffer.received == len(out) + buffer.late + len(buffer.flush())
    later = start + len(delays) + 10
    assert feed(buffer, [later, later + 1, later + 2])[2] == [(later + 2) % 65536], "nothing is held any longer"


def test_at_heavy_loss_what_arrives_is_played_within_two_packets():
    chance = random.Random(1)
    buffer = JitterBuffer()
    played: set[int] = set()
    arrived: list[int] = []
    for number in range(5000):
        if chance.random() < 0.2:
            continue
        arrived.append(number)
        played |= {out.sequence for out in buffer.add(packet(number))}
        assert set(arrived[:-1]) - set(arrived[-HOLD:]) <= played
    assert buffer.late == 0
    assert abs(buffer.lost - (arrived[-1] + 1 - len(arrived))) <= HOLD
