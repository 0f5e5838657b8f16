"""Calls kept on disk, when that is asked for: both sides' sound on one time line, the events, and the traces of the replies.

Takes the place of a call's edge and passes everything on. One folder per call, for its owner only:
`call.wav` (16 kHz, the caller left, the agent right), `events.jsonl`, `traces.jsonl`, and `call.json` (what the call began with). Times
are seconds from the first sample of the caller. Bounded: MAX_SECONDS of each call, and so many calls, of which the oldest are dropped.
"""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import soundfile
from pydantic import BaseModel

from agent.audio import FRAME_SECONDS, INPUT_RATE, Frame, Resampler, Samples, TimeLine
from agent.edge import Edge, Returned, Speaker
from agent.realtime.client_events import ClientEvent
from agent.realtime.events import ServerEvent, SpeechStarted
from agent.traces.trace import Trace

SOUND, EVENTS, TRACES, ABOUT = "call.wav", "events.jsonl", "traces.jsonl", "call.json"

MAX_SECONDS = 600.0
"""Of a call that are kept: 38 MB of sound."""

SETTLED = 0.5
"""Seconds after which no sound comes any more for a moment that is past."""

LEAST_TURN, AFTER_TURN = 5.0, 0.5
"""Seconds that are heard of a turn before the wait for its answer where nobody knows when it began, and after the answer."""

SECRET = re.compile(r"(.*[_-])?(key|token|secret|password|authorization|credentials?|headers)", re.IGNORECASE)
"""Names of fields that are left out of events, wherever they are."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """Where and what to keep of one call."""

    folder: Path
    """Of all recordings; the call's own is in it."""
    calls: int
    """Recordings that are kept."""
    about: dict[str, Any]
    """What the call begins with; `id` is the call's."""


@contextmanager
def recorded(edge: Edge, recording: Recording | None, traces: Iterable[Trace]) -> Iterator[Edge]:
    """The edge to use for a call: the same one, or one that keeps the call, too (None: nothing is kept).

    `traces` are looked at in the end. A disk that fails costs the recording, not the call.
    """
    if recording is None:
        yield edge
        return
    call_id = recording.about["id"]
    try:
        make_room(recording.folder, recording.calls)
        recorder = Recorder(edge, recording.folder / call_id, recording.about)
    except OSError as error:
        _log.warning("%s cannot be recorded: %s", call_id, error)
        yield edge
        return
    try:
        yield recorder
    finally:
        recorder.close(trace for trace in traces if trace.call == call_id)


def make_room(folder: Path, calls: int) -> None:
    """Drop the oldest recordings of a folder until fewer than `calls` are left. Raises OSError."""
    kept = sorted((file.parent for file in folder.glob(f"*/{ABOUT}")), key=lambda call: call.stat().st_mtime)
    for call in kept[: max(0, len(kept) - calls + 1)]:
        for name in (SOUND, EVENTS, TRACES, ABOUT):
            (call / name).unlink(missing_ok=True)
        call.rmdir()


