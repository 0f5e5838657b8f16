"""`parley call`: call a server, say recorded questions one after the other, and print what it answers and how fast."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from agent import wav
from agent.audio import INPUT_RATE, Samples
from agent.caller.audio import audible
from agent.caller.peer import Caller, CallError, Turn, call
from agent.edge.speaker import OUTPUT_RATE


def main(argv: Sequence[str]) -> int:
    """Returns 0; 1 when a question got no audible answer; 2 with one clear message when the call could not be made."""
    options = _parser().parse_args(argv)
    try:
        questions = [_question(path) for path in options.audio]
        if options.out and not options.out.parent.is_dir():
            raise wav.WAVError(f"{options.out}: there is no folder {options.out.parent}.")
        return asyncio.run(_call(options, questions))
    except (wav.WAVError, CallError, OSError) as error:
        print(f"parley call: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley call",
        description="Call a server as a browser would: each file is said in real time, then its answer is heard to the end.",
    )
    parser.add_argument("--server", default="http://127.0.0.1:8080", metavar="URL", help="default: %(default)s")
    parser.add_argument(
        "--audio", action="append", required=True, type=Path, metavar="WAV", help="a question; may be repeated"
    )
    parser.add_argument("--out", type=Path, metavar="WAV", help="keep what was heard, from the start of the call")
    parser.add_argument("--json", action="store_true", help="one JSON object per turn on standard output")
    parser.add_argument(
        "--timeout", type=float, default=15.0, metavar="SECONDS", help="wait for an answer; default: %(default)g"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get("PARLEY_KEY"),
        help="the server's API key; default: the environment's PARLEY_KEY",
    )
    return parser


def _question(path: Path) -> Samples:
    """A file as the microphone says it. Raises WAVError when it cannot be read or nothing in it can be heard."""
    samples = wav.read(path, OUTPUT_RATE)
    if not audible(samples).size:
        raise wav.WAVError(f"{path}: nothing audible in it, only silence.")
    return samples


async def _call(options: argparse.Namespace, questions: Sequence[Samples]) -> int:
    async with call(options.server, options.key) as caller:
        try:
            for path, question in zip(options.audio, questions, strict=True):
                _print(path, await caller.ask(question, options.timeout), as_json=options.json)
        except TimeoutError:
            print(f"parley call: no audible answer within {options.timeout:g} s", file=sys.stderr)
            return 1
        except CallError as error:
            print(f"parley call: {error}", file=sys.stderr)
            return 1
        finally:
            _report_errors(caller)
            if options.out:
                wav.write(options.out, caller.ear.recording(caller.started or 0.0), INPUT_RATE)
    return 0


def _print(path: Path, turn: Turn, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(turn)), flush=True)
        return
    marks = " · ".join(f"{name} {value:.0f}" for name, value in turn.marks.items())
    print(f"{path.name}: {turn.transcript.strip()}")
    print(
        f"  voice to voice {turn.v2v_ms:.0f} ms (server: {marks}), {turn.audio_ms / 1000:.1f} s of speech", flush=True
    )


def _report_errors(caller: Caller) -> None:
    """Show the server's error events."""
    for _, event in caller.events:
        if event["type"] == "error":
            print(f"parley call: the server reports: {event['error']['message']}", file=sys.stderr)
