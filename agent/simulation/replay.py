"""A recorded call as a scenario: the caller says and sends again what was recorded, and something else may answer.

The engine gives the answers, and the judgements of pauses, that it gave at that time of the call, as fast as it did then, unless
another one is named. What the microphone took of the agent's voice stays in the caller's sound. Times are seconds.
"""

import asyncio
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile
from pydantic import ValidationError

from agent import vad
from agent.audio import INPUT_RATE
from agent.edge.recording import ABOUT, EVENTS, SOUND, TRACES
from agent.engine.scripted import ScriptedEngine
from agent.realtime.objects import SessionObject
from agent.session import turn_detection
from agent.simulation.call import simulate
from agent.simulation.expectations import Outcome
from agent.simulation.history import history
from agent.simulation.play import WORD_GAP, cast, outcome
from agent.simulation.scenario import Scenario, ScenarioError, set_value
from agent.traces.trace import Mark, Pause, Trace
from agent.turns.turn import TurnSettings

NEEDED = {"id", "session", "voice", "vad", "turn", "prompts", "speculation"}
"""What is read of `call.json`."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What `parley serve --record` kept of a call."""

    about: dict[str, Any]
    outcome: Outcome
    sent: list[tuple[float, dict[str, Any]]]
    """The client's events."""


