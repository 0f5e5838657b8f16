"""A call as a picture: both sides on one time line, what was found to be a turn, and the moments of each reply. Text or SVG; pure."""

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

import numpy as np

from agent.audio import INPUT_FRAME, INPUT_RATE, Samples, dbfs
from agent.simulation.expectations import Outcome
from agent.traces.trace import Trace

COLUMNS = 100
"""Characters of a time line, at most."""

STEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
"""Seconds that a character may stand for."""

QUIET, LOUD = -55.0, -15.0
"""Levels in dBFS of the lowest and the full block."""

BLOCKS = "·▁▂▃▄▅▆▇█"

SIGNS = {
    "input_audio_buffer.speech_started": "S",
    "input_audio_buffer.speech_stopped": "E",
    "output_audio_buffer.started": "▶",
    "output_audio_buffer.stopped": "■",
    "output_audio_buffer.cleared": "✖",
    "error": "!",
}
OVERLAP = "~"
LEGEND = "S speech found · E end of turn · ▶ agent begins · ~ is held · ■ ends · ✖ is cut · ! error"

Rows = Sequence[tuple[str, Samples]]
"""Names and what was heard, [n] at 16 kHz, from the start of the call."""


def draw(title: str, rows: Rows, outcome: Outcome) -> str:
    """The time line as text: a row for each side, one for the events, and a line for each reply."""
    seconds = max(samples.size for _, samples in rows) / INPUT_RATE
    step = next((step for step in STEPS if seconds / step <= COLUMNS), STEPS[-1])
    columns = math.ceil(seconds / step)
    width = max(len(name) for name, _ in (*rows, ("events", None)))
    picture = [f"{title}  ({seconds:.1f} s; a column is {step:g} s)", "", f"{'':{width}}  {_ruler(columns, step)}"]
    picture += [f"{name:{width}}  {_levels(samples, columns, step)}" for name, samples in rows]
    picture += [f"{'events':{width}}  {_signs(outcome, columns, step)}", f"{'':{width}}  {LEGEND}", ""]
    return "\n".join([*picture, *_replies(outcome)])


def _ruler(columns: int, step: float) -> str:
    """The seconds, above the columns in which they begin."""
    every = next(every for every in (1, 2, 5, 10, 20, 60, 300, 600) if every / step >= 8)
    ruler = [" "] * (columns + 8)
    for second in range(0, math.ceil(columns * step) + 1, every):
        column = round(second / step)
        if column <= columns:
            ruler[column : column + len(str(second))] = str(second)
    return "".join(ruler).rstrip()


def _levels(samples: Samples, columns: int, step: float) -> str:
    """A block for each column, as high as its loudest frame is loud."""
    text = ""
    for column in range(columns):
        piece = samples[round(column * step * INPUT_RATE) : round((column + 1) * step * INPUT_RATE)]
        level = max((dbfs(piece[at : at + INPUT_FRAME]) for at in range(0, piece.size, INPUT_FRAME)), default=QUIET)
        text += BLOCKS[round(_height(level) * (len(BLOCKS) - 1))]
    return text


def _height(level: float) -> float:
    return min(max((level - QUIET) / (LOUD - QUIET), 0.0), 1.0)


def _moments(outcome: Outcome) -> list[tuple[float, str, str]]:
    """Times, signs and names of what is marked in the picture, in order."""
    held = [(trace.marks["overlap"], OVERLAP, "overlap") for trace in outcome.traces if "overlap" in trace.marks]
    sent = [(time, SIGNS[event["type"]], event["type"]) for time, event in outcome.events if event["type"] in SIGNS]
    return sorted(held + sent)


def _signs(outcome: Outcome, columns: int, step: float) -> str:
    """The moments' signs, one beside the other where several share a column."""
    signs = [" "] * (columns + len(outcome.events) + len(outcome.traces))
    for time, sign, _ in _moments(outcome):
        column = min(int(time / step + 1e-6), columns)
        signs[signs.index(" ", column)] = sign
    return "".join(signs).rstrip()


