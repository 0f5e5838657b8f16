"""`parley simulate`: run a scenario, draw what happened, and check what was expected."""

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
from agent.simulation.scenario import Scenario, read


def main(argv: Sequence[str]) -> int:
    """Returns 0; 1 when an expectation was not met; 2 with clear messages when the scenario cannot be run."""
    parser = argparse.ArgumentParser(
        prog="parley simulate",
        description="Run a call that a TOML file describes, in virtual time, draw its time line, and check what the file expects.",
    )
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="a file such as examples/interruption.toml")
    parser.add_argument("--live", action="store_true", help="in real time, through a WebRTC call over loopback")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="SECONDS",
        help="by how much times may differ in a --live call; default: %(default)g",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a value, such as turn.silence=0.3"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the time line as SVG, too")
    parser.add_argument("--events", action="store_true", help="list every event that the server sent")
    options = parser.parse_args(argv)
    try:
        scenario = read(options.scenario, options.set)
        if options.live and any(around.loss for around in scenario.around):
            print("parley simulate: the packets of a --live call are not lost", file=sys.stderr)
        outcome = (play_live if options.live else play)(scenario, options.scenario.parent)
        _show(scenario, outcome, options.svg, events=options.events)
    except (ValueError, OSError, tts.TTSError, CallError) as error:
        print(f"parley simulate: {error}", file=sys.stderr)
        return 2
    tolerance = options.tolerance if options.live else 0.0
    failures = [failure for wanted in scenario.expect if (failure := wanted.failure(outcome, tolerance))]
    print("\n".join(["", *(f"NOT AS EXPECTED: {failure}" for failure in failures)]) if failures else _passed(scenario))
    return 1 if failures else 0


def _show(scenario: Scenario, outcome: Outcome, file: Path | None, *, events: bool) -> None:
    rows = (("caller", outcome.caller), ("agent", outcome.agent))
    print(picture.draw(scenario.title, rows, outcome))
    if events:
        print("\n".join(["", *(f"{time:9.3f}  {event['type']}" for time, event in outcome.events)]))
    if file:
        file.write_text(picture.svg(scenario.title, rows, outcome), encoding="utf-8")


def _passed(scenario: Scenario) -> str:
    count = len(scenario.expect)
    return f"\nAs expected ({count} expectation{'s' if count != 1 else ''})." if count else ""
