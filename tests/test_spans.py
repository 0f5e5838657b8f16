"""Turns as OpenTelemetry spans, taken by the SDK's own in-memory exporter and by an HTTP endpoint of the test."""

import asyncio
import time

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed (pip install 'parley[otel]')")

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent.caller.peer import call
from agent.traces.spans import Spans, export
from agent.traces.trace import Ear, Trace
from tests.test_server import QUESTION, serving


def exported(*traces):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider)
    for trace in traces:
        spans.turn_ended(trace)
    return exporter.get_finished_spans()


def milliseconds(span):
    return round((span.end_time - span.start_time) / 1e6)


async def test_a_turn_holds_its_stages_and_what_was_prepared_in_vain():
    now = asyncio.get_running_loop().time()
    marks = {"speech_stopped": 0.0, "turn_ended": 0.4, "first_token": 0.5, "first_audio": 0.55, "playout_started": 0.56}
    trace = Trace("call", "resp", "completed", {name: now + time for name, time in marks.items()}, model="demo")
    trace.tokens = {"prompt": 90, "cached": 60, "output": 12}
    trace.withdrawn = ({"started": now - 1.0, "done": now - 0.8},)
    assert trace.report(now - 0.02, now + 0.63, Ear(clock_error_ms=1))
    trace.mark("done", now + 2.0)
    *inside, turn = exported(trace)
    assert turn.name == "turn"
    assert {span.parent.span_id for span in inside} == {turn.context.span_id}
    assert {span.name: milliseconds(span) for span in inside} == {
        "silence": 420,
        "first_word": 100,
        "voice": 50,
        "sending": 10,
        "network": 70,
        "prepared in vain": 200,
    }
    assert turn.attributes["parley.voice_to_voice"] == pytest.approx(0.65)
    assert turn.attributes["gen_ai.usage.output_tokens"] == 12
    assert "parley.wait" not in turn.attributes, "what is not known is not said"
    assert turn.status.is_unset
    assert [event.name for event in turn.events][:2] == ["speech_stopped", "turn_ended"]
    assert turn.start_time / 1e9 == pytest.approx(time.time(), abs=60), "dates, not the loop's time"


async def test_a_failed_turn_is_an_error():
    [turn] = exported(Trace("call", "resp", "failed", {"started": 1.0, "done": 1.1}))
    assert not turn.status.is_ok
    assert not turn.status.is_unset


async def test_a_calls_turn_reaches_an_endpoint():
    received = asyncio.get_running_loop().create_future()

    async def take(request):
        received.set_result((request.path, ExportTraceServiceRequest.FromString(await request.read())))
        return web.Response()

    runner = web.AppRunner(web.Application())
    runner.app.router.add_post("/{path:.*}", take)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with serving() as (server, url):
            server.stages.traces.on_end.append(export(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
            async with call(url) as caller:
                await caller.ask(QUESTION, 10)
            path, request = await asyncio.wait_for(received, 20)
    finally:
        await runner.cleanup()
    assert path == "/v1/traces"
    spans = request.resource_spans[0].scope_spans[0].spans
    assert {"turn", "silence", "sending"} <= {span.name for span in spans}
