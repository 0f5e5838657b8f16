"""`/metrics`: what calls and turns went through, for Prometheus. Computed from traces and from what the calls count, not beside them.

Takes turns and calls as they end, and looks at the calls in progress when it is asked. Names and units are by Prometheus's conventions:
base units, `_total` for what only grows; gauges are of now.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from agent.edge import Edge
from agent.edge.statistics import Media
from agent.edge.webrtc import WebRTCEdge
from agent.engine import gpu_memory
from agent.stages import Stages
from agent.traces.trace import STAGES, Budget, Trace

COUNTERS = {
    "received_packets": "Audio packets from callers.",
    "lost_packets": "Packets from callers that were given up.",
    "late_packets": "Packets from callers that came too late or twice.",
    "reordered_packets": "Packets from callers that came out of order and in time.",
    "held_seconds": "Time that packets from callers waited for others; by the packets: the receive buffer's delay.",
    "recovered_packets": "Lost packets that were heard from the copy in the next one.",
    "concealed_packets": "Lost packets that were made up.",
    "broken_packets": "Packets from callers that could not be decoded.",
    "filled_silence_seconds": "Silence that was filled in where nothing was sent.",
    "sent_packets": "Audio packets to callers.",
    "sent_bytes": "Their payloads.",
    "missed_packets": "Packets to callers that these report as lost.",
    "underruns": "Gaps inside speech because it was not made in time.",
    "skipped_frames": "Frames whose time passed while the event loop stood still.",
}
"""Of the media: names, without prefix and `_total`, and what they count."""

GAUGES = {
    "jitter_seconds": "Jitter of the packets from callers (RFC 3550), worst call.",
    "hole_wait_seconds": "How long a missing packet is waited for, worst call.",
    "sent_jitter_seconds": "Jitter of the packets to callers, as these report it, worst call.",
    "round_trip_seconds": "Round-trip time, worst call.",
}

BUCKETS = (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
"""Seconds, finest where budgets are."""


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for each of them, which nothing reads


class Metrics:
    """One server's figures."""

    def __init__(self, calls: Mapping[str, Edge], stages: Stages, budget: Budget) -> None:
        """`calls` are those in progress, by id."""
        self.registry = CollectorRegistry()
        self._calls, self._stages, self._budget = calls, stages, budget
        self._ended: dict[str, float] = {}
        """What the media of the calls that ended counted."""
        self._counted: dict[str, dict[str, float]] = {}
        """What the media of each call had counted at the end of its last turn."""
        kept, who = self.registry, ("agent", "model")
        self._begun = Counter("parley_calls", "Calls that began.", registry=kept)
        self._turns = Counter("parley_turns", "Answers, by how they ended.", (*who, "outcome"), registry=kept)
        self._v2v = Histogram(
            "parley_voice_to_voice_seconds",
            "From the caller's last syllable to the first sound of the answer; measured: at the caller's ear, or only at the server.",
            (*who, "measured"),
            buckets=BUCKETS,
            registry=kept,
        )
        self._waits = Histogram(
            "parley_stage_seconds",
            "What the caller waited for; the stages of a turn add up to its voice_to_voice.",
            ("stage",),
            buckets=BUCKETS,
            registry=kept,
        )
        self._over = Counter(
            "parley_over_budget_turns", "Turns over their budget, by the stage to blame.", ("stage",), registry=kept
        )
        for stage in STAGES:
            self._over.labels(stage)  # that nothing broke the budget shows as 0, not as nothing
        self._prepared = Counter(
            "parley_prepared_answers", "Answers begun before the turn was over.", ("result",), registry=kept
        )
        self._tokens = Counter(
            "parley_tokens", "Tokens; cached: of the prompt, found on a tape.", ("kind",), registry=kept
        )
        self._ear_lost = Counter("parley_ear_lost_packets", "Packets that callers' ends report as lost.", registry=kept)
        self._ear_concealed = Counter(
            "parley_ear_concealed_seconds", "Sound that callers' ends made up.", registry=kept
        )
        self._ear_times = Histogram(
            "parley_ear_seconds",
            "What callers' ends measure of the way to them, once a turn: round_trip, jitter, and the wait in their jitter_buffer.",
            ("what",),
            buckets=BUCKETS,
            registry=kept,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_Now(self))

    def call_began(self) -> None:
        """Count a call."""
        self._begun.inc()

    def call_ended(self, call: str) -> None:
        """Keep what a call counted; it is still among those in progress."""
        self._counted.pop(call, None)
        if media := _media(self._calls[call]):
            _add(self._ended, media)

    def turn_ended(self, trace: Trace) -> None:
        """Count a turn, and add to its trace what its call's audio went through since the turn before."""
        if media := _media(self._calls.get(trace.call)):
            counted, before = shares(media), self._counted.get(trace.call, {})
            self._counted[trace.call] = counted
            trace.media = {name: share - before.get(name, 0) for name, share in counted.items()} | momentary(media)
        self._turns.labels(trace.agent, trace.model, trace.outcome).inc()
        if trace.voice_to_voice is not None:
            measured = "ear" if trace.ear else "server"
            self._v2v.labels(trace.agent, trace.model, measured).observe(max(0.0, trace.voice_to_voice))
            for stage, seconds in trace.stages().items():
                self._waits.labels(stage).observe(seconds)
        if blamed := trace.over(self._budget):
            self._over.labels(blamed).inc()
        self._prepared.labels("hit").inc(trace.hit)
        self._prepared.labels("withdrawn").inc(len(trace.withdrawn))
        for kind, number in trace.tokens.items():
            self._tokens.labels(kind).inc(number)
        if trace.ear:
            self._ear_lost.inc(trace.ear.packets_lost or 0)
            self._ear_concealed.inc((trace.ear.concealed_ms or 0) / 1000)
            for what in ("round_trip", "jitter", "jitter_buffer"):
                if (measured_ms := getattr(trace.ear, f"{what}_ms")) is not None:
                    self._ear_times.labels(what).observe(measured_ms / 1000)

    def exposition(self) -> bytes:
        """All of it as text (exposition format 0.0.4)."""
        return generate_latest(self.registry)

    def now(self) -> Iterator[Metric]:
        """What is looked at when it is asked for."""
        live = [media for edge in self._calls.values() if (media := _media(edge))]
        sums = dict(self._ended)
        for media in live:
            _add(sums, media)
        yield GaugeMetricFamily("parley_calls_in_progress", "Calls in progress.", len(self._calls))
        waiting = "Replies whose first word the engine has not given yet."
        yield GaugeMetricFamily("parley_replies_waiting", waiting, len(self._stages.waiting))
        for name, help_text in COUNTERS.items():
            yield CounterMetricFamily(f"parley_media_{name}", help_text, sums.get(name, 0))
        worst = {
            "jitter_seconds": max((media.received.jitter for media in live), default=0.0),
            "hole_wait_seconds": max((media.received.wait for media in live), default=0.0),
            "sent_jitter_seconds": max((media.sent.jitter for media in live), default=0.0),
            "round_trip_seconds": max((media.sent.round_trip or 0.0 for media in live), default=0.0),
        }
        for name, help_text in GAUGES.items():
            yield GaugeMetricFamily(f"parley_media_{name}", help_text, worst[name])
        memory = GaugeMetricFamily("parley_gpu_memory_bytes", "What the models hold of a GPU.", labels=["device"])
        for device, size in gpu_memory().items():
            memory.add_metric([device], size)
        yield memory


