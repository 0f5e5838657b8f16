"""`parley bench`: real calls over loopback against a real server in a process of its own; prints medians with their spread.

What is measured is what a caller's ear notices, from the samples that leave and arrive: voice-to-voice latency split by the server's
marks, how long the agent talks on after the caller began to speak, and the server's processor time per call. Overhead is what the
pipeline adds: voice to voice, less the silence that the turn's end was decided by, and less what the engine's time to its first token and the
voice's to its first piece exceed that silence by.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import psutil

from agent import tts
from agent.audio import Samples
from agent.bench import media as bench_media
from agent.bench import turns as bench_turns
from agent.caller.peer import Caller, CallError, Turn, call
from agent.edge.speaker import OUTPUT_RATE

QUESTIONS = (
    "Who are you?",
    "What is three plus four?",
    "One, four, two.",
    "What can you do?",
    "Can you hear me?",
    "Thank you.",
)
STORY = "Tell me a story."
INTERRUPTION = "Stop, please. Thank you."

PATIENCE = 15.0
"""Seconds to wait for an answer."""

LISTEN_BEFORE = 1.5
"""Seconds of a story that are heard before it is interrupted."""

GAP = 0.3
"""Seconds of silence after which the agent counts as silent: longer than its pauses between words, shorter than its next answer."""


@dataclass
class Results:
    """What was measured, in milliseconds and thousandths of a core; one entry per turn, interruption or load."""

    v2v_ms: list[float] = field(default_factory=list)
    overhead_ms: list[float] = field(default_factory=list)
    engine_ms: list[float] = field(default_factory=list)
    voice_ms: list[float] = field(default_factory=list)
    hidden_ms: list[float] = field(default_factory=list)
    barge_in_ms: list[float] = field(default_factory=list)
    mcore_per_call: list[float] = field(default_factory=list)
    mcore_listening: list[float] = field(default_factory=list)
    marks: dict[str, list[float]] = field(default_factory=dict)

    def add(self, turn: Turn, silence: float) -> None:
        """Split one turn; `silence` is what was to end it, in milliseconds."""
        marks = turn.marks
        engine = marks["first_token"] - marks["started"]
        voice = marks["first_audio"] - marks["first_chunk"]
        hidden = min(marks["first_audio"], marks["turn_ended"]) - marks["started"]
        self.v2v_ms.append(turn.v2v_ms)
        self.engine_ms.append(engine)
        self.voice_ms.append(voice)
        self.hidden_ms.append(max(0.0, hidden))
        self.overhead_ms.append(turn.v2v_ms - silence - max(0.0, engine + voice - max(0.0, hidden)))
        for before, after in pairwise(marks):
            self.marks.setdefault(f"{before} → {after}", []).append(marks[after] - marks[before])


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 1 with one message when a call failed."""
    if argv[:1] == ["media"]:
        return bench_media.main(argv[1:])
    if argv[:1] == ["turns"]:
        return bench_turns.main(argv[1:])
    options = _parser().parse_args(argv)
    results = Results()
    try:
        asyncio.run(_measure(options, results))
    except (CallError, TimeoutError) as error:
        print(f"parley bench: {str(error) or 'an answer did not come in time'}", file=sys.stderr)
        return 1
    print(json.dumps(_summary(results)) if options.json else _table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--turns", type=int, default=12, help="questions asked one after the other; default: %(default)s"
    )
    parser.add_argument("--interruptions", type=int, default=6, help="default: %(default)s")
    parser.add_argument(
        "--calls", type=int, default=4, help="calls at a time while processor time is measured; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("server", nargs=argparse.REMAINDER, help="options of `parley serve`, after --")
    return parser


async def _measure(options: argparse.Namespace, results: Results) -> None:
    voice = tts.load("en-us")
    questions = [await tts.recording(voice, text, OUTPUT_RATE) for text in QUESTIONS]
    story, interruption = [await tts.recording(voice, text, OUTPUT_RATE) for text in (STORY, INTERRUPTION)]
    async with _server([argument for argument in options.server if argument != "--"]) as (url, process):
        async with call(url) as caller:
            for number in range(options.turns):
                _note(f"turn {number + 1} of {options.turns}")
                turn = await caller.ask(questions[number % len(questions)], PATIENCE)
                results.add(turn, _silence(caller))
        for number in range(options.interruptions):
            _note(f"interruption {number + 1} of {options.interruptions}")
            async with call(url) as caller:
                results.barge_in_ms.append(await _interrupt(caller, story, interruption))
        _note(f"{options.calls} calls at a time")
        await _load(options.calls, url, process, questions, results)


@asynccontextmanager
async def _server(options: Sequence[str]) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A server of our own on a free port; ended by its process id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "serve", "--port", "0", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        greeting = (await process.stdout.readline()).decode()
        if "http://" not in greeting:
            raise CallError("the server did not start; `parley serve` with the same options says why")
        yield greeting.split()[-1], psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _interrupt(caller: Caller, story: Samples, interruption: Samples) -> float:
    """Milliseconds from the first audible sample of an interruption to the agent's last."""
    asked = caller.mouth.say(story)
    ended = await caller.until(lambda: asked.ended)
    async with asyncio.timeout(PATIENCE):
        started = await caller.until(lambda: caller.ear.first(ended))
        await caller.until(lambda: caller.ear.sounds[-1].time > started + LISTEN_BEFORE or None)
        spoken = caller.mouth.say(interruption)
        began = await caller.until(lambda: spoken.began)
        return 1000 * (await caller.silence(GAP) - began)


async def _load(calls: int, url: str, process: psutil.Process, questions: Sequence[Samples], results: Results) -> None:
    """The server's processor time with several calls, first only listening to silence, then in conversation."""

    async def converse(start: int) -> None:
        async with call(url) as caller:
            await asyncio.sleep(LISTEN_BEFORE)
            ready.release()
            await listened.wait()
            for number in range(3):
                await caller.ask(questions[(start + number) % len(questions)], PATIENCE)

    loop, ready, listened = asyncio.get_running_loop(), asyncio.Semaphore(0), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(converse(number)) for number in range(calls)]
        for _ in callers:
            await ready.acquire()
        for measured, during in (
            (results.mcore_listening, asyncio.sleep(5.0)),
            (results.mcore_per_call, asyncio.wait(callers)),
        ):
            before, start = sum(process.cpu_times()[:2]), loop.time()
            await during
            measured.append(1000 * (sum(process.cpu_times()[:2]) - before) / (loop.time() - start) / calls)
            listened.set()