def _replies(outcome: Outcome) -> Iterator[str]:
    for number, trace in enumerate(outcome.traces, 1):
        yield f"reply {number}  {trace.status}{_wait(trace)}"
        marks = sorted(trace.marks.items(), key=lambda mark: mark[1])
        yield "  " + " · ".join(f"{name} {time:.3f}" for name, time in marks)
    if outcome.history:
        yield ""
        yield "history"
        yield from (f"  {line}" for line in outcome.history)


def _wait(trace: Trace) -> str:
    if trace.wait is None:
        return ""
    sure = "" if trace.end_of_turn is None else f", the engine's probability of the end {trace.end_of_turn:.2f}"
    saved = f", {trace.saved_ms:.0f} ms saved" if trace.saved_ms else ""
    return f" after {1000 * trace.wait:.0f} ms of silence{sure}; {trace.tries} tries{saved}"


# SVG.

MARGIN, ROW, SECOND = 90, 70, 100
"""Pixels: left of the time line, a row's height, and a second, in pictures that are not too wide."""

WIDEST = 4000

STYLE = """:root { color-scheme: light dark; --ink: #222; --paper: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181818 } }
rect { fill: var(--paper) } text { fill: var(--ink) } line { stroke: var(--ink); stroke-opacity: .25 }
.side { fill: #2a7ab8 } .side.agent { fill: #c2672a } .event { stroke-opacity: .7; stroke-dasharray: 3 3 }"""


def svg(title: str, rows: Rows, outcome: Outcome) -> str:
    """The same as an SVG document; it takes the reader's own light or dark colours."""
    seconds = max(samples.size for _, samples in rows) / INPUT_RATE
    second = min(SECOND, WIDEST / max(seconds, 1))
    width, bottom = MARGIN + seconds * second + 20, 40 + ROW * len(rows)
    height = bottom + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" font-family="sans-serif" font-size="12">',
        f"<style>{STYLE}</style>",
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%"/>',
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in range(math.floor(seconds) + 1):
        x = MARGIN + tick * second
        parts.append(f'<line x1="{x:.1f}" y1="28" x2="{x:.1f}" y2="{bottom}"/>')
        if tick * second % 50 < second:
            parts.append(f'<text x="{x + 2:.1f}" y="36">{tick} s</text>')
    for number, (name, samples) in enumerate(rows):
        middle = 40 + ROW * number + ROW / 2
        kind = "side agent" if name.startswith("agent") else "side"
        parts.append(f'<text x="8" y="{middle + 4:.0f}">{escape(name)}</text>')
        parts.append(f'<polygon class="{kind}" points="{_outline(samples, middle, second)}"/>')
    parts += _svg_events(outcome, second, bottom)
    return "\n".join([*parts, "</svg>", ""])


def _outline(samples: Samples, middle: float, second: float) -> str:
    """The level over time, to both sides of a middle line."""
    frames = samples[: samples.size // INPUT_FRAME * INPUT_FRAME].reshape(-1, INPUT_FRAME)
    heights = [0.45 * ROW * _height(dbfs(frame)) for frame in frames]
    times = MARGIN + second * np.arange(len(heights)) * INPUT_FRAME / INPUT_RATE
    upper = [f"{x:.1f},{middle - height:.1f}" for x, height in zip(times, heights, strict=True)]
    lower = [f"{x:.1f},{middle + height:.1f}" for x, height in zip(times, heights, strict=True)]
    return " ".join([*upper, *reversed(lower)])


def _svg_events(outcome: Outcome, second: float, bottom: float) -> Iterator[str]:
    """Dashed lines with the events' signs below, and what they mean."""
    for time, sign, name in _moments(outcome):
        x = MARGIN + second * time
        yield f'<line class="event" x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x - 4:.1f}" y="{bottom + 16:.0f}">{sign}<title>{name} {time:.3f} s</title></text>'
    yield f'<text x="{MARGIN}" y="{bottom + 40:.0f}" font-size="11">{escape(LEGEND)}</text>'