class Recorder:
    """Implements `Edge` over another one."""

    def __init__(self, edge: Edge, folder: Path, about: dict[str, Any]) -> None:
        """Makes the folder. Raises OSError."""
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        _write(folder / ABOUT, [without_secrets(about)])
        self._edge = edge
        self._folder = folder
        self._events = _create(folder / EVENTS)
        (folder / SOUND).touch(0o600, exist_ok=False)
        self._sound = soundfile.SoundFile(folder / SOUND, "w", INPUT_RATE, 2, "PCM_16", format="WAV")
        self._start: float | None = None
        """The loop's time of the caller's first sample."""
        self._caller, self._agent = TimeLine(), TimeLine()
        self._rate, self._resampler = INPUT_RATE, Resampler(INPUT_RATE, INPUT_RATE)
        self._ended = False
        edge.speaker.on_audio = self._play

    @property
    def speaker(self) -> Speaker:
        """The way to the caller's ear."""
        return self._edge.speaker

    async def frames(self) -> AsyncIterator[Frame]:
        """The microphone."""
        async for frame in self._edge.frames():
            if self._start is None:
                self._start = frame.time - FRAME_SECONDS
            self._caller.add(frame.samples, self._caller.end / INPUT_RATE)
            self._keep(SETTLED)
            yield frame

    async def events(self) -> AsyncIterator[ClientEvent | Returned]:
        """The caller's events."""
        async for event in self._edge.events():
            if not isinstance(event, Returned):
                self._note("client", event)
            yield event

    def send(self, event: ServerEvent) -> None:
        """Send an event to the caller."""
        self._note("server", event)
        if isinstance(event, SpeechStarted) and not self._edge.speaker.paced:
            self._agent.cut(self._now)  # a client that plays by itself stops now
        self._edge.send(event)

    def close(self, traces: Iterable[Trace]) -> None:
        """The call is over: write the rest."""
        self._edge.speaker.on_audio = lambda _samples, _rate: None
        try:
            self._keep(0.0)
            self._sound.close()
            self._events.close()
            _write(self._folder / TRACES, [as_json(trace, self._start or 0.0) for trace in traces])
        except (OSError, soundfile.SoundFileError) as error:
            _log.warning("a recording is incomplete: %s", error)

    @property
    def _now(self) -> float:
        """Seconds on the time line: of the clock, or of the caller's own sound where its client keeps the time."""
        if self._start is None or not self._edge.speaker.paced:
            return self._caller.end / INPUT_RATE
        return max(0.0, asyncio.get_running_loop().time() - self._start)

    def _play(self, samples: Samples, rate: int) -> None:
        """What leaves for the caller's ear, [n] samples at a rate."""
        if rate != self._rate:
            self._rate, self._resampler = rate, Resampler(rate, INPUT_RATE)
        self._agent.add(self._resampler(samples), self._now)

    def _keep(self, settled: float) -> None:
        """Write the sound up to so many seconds before the end, a second at a time."""
        count = self._caller.end - round(settled * INPUT_RATE) - self._caller.taken
        if self._ended or (settled and count < INPUT_RATE):
            return
        try:
            self._sound.write(np.stack([self._caller.take(count), self._agent.take(count)], axis=1))
        except (OSError, soundfile.SoundFileError) as error:
            _log.warning("a recording ends here: %s", error)
            self._ended = True
        self._ended = self._ended or self._caller.taken >= MAX_SECONDS * INPUT_RATE

    def _note(self, side: Literal["client", "server"], event: BaseModel) -> None:
        """Write an event, with the time."""
        if self._ended:
            return
        line = {"time": round(self._now, 4), "from": side, "event": without_secrets(event.model_dump(mode="json"))}
        try:
            self._events.write(json.dumps(line) + "\n")
        except OSError as error:
            _log.warning("a recording ends here: %s", error)
            self._ended = True


def as_json(trace: Trace, start: float) -> dict[str, Any]:
    """A trace with times in seconds from the start of the call's sound; `agent.simulation.replay` reads it again."""
    since = replace(
        trace,
        marks={name: round(time - start, 4) for name, time in trace.marks.items()},
        pauses=tuple(replace(pause, start=round(pause.start - start, 4)) for pause in trace.pauses),
        withdrawn=(),
        ear=None,
        media={},
    )
    return asdict(since)


def turn_sound(call: Path, response: str) -> bytes | None:
    """Both sides of a turn of a recorded call, from its first syllable to its answer's last, as a WAV file; None: there is none.

    Raises OSError and soundfile.SoundFileError.
    """
    turns = map(json.loads, (call / TRACES).read_text(encoding="utf-8").splitlines())
    turn = next((turn for turn in turns if turn["response"] == response), None)
    if turn is None:
        return None
    zero = Trace(call.name, response, marks=turn["marks"]).zero
    begin = zero - (turn.get("speech") or LEAST_TURN)
    with soundfile.SoundFile(call / SOUND) as sound:
        start, end = (
            min(max(0, round(INPUT_RATE * time)), sound.frames)
            for time in (begin, max(turn["marks"].values()) + AFTER_TURN)
        )
        sound.seek(start)
        samples = sound.read(end - start, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, INPUT_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def without_secrets(value: Any) -> Any:
    """A JSON value in which what may be a key of somebody's is replaced by a dash."""
    match value:
        case dict():
            return {name: "-" if SECRET.fullmatch(name) else without_secrets(part) for name, part in value.items()}
        case list():
            return [without_secrets(part) for part in value]
        case _:
            return value


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with _create(path) as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _create(path: Path) -> TextIO:
    """A new file that only its owner may read."""
    path.touch(0o600, exist_ok=False)
    return path.open("w", encoding="utf-8")
