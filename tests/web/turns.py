"""Made-up turns for the latency page, and how a test sees them there."""

from agent.traces.trace import Decision, Ear, Pause, Trace

ROWS = "document.querySelectorAll('#turns .row:not([hidden])')"
"""Those in sight."""


def count(number):
    """The page knows of so many turns."""
    return f"document.querySelector('#count').textContent === '{number}'"


def made_up(random, number, end, every=9.0):
    """The turns of some days in the life of a server: mostly quick, some over budget, cut, or started in vain; the newest ends at `end`."""
    for index in range(number):
        zero = end - every * (number - index)
        slow = random.random() < 0.06
        lengths = (0.25, 0.2, 0.0, 0.08, 0.02, 0.03, 0.01, 0.06)
        names = ("started", "turn_ended", "prefill_done", "first_token", "first_chunk", "first_audio")
        names = (*names, "playout_started", "heard")
        marks, time = {"spoken": zero, "speech_stopped": zero + random.gauss(0, 0.01)}, zero
        for name, length in zip(names, lengths, strict=True):
            time += length * random.lognormvariate(0, 0.35) * (4 if slow and name == "first_token" else 1)
            marks[name] = time
        marks["done"] = time + 4
        trace = Trace(f"call_{index // 40:06}", f"resp_{index}", "completed", marks, model="demo on cpu, float32")
        trace.agent = ("reception", "numbers", "translator")[index // 40 % 3]
        trace.wait, trace.end_of_turn = marks["turn_ended"] - zero, random.betavariate(8, 2)
        decision = Decision(at=0.17, median=0.3, spread=0.6, evidence=random.gauss(1, 1), allowed=0.197)
        trace.pauses = (Pause(zero, trace.wait, trace.end_of_turn, "anything", decision=decision),)
        if random.random() < 0.15:
            doubtful = Decision(at=0.19, median=0.48, spread=0.6, evidence=-1, allowed=0.197)
            trace.pauses = (Pause(zero - 1.4, 0.8, 0.2, "dictation", 0.6, doubtful), *trace.pauses)
            trace.withdrawn = ({"started": zero - 1.2, "first_token": zero - 1.0, "done": zero - 0.8},)
        trace.tries, trace.hit = 1 + len(trace.withdrawn), random.random() < 0.7
        if random.random() < 0.1:
            trace.marks["interrupted"] = time + random.uniform(0.1, 3)
            trace.status, trace.reason = "cancelled", "turn_detected"
        trace.ear = Ear(clock_error_ms=0.6, round_trip_ms=24, jitter_buffer_ms=31, packets_lost=random.random() < 0.05)
        trace.media = {"received_packets": 200, "lost_packets": int(random.random() < 0.05), "underruns": 0}
        yield trace
