"""`parley simulate`: run a scenario, or a recorded call again; draw what happened, and check what was expected or tell what differs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import tts
from agent.caller.peer import CallError
from agent.simulation import picture
from agent.simulation.expectations import Outcome
from agent.simulation.live import TOLERANCE, play_live
from agent.simulation.play import play
from agent.simulation.replay import differences, load, replay
from agent.simulation.scenario import read


def main(argv: Sequence[str]) -> int:
    """Returns 0; 1 when an expectation was not met; 2 with clear messages when the scenario cannot be run."""
    options = _parser().parse_args(argv)
    try:
        return _replay(options) if options.replay else _simulate(options)
    except (ValueError, OSError, tts.TTSError, CallError) as error:
        print(f"parley simulate: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley simulate",
        description="Run a call that a TOML file describes, in virtual time, draw its time line, and check what the file expects; "
        "or run a recorded call again.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "scenario", type=Path, nargs="?", metavar="SCENARIO", help="a file such as examples/interruption.toml"
    )
    source.add_argument(
        "--replay", type=Path, metavar="DIR", help="a call's folder, of those that parley serve --record keeps"
    )
    parser.add_argument("--live", action="store_true", help="in real time, through a WebRTC call over loopback")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="SECONDS",
        help="by how much times may differ in a --live call; default: %(default)g",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value, such as turn.silence=0.3 or engine.model=demo; may be repeated",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the time line as SVG, too")
    parser.add_argument("--events", action="store_true", help="list every event that the server sent")
    return parser


def _simulate(options: argparse.Namespace) -> int:
    scenario = read(options.scenario, options.set)
    outcome = (play_live if options.live else play)(scenario, options.scenario.parent)
    _show(scenario.title, (("caller", outcome.caller), ("agent", outcome.agent)), outcome, options)
    tolerance = options.tolerance if options.live else 0.0
    failures = [failure for wanted in scenario.expect if (failure := wanted.failure(outcome, tolerance))]
    count = len(scenario.expect)
    for failure in failures:
        print(f"NOT AS EXPECTED: {failure}")
    if count and not failures:
        print(f"As expected ({count} expectation{'s' if count != 1 else ''}).")
    return 1 if failures else 0


def _replay(options: argparse.Namespace) -> int:
    if options.live:
        raise ValueError("a recorded call is run again in virtual time: leave out --live")
    recording = load(options.replay)
    before, now = recording.outcome, replay(recording, options.set)
    rows = (("caller", before.caller), ("agent before", before.agent), ("agent now", now.agent))
    _show(f"{recording.about['id']}, again", rows, now, options)
    print("\n".join(differences(before, now) or ["Nothing differs."]))
    return 0


def _show(title: str, rows: picture.Rows, outcome: Outcome, options: argparse.Namespace) -> None:
    print(picture.draw(title, rows, outcome))
    if options.events:
        print("\n".join(["", *(f"{time:9.3f}  {event['type']}" for time, event in outcome.events)]))
    if options.svg:
        options.svg.write_text(picture.svg(title, rows, outcome), encoding="utf-8")
    print()