class _Now(Collector):
    """What the registry asks for figures of now."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.now()


def _media(edge: Edge | None) -> Media | None:
    """What a call's audio went through, where it travels in packets."""
    return edge.media if isinstance(edge, WebRTCEdge) else None


def _add(sums: dict[str, float], media: Media) -> None:
    """Add one call's share to the counters."""
    for name, share in shares(media).items():
        sums[name] = sums.get(name, 0) + share


def momentary(media: Media) -> dict[str, float]:
    """What holds of one call at the moment, in milliseconds: of the sound from the caller, and of the way to him, as he reports it."""
    received, sent = media.received, media.sent
    return {
        "received_jitter_ms": round(1000 * received.jitter, 2),
        "hole_wait_ms": round(1000 * received.wait, 2),
        "sent_jitter_ms": round(1000 * sent.jitter, 2),
        **({} if sent.round_trip is None else {"sent_round_trip_ms": round(1000 * sent.round_trip, 2)}),
    }


def shares(media: Media) -> dict[str, float]:
    """What one call counted so far."""
    received, sent = media.received, media.sent
    return {
        "received_packets": received.received,
        "lost_packets": received.lost,
        "late_packets": received.late,
        "reordered_packets": received.reordered,
        "held_seconds": received.held,
        "recovered_packets": received.recovered,
        "concealed_packets": received.concealed,
        "broken_packets": received.broken,
        "filled_silence_seconds": received.silence,
        "sent_packets": sent.packets,
        "sent_bytes": sent.bytes,
        "missed_packets": sent.lost,
        "underruns": sent.underruns,
        "skipped_frames": sent.skipped,
    }
