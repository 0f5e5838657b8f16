"""What a caller knows of the server's clock: right within half of the quickest round trip, and drift is forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.caller.clock import REMEMBERED, Clock

way = st.floats(0, 2)


@given(st.floats(-1e5, 1e5), st.lists(st.tuples(way, way), min_size=1, max_size=REMEMBERED))
def test_the_error_is_at_most_half_of_the_quickest_round_trip(offset, ways):
    clock = Clock()
    for number, (there, back) in enumerate(ways):
        clock.add(number, number + there + offset, number + there + back)
    assert clock.error == pytest.approx(min(there + back for there, back in ways) / 2, abs=1e-6)
    assert abs(clock.at_server(100) - (100 + offset)) <= clock.error + 1e-6


def test_old_pings_are_forgotten():
    clock = Clock()
    clock.add(0, 10, 0)
    for number in range(1, REMEMBERED + 1):
        clock.add(number, number + 10.5, number + 0.2)
    assert clock.at_server(20) == pytest.approx(30.4)


def test_before_the_first_ping_nothing_is_known():
    assert Clock().error == float("inf")
    with pytest.raises(ValueError, match="empty"):
        Clock().at_server(0)