def _silence(caller: Caller) -> float:
    """The silence that was decided on as the end of the last turn, in milliseconds."""
    return float(next(event["wait_ms"] for _, event in reversed(caller.events) if event["type"] == "parley.trace"))


def _summary(results: Results) -> dict[str, object]:
    """Medians by name, and every value they are of."""
    values = {name: figures for name, figures in asdict(results).items() if name != "marks"}
    medians = {name: round(statistics.median(figures), 1) for name, figures in values.items() if figures}
    marks = {name: round(statistics.median(figures), 1) for name, figures in results.marks.items()}
    return {
        **medians,
        "marks": marks,
        "values": {name: [round(value, 1) for value in figures] for name, figures in values.items()},
    }


def _table(results: Results) -> str:
    rows = [
        ("voice to voice at the caller's ear, ms", results.v2v_ms),
        *((f"  {name}, ms", figures) for name, figures in results.marks.items()),
        ("  engine: asked to first token, ms", results.engine_ms),
        ("  voice: first chunk to first piece, ms", results.voice_ms),
        ("  work done before the turn was over, ms", results.hidden_ms),
        ("overhead of the pipeline, ms", results.overhead_ms),
        ("barge-in: onset to silence at the ear, ms", results.barge_in_ms),
        ("processor per call, listening, mcore", results.mcore_listening),
        ("processor per call, in conversation, mcore", results.mcore_per_call),
    ]
    head = f"{'':44}{'median':>8}{'min':>8}{'max':>8}{'n':>5}"
    body = [f"{name:44}{statistics.median(v):8.1f}{min(v):8.1f}{max(v):8.1f}{len(v):5}" for name, v in rows if v]
    return "\n".join([head, *body])


def _note(progress: str) -> None:
    print(
        f"\r\033[K{progress} …" if sys.stderr.isatty() else progress,
        end="" if sys.stderr.isatty() else "\n",
        file=sys.stderr,
    )
