"""A turn as OpenTelemetry spans, sent to an OTLP endpoint.

One span for the turn, one for each stage that the caller waited for, and one for each answer that was prepared in vain.

Takes turns as they end; their marks, in seconds of the running loop, become dates. Needs the extra `otel`, so that only who configures an
endpoint imports it.
"""

import asyncio
import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from agent.traces.trace import Trace


class Spans:
    """Turns into spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("parley")

    def turn_ended(self, trace: Trace) -> None:
        """Send a turn."""
        # A date in the world of the loop's zero: what is exported is not compared with anything here.
        epoch = time.time() - asyncio.get_running_loop().time()  # noqa: TID251

        def date(moment: float) -> int:
            return round(1e9 * (epoch + moment))

        begin, end = min(trace.marks.values()), max(trace.marks.values())
        turn = self._tracer.start_span("turn", start_time=date(min(begin, trace.zero)), attributes=attributes(trace))
        for name, moment in trace.marks.items():
            turn.add_event(name, timestamp=date(moment))
        inside = set_span_in_context(turn)
        start = trace.zero
        for stage, seconds in trace.stages().items():
            span = self._tracer.start_span(stage, inside, start_time=date(start))
            start += seconds
            span.end(date(start))
        for marks in trace.withdrawn:
            span = self._tracer.start_span("prepared in vain", inside, start_time=date(marks["started"]))
            span.end(date(marks.get("done", marks["started"])))
        if trace.status == "failed":
            turn.set_status(Status(StatusCode.ERROR))
        turn.end(date(end))


def attributes(trace: Trace) -> dict[str, str | float | bool]:
    """What a span says of its turn; names of OpenTelemetry's conventions for generative AI where they have one."""
    known: dict[str, str | float | bool | None] = {
        "parley.call": trace.call,
        "parley.response": trace.response,
        "parley.agent": trace.agent,
        "parley.voice": trace.voice,
        "parley.outcome": trace.outcome,
        "parley.measured": "ear" if trace.ear else "server",
        "parley.voice_to_voice": trace.voice_to_voice,
        "parley.wait": trace.wait,
        "parley.end_of_turn": trace.end_of_turn,
        "parley.hit": trace.hit,
        "gen_ai.request.model": trace.model,
        "gen_ai.usage.input_tokens": trace.tokens.get("prompt"),
        "gen_ai.usage.output_tokens": trace.tokens.get("output"),
    }
    return {name: value for name, value in known.items() if value is not None}


def export(endpoint: str) -> Callable[[Trace], None]:
    """What to call with each turn that ended, so that it is sent to an OTLP endpoint over HTTP, from a thread of its own."""
    provider = TracerProvider(resource=Resource.create({"service.name": "parley"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return Spans(provider).turn_ended