def load(folder: Path) -> Recording:
    """Read a recording. Raises ScenarioError when there is none, or it is broken."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if missing := NEEDED - about.keys():
            raise ScenarioError(f"{folder / ABOUT}: lacks {', '.join(sorted(missing))}")
        events = _lines(folder / EVENTS)
        sound, rate = soundfile.read(folder / SOUND, dtype="int16", always_2d=True)
        traces = [_trace(line) for line in _lines(folder / TRACES)]
        if rate != INPUT_RATE or sound.shape[1] != 2:
            raise ScenarioError(
                f"{folder / SOUND}: {rate} Hz and {sound.shape[1]} channels, and not {INPUT_RATE} Hz and 2"
            )
        server = [(line["time"], line["event"]) for line in events if line["from"] == "server"]
        sent = [(line["time"], line["event"]) for line in events if line["from"] == "client"]
    except ScenarioError:
        raise
    except OSError as error:
        raise ScenarioError(f"{folder}: no recording of a call: {error.strerror or error}") from None
    except (soundfile.SoundFileError, ValueError, LookupError, TypeError) as error:
        raise ScenarioError(f"{folder}: a broken recording: {error}") from None
    told = history(event for _, event in server)
    return Recording(about, Outcome(sound[:, 0], sound[:, 1], server, traces, told, WORD_GAP), sent)


def replay(recording: Recording, changes: Sequence[str] = ()) -> Outcome:
    """Run the call again, with `changes` such as `turn.silence=0.3`. Raises ScenarioError, or ValueError when a model cannot be loaded."""
    about, before = recording.about, recording.outcome
    scenario = _scenario(recording, changes)
    session = SessionObject.model_validate(about["session"])
    if session.audio.input.turn_detection == turn_detection(TurnSettings(**about["turn"])):  # the server's own
        detection = session.audio.input.model_copy(update={"turn_detection": turn_detection(scenario.turn)})
        session = session.model_copy(update={"audio": session.audio.model_copy(update={"input": detection})})
    session = session.model_copy(update={"instructions": scenario.instructions})
    with cast(scenario) as stages:
        again = replace(stages, engine=_engine(before, scenario)) if scenario.engine.model == "scripted" else stages
        call = simulate(scenario.script({0: before.caller}), again, scenario.turn, vad.load(about["vad"])(), session)
    return outcome(call, WORD_GAP)


def _scenario(recording: Recording, changes: Sequence[str]) -> Scenario:
    about, traces = recording.about, recording.outcome.traces
    seconds = recording.outcome.caller.size / INPUT_RATE
    values: dict[str, Any] = {
        "title": f"{about['id']}, again",
        "lasts": seconds,
        "instructions": about["session"]["instructions"],
        "caller": [
            {"at": 0.0, "plays": SOUND},
            *({"at": time, "sends": event} for time, event in recording.sent if time <= seconds),
        ],
        "engine": {"first_token": _median(traces, "started", "first_token"), "judging": 0.0},
        "voice": {"name": about["voice"], "first_audio": _median(traces, "first_chunk", "first_audio")},
        "turn": about["turn"],
        "prompts": about["prompts"],
        "speculation": about["speculation"],
    }
    for change in changes:
        set_value(values, change)
    try:
        return Scenario.model_validate(values)
    except ValidationError as error:
        finding = error.errors(include_url=False)[0]
        raise ScenarioError(f"{'.'.join(map(str, finding['loc']))}: {finding['msg']}") from None


def _engine(before: Outcome, scenario: Scenario) -> ScriptedEngine:
    """Says at each moment what was said at about that time of the recorded call."""
    ended = {trace.response: trace.marks["turn_ended"] for trace in before.traces if "turn_ended" in trace.marks}
    texts: dict[str, str] = {}
    for _, event in before.events:
        if event["type"] == "response.output_audio_transcript.delta":
            texts[event["response_id"]] = texts.get(event["response_id"], "") + event["delta"]
    prompts = (scenario.prompts.greeting, scenario.prompts.idle)
    answers = [
        (time, texts[response]) for response, time in ended.items() if texts.get(response, "") not in {"", *prompts}
    ]
    pauses = [pause for trace in before.traces for pause in trace.pauses if pause.end_of_turn is not None]

    def answer(_messages: object) -> str:
        return min(answers, key=lambda timed: abs(timed[0] - _now()), default=(0.0, ""))[1]

    def judge(_messages: object) -> float:
        nearest = min(pauses, key=lambda pause: abs(pause.start + scenario.turn.pause - _now()))
        return nearest.end_of_turn if nearest.end_of_turn is not None else 0.5

    return ScriptedEngine(
        answer, scenario.engine.first_token, scenario.engine.per_token, end_of_turn=judge if pauses else None
    )


def differences(before: Outcome, now: Outcome) -> list[str]:
    """What went otherwise, one line for each thing."""
    found = []
    if len(before.traces) != len(now.traces):
        found.append(f"{len(now.traces)} replies, and not {len(before.traces)}")
    for number, (old, new) in enumerate(zip(before.traces, now.traces, strict=False), 1):
        if old.status != new.status:
            found.append(f"reply {number} is {new.status}, and was {old.status}")
        if old.wait is not None and new.wait is not None and abs(old.wait - new.wait) >= 0.001:
            found.append(f"reply {number} waits {1000 * new.wait:.0f} ms, and waited {1000 * old.wait:.0f} ms")
        found += _moved(f"reply {number} begins", old.marks.get("playout_started"), new.marks.get("playout_started"))
        found += _moved(f"reply {number} ends", old.marks.get("done"), new.marks.get("done"))
    if before.history != now.history:
        found += ["the history was", *(f"  {line}" for line in before.history)]
        found += ["and is now", *(f"  {line}" for line in now.history)]
    return found


def _moved(what: str, old: float | None, new: float | None) -> list[str]:
    """A line where a moment moved by more than two frames."""
    if old is None or new is None:
        return [f"{what} at {new:.2f} s, and never did"] if new else [f"{what} no more"] if old else []
    return [f"{what} at {new:.2f} s, {new - old:+.2f} s"] if abs(new - old) > 0.04 else []


def _median(traces: Sequence[Trace], start: Mark, end: Mark) -> float:
    """Seconds between two marks."""
    found = [trace.marks[end] - trace.marks[start] for trace in traces if {start, end} <= trace.marks.keys()]
    return max(0.0, round(statistics.median(found), 4)) if found else 0.1


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _trace(line: dict[str, Any]) -> Trace:
    pauses = tuple(Pause(**{**pause, "decision": None}) for pause in line["pauses"])
    return Trace(**{**line, "pauses": pauses, "withdrawn": ()})
