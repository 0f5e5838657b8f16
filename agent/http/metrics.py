"""`/metrics`: what calls went through, as Prometheus text (its exposition format 0.0.4). Pure; computed from what the calls count.

Takes the media of the calls in progress and the sums of those that ended, gives text. Counters only grow; gauges are of now.
"""

from collections.abc import Collection, Mapping

from agent.edge.statistics import Media

COUNTERS = {
    "received_packets": "Audio packets from callers.",
    "lost_packets": "Packets from callers that were given up.",
    "late_packets": "Packets from callers that came too late or twice.",
    "reordered_packets": "Packets from callers that came out of order and in time.",
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
"""Names, without prefix and `_total`, and what they count."""

GAUGES = {
    "jitter_seconds": "Jitter of the packets from callers (RFC 3550), worst call.",
    "hole_wait_seconds": "How long a missing packet is waited for, worst call.",
    "round_trip_seconds": "Round-trip time, worst call.",
}


def add(sums: dict[str, float], media: Media) -> None:
    """Add one call's share to the counters."""
    for name, share in shares(media).items():
        sums[name] = sums.get(name, 0) + share


def shares(media: Media) -> dict[str, float]:
    """What one call counted so far."""
    received, sent = media.received, media.sent
    return {
        "received_packets": received.received,
        "lost_packets": received.lost,
        "late_packets": received.late,
        "reordered_packets": received.reordered,
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


def exposition(live: Collection[Media], ended: Mapping[str, float], calls: int) -> str:
    """The page: `calls` are in progress, `live` are the media of those that have their own, `ended` is the sum of the others."""
    sums = dict(ended)
    for media in live:
        add(sums, media)
    worst = {
        "jitter_seconds": max((media.received.jitter for media in live), default=0.0),
        "hole_wait_seconds": max((media.received.wait for media in live), default=0.0),
        "round_trip_seconds": max((media.sent.round_trip or 0.0 for media in live), default=0.0),
    }
    lines = ["# HELP parley_calls Calls in progress.", "# TYPE parley_calls gauge", f"parley_calls {calls}"]
    for name, help_text in COUNTERS.items():
        full = f"parley_media_{name}_total"
        lines += [f"# HELP {full} {help_text}", f"# TYPE {full} counter", f"{full} {sums.get(name, 0):.10g}"]
    for name, help_text in GAUGES.items():
        full = f"parley_media_{name}"
        lines += [f"# HELP {full} {help_text}", f"# TYPE {full} gauge", f"{full} {worst[name]:.6g}"]
    return "\n".join(lines) + "\n"
