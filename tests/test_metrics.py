"""The Prometheus page: its form, that counters only grow, and that a real call shows in it."""

import re

from agent.caller.peer import call
from agent.edge.statistics import Media, Reception, Sending
from agent.http.metrics import COUNTERS, GAUGES, add, exposition
from tests.test_server import QUESTION, ended, get, serving

MEDIA = Media(
    Reception(received=100, lost=3, recovered=2, concealed=1, silence=1.5, jitter=0.002),
    Sending(packets=50, bytes=4000, lost=1, underruns=2, round_trip=0.03),
)


def values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(parley_\w+) (\S+)$", text, re.MULTILINE)}


def test_every_figure_has_its_help_and_type():
    text = exposition([MEDIA], {}, 1)
    names = set(values(text))
    assert len(names) == 1 + len(COUNTERS) + len(GAUGES)
    for name in names:
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}" in text
    assert text.endswith("\n")


def test_calls_in_progress_and_ended_ones_are_one_sum():
    sums: dict[str, float] = {}
    add(sums, MEDIA)
    found = values(exposition([MEDIA, MEDIA], sums, 2))
    assert found["parley_calls"] == 2
    assert found["parley_media_received_packets_total"] == 300
    assert found["parley_media_filled_silence_seconds_total"] == 4.5
    assert found["parley_media_underruns_total"] == 6
    assert found["parley_media_round_trip_seconds"] == 0.03
    assert set(sums) == set(COUNTERS), "the page names all that is counted"


def test_without_calls_all_is_zero():
    assert set(values(exposition([], {}, 0)).values()) == {0.0}


def test_the_line_of_the_log():
    assert str(MEDIA) == (
        "heard 100 packets, lost 3 (recovered 2, made up 1), late 0, jitter 2.0 ms; "
        "sent 50, missed there 1, underruns 2, round trip 30 ms"
    )


async def test_a_call_is_counted_while_it_lasts_and_afterwards():
    async with serving() as (server, url):
        async with call(url) as caller:
            await caller.ask(QUESTION, 10)
            response, text = await get(url, "/metrics")
            during = values(text)
        await ended(server)
        after = values((await get(url, "/metrics"))[1])
    assert response.content_type == "text/plain"
    assert (during["parley_calls"], after["parley_calls"]) == (1, 0)
    assert during["parley_media_received_packets_total"] > 20
    assert during["parley_media_lost_packets_total"] == 0
    assert all(after[name] >= during[name] for name in during if name.endswith("_total")), "counters never fall"


async def test_a_key_guards_the_page():
    async with serving(key="secret") as (_, url):
        assert (await get(url, "/metrics"))[0].status == 401
        assert (await get(url, "/metrics", Authorization="Bearer secret"))[0].status == 200
