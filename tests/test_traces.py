"""The kept turns, and those who follow them: in order, bounded, and never waited for."""

import pytest

from agent.traces.recent import BEHIND, MAX_FOLLOWERS, TooManyFollowersError, Traces
from agent.traces.trace import Trace


def turn(number: int = 1, call: str = "call") -> Trace:
    return Trace(call, f"resp_{number}")


def test_the_newest_are_kept_and_found():
    traces = Traces(most=2)
    for number in (1, 2, 3):
        traces.append(turn(number))
    assert [trace.response for trace in traces] == ["resp_2", "resp_3"]
    assert traces.find("call", "resp_3") is list(traces)[1]
    assert traces.find("other", "resp_3") is None
    assert traces.find("call", "resp_1") is None


async def test_followers_hear_what_changes_while_they_follow():
    traces, first = Traces(), turn()
    traces.tell(turn(0))
    with traces.following() as one, traces.following() as other:
        traces.tell(first)
        traces.append(first)
    traces.append(turn(2))
    assert [one.get_nowait(), one.get_nowait(), one.empty()] == [first, first, True]
    assert other.qsize() == 2


async def test_one_who_falls_behind_is_dropped_and_told():
    traces = Traces()
    with traces.following() as slow, traces.following() as quick:
        for number in range(BEHIND + 1):
            traces.tell(turn(number))
            quick.get_nowait()
        traces.tell(turn(1000))
        assert quick.get_nowait().response == "resp_1000"
        assert [slow.get_nowait(), slow.empty()] == [None, True]


async def test_there_are_only_so_many_followers_and_all_end_with_the_server():
    traces = Traces()
    with traces.following() as follower:
        others = [traces.following() for _ in range(MAX_FOLLOWERS)]
        for other in others[:-1]:
            other.__enter__()
        with pytest.raises(TooManyFollowersError), others[-1]:
            pass
        traces.close()
        assert follower.get_nowait() is None
    with traces.following():
        pass


def test_what_is_done_at_a_turns_end_is_done_before_it_is_told():
    traces, seen = Traces(), []
    traces.on_end.append(lambda trace: seen.append((trace.response, list(traces))))
    traces.append(turn())
    assert seen == [("resp_1", [])]
