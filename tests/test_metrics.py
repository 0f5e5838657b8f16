"""The Prometheus page: its names and types, that counters only grow, and that turns and real calls show in it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.caller.peer import call
from agent.edge.statistics import Media, Reception, Sending
from agent.engine import gpu_memory
from agent.engine.scripted import ScriptedEngine
from agent.http.metrics import COUNTERS, GAUGES, Metrics, momentary, shares
from agent.simulation.sound import ToneVoice
from agent.stages import Stages
from agent.traces.trace import STAGES, Budget, Ear, Trace
from tests.test_server import QUESTION, ended, get, serving

MEDIA = Media(
    Reception(received=100, lost=3, recovered=2, concealed=1, silence=1.5, jitter=0.002),
    Sending(packets=50, bytes=4000, lost=1, underruns=2, round_trip=0.03),
)


def values(text) -> dict[str, float]:
    """Samples by their name, or name and labels' values."""
    text = text.decode() if isinstance(text, bytes) else text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics() -> Metrics:
    return Metrics({}, Stages(ScriptedEngine([]), ToneVoice()), Budget(voice_to_voice=0.5, silence=0.6))


def turn(**fields) -> Trace:
    marks = {"speech_stopped": 10.0, "turn_ended": 10.4, "first_token": 10.5, "first_audio": 10.6}
    return Trace("call", "resp", "completed", marks | {"playout_started": 10.62}, agent="desk", model="demo", **fields)


def test_everything_has_help_a_type_and_a_unit():
    text = metrics().exposition().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {f"parley_media_{name}" for name in (*COUNTERS, *GAUGES)} <= families.keys()
    for name, family in families.items():
        assert family.documentation, name
        assert name.startswith(("parley_", "process_"))
        assert not name.endswith(("_ms", "_milliseconds")), "base units"
        assert family.type in {"counter", "gauge", "histogram"}


def test_without_calls_all_is_zero():
    assert {value for name, value in values(metrics().exposition()).items() if name.startswith("parley_")} == {0.0}


def test_a_turn_counts_by_who_how_and_where():
    found = metrics()
    trace = turn(hit=True, withdrawn=({}, {}), tokens={"prompt": 90, "cached": 60, "output": 12})
    assert trace.report(
        9.9, 10.7, Ear(clock_error_ms=1, packets_lost=2, concealed_ms=40, jitter_ms=3, jitter_buffer_ms=30)
    )
    found.turn_ended(trace)
    samples = values(found.exposition())
    assert samples["parley_turns_total desk demo completed"] == 1
    assert samples["parley_voice_to_voice_seconds_sum desk ear demo"] == pytest.approx(0.8)
    stages = {stage: samples.get(f"parley_stage_seconds_sum {stage}") for stage in STAGES}
    assert sum(filter(None, stages.values())) == pytest.approx(0.8)
    assert stages["silence"] == pytest.approx(0.5)
    assert samples["parley_over_budget_turns_total voice"] == 1
    assert samples["parley_prepared_answers_total hit"] == 1
    assert samples["parley_prepared_answers_total withdrawn"] == 2
    assert [samples[f"parley_tokens_total {kind}"] for kind in ("prompt", "cached", "output")] == [90, 60, 12]
    assert samples["parley_ear_lost_packets_total"] == 2
    assert samples["parley_ear_concealed_seconds_total"] == pytest.approx(0.04)
    assert samples["parley_ear_seconds_sum jitter"] == pytest.approx(0.003)
    assert samples["parley_ear_seconds_sum jitter_buffer"] == pytest.approx(0.03)
    assert "parley_ear_seconds_sum round_trip" not in samples, "was not told"


def test_a_turn_that_nobody_heard_has_no_latency():
    found, trace = metrics(), turn()
    trace.status = "failed"
    del trace.marks["playout_started"]
    found.turn_ended(trace)
    samples = values(found.exposition())
    assert samples["parley_turns_total desk demo failed"] == 1
    assert not any("voice_to_voice_seconds_count" in name for name in samples)


def test_the_page_names_all_that_is_counted():
    assert shares(MEDIA).keys() == COUNTERS.keys()


def test_a_turn_says_what_holds_at_its_end_from_both_ends():
    assert momentary(MEDIA) == {
        "received_jitter_ms": 2.0, "hole_wait_ms": 0.0, "sent_jitter_ms": 0.0, "sent_round_trip_ms": 30.0,
    }  # fmt: skip
    assert "sent_round_trip_ms" not in momentary(Media(Reception(), Sending())), "before the first report"


def test_the_line_of_the_log():
    assert str(MEDIA) == (
        "heard 100 packets, lost 3 (recovered 2, made up 1), late 0, jitter 2.0 ms; "
        "sent 50, missed there 1, underruns 2, round trip 30 ms"
    )


def test_without_a_gpu_none_is_told():
    assert all(size >= 0 for size in gpu_memory().values())
    assert "parley_gpu_memory_bytes" in metrics().exposition().decode()


async def test_a_call_is_counted_while_it_lasts_and_afterwards():
    async with serving() as (server, url):
        async with call(url) as caller:
            await caller.ask(QUESTION, 10)
            response, text = await get(url, "/metrics")
            during = values(text)
        await ended(server)
        after = values((await get(url, "/metrics"))[1])
        [trace] = server.stages.traces
    assert response.content_type == "text/plain"
    assert (during["parley_calls_in_progress"], after["parley_calls_in_progress"]) == (1, 0)
    assert (during["parley_calls_total"], after["parley_calls_total"]) == (1, 1)
    assert during["parley_media_received_packets_total"] > 20
    assert during["parley_media_lost_packets_total"] == 0
    assert all(after[name] >= during[name] for name in during if "_total" in name), "counters never fall"
    assert during["parley_voice_to_voice_seconds_count  ear scripted"] == 1
    assert {"received_jitter_ms", "hole_wait_ms", "sent_jitter_ms"} <= trace.media.keys()
    assert 0 < trace.media["received_packets"] <= during["parley_media_received_packets_total"]


async def test_the_media_of_a_turn_are_those_since_the_one_before():
    async with serving() as (server, url), call(url) as caller:
        for _ in range(2):
            await caller.ask(QUESTION, 10)
        first, second = (trace.media["received_packets"] for trace in server.stages.traces)
        counted = values((await get(url, "/metrics"))[1])["parley_media_received_packets_total"]
    assert 0 < first + second <= counted
    assert first > 0 < second


async def test_a_key_guards_the_page():
    async with serving(key="secret") as (_, url):
        assert (await get(url, "/metrics"))[0].status == 401
        assert (await get(url, "/metrics", Authorization="Bearer secret"))[0].status == 200
