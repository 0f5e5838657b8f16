"""How many duplex calls one core holds, and what each costs it: our media path, stock aiortc's, or ours with turns detected.

A server in a process of its own, on one core, hears every call and sends speech without end on each; this process calls it and counts
what comes. Signalling is one JSON text per line on the server's standard streams.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import av
import numpy as np
import psutil
from aiortc import MediaStreamError, MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from agent import vad
from agent.audio import FRAME_SECONDS, Samples, Speech
from agent.edge.codecs import PAUSE_BYTES
from agent.edge.link import Reach
from agent.edge.patches import offer_addresses, receive
from agent.edge.speaker import OUTPUT_RATE
from agent.edge.track import FRAME, PacedTrack
from agent.edge.webrtc import WebRTCEdge, answer
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnSettings

LOOPBACK = ["127.0.0.1"]

SETTLE_SECONDS, COUNT_SECONDS = 1.5, 5.0
"""Before counting, and counting."""

HELD = 0.99
"""Share of the frames that must arrive both ways for calls to count as held."""

NARROW = 4
"""The number of calls that are held is searched until it is known to so many."""

UNDISTURBED = 0.1
"""Cores that other programs may use without harm."""

SPEECH: Samples = (
    8000 * np.sin(2 * np.pi * 440 * np.arange(OUTPUT_RATE) / OUTPUT_RATE) * np.hanning(OUTPUT_RATE)
).astype(np.int16)
"""One second that ends as it begins."""


class ServerGoneError(RuntimeError):
    """The server's process ended: it broke down under its calls."""


class StockTrack(MediaStreamTrack):
    """Raw frames every 20 ms, for aiortc's sender to encode."""

    kind = "audio"

    def __init__(self, pull: Callable[[], Samples]) -> None:
        super().__init__()
        self._pull = pull
        self._start: float | None = None
        self._frames = 0

    async def recv(self) -> av.AudioFrame:
        """Wait until the next frame is due."""
        now = asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        await asyncio.sleep(self._start + self._frames * FRAME_SECONDS - now)
        frame = av.AudioFrame.from_ndarray(self._pull().reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = OUTPUT_RATE, Fraction(1, OUTPUT_RATE)
        frame.pts = self._frames * FRAME
        self._frames += 1
        return frame


def endless() -> Callable[[], Samples]:
    """Gives `SPEECH` over and over, in frames."""
    frames = np.split(SPEECH, len(SPEECH) // FRAME)
    number = 0

    def pull() -> Samples:
        nonlocal number
        number += 1
        return frames[number % len(frames)]

    return pull


@dataclass(frozen=True)
class Load:
    """How a server bore some calls for a while."""

    cost: float = 0.0
    """Its thousandths of a core per call."""
    share: float = 0.0
    """Of the frames, so much arrived; of both ways the worse."""
    others: float = 0.0
    """Cores that other programs used meanwhile."""


async def measure(counts: Sequence[int], most: int, tries: int, hearing: int) -> dict[str, float]:
    """Thousandths of a core per call at each number of calls, and how many are held, up to `most`; ours, and with `stock_` before.

    Of several tries in turns the cost is the median, with the least and the greatest beside it, and the share of frames is the best:
    whatever else runs takes from it. With `hearing` before, of so many calls with Silero and turn detection: also the share of the
    frames that never arrived.
    """
    figures: dict[str, float] = {}
    kinds = {"ours": "", "stock": "stock_"}
    loads: dict[tuple[str, int], list[Load]] = {(kind, count): [] for kind in kinds for count in counts}
    for _ in range(tries):
        for (kind, count), found in loads.items():
            found.append(await _load(kind, count))
    for (kind, count), found in loads.items():
        _add(figures, f"{kinds[kind]}mcore_per_call_{count}", found)
        figures[f"{kinds[kind]}frames_share_{count}"] = max(load.share for load in found)
    for kind, prefix in kinds.items():
        held = {count: figures[f"{prefix}frames_share_{count}"] >= HELD for count in counts}
        figures[f"{prefix}calls_held"] = await _held(kind, held, most, tries)
    if hearing:
        found = [await _load("hearing", hearing) for _ in range(tries)]
        _add(figures, f"hearing_mcore_per_call_{hearing}", found)
        figures[f"hearing_gap_share_{hearing}"] = max(0.0, 1 - max(load.share for load in found))
    return figures


def _add(figures: dict[str, float], name: str, found: Sequence[Load]) -> None:
    """Add a cost with its spread."""
    costs = [load.cost for load in found]
    figures |= {name: median(costs), f"{name}_least": min(costs), f"{name}_greatest": max(costs)}


async def _held(kind: str, known: dict[int, bool], most: int, tries: int) -> int:
    """The greatest number of calls that is held, found to within `NARROW`; `known` says it of some numbers."""
    held = max((count for count, holds in known.items() if holds), default=0)
    failed = min((count for count in known if count > held), default=None)
    while held < most and (failed is None or failed - held > NARROW):
        count = min(most, max(held + NARROW, held * 3 // 2)) if failed is None else (held + failed) // 2
        if await _holds(kind, count, tries):
            held = count
        else:
            failed = count
    return held


async def _holds(kind: str, count: int, tries: int) -> bool:
    """Whether a number of calls is held in one of some tries; one that nobody disturbed is enough to say no."""
    for _ in range(tries):
        load = await _load(kind, count)
        if load.share >= HELD or load.others < UNDISTURBED:
            return load.share >= HELD
    return False


async def _load(kind: str, count: int) -> Load:
    """As `_measured`; nothing where the server broke down."""
    try:
        load = await _measured(kind, count)
    except ServerGoneError:
        load = Load()
    print(
        f"{count} calls, {kind}: {load.cost:.1f} mcore each, {100 * load.share:.1f} % of the frames; "
        f"other programs used {load.others:.1f} cores",
        file=sys.stderr,
    )
    return load


async def _measured(kind: str, count: int) -> Load:
    """A server of its own under so many calls."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.bench.calls", kind, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    connections: list[RTCPeerConnection] = []
    arrived: list[RtpPacket] = []
    with _off_the_first_core():
        try:
            while len(connections) < count:
                connections.append(await _call(process, arrived))
            await asyncio.sleep(SETTLE_SECONDS)
            return await _count(process, count, arrived)
        finally:
            for connection in connections:
                await connection.close()
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _count(process: asyncio.subprocess.Process, count: int, arrived: list[RtpPacket]) -> Load:
    """What the calls that are up cost, and what arrives of them."""
    server, client, loop = psutil.Process(process.pid), psutil.Process(), asyncio.get_running_loop()

    def used() -> tuple[float, float]:
        """Seconds of processor time: the server's, and all other programs' but our own."""
        of_all, ours = psutil.cpu_times(), sum(server.cpu_times()[:2])
        return ours, of_all.user + of_all.nice + of_all.system - ours - sum(client.cpu_times()[:2])

    heard, before, start = await _heard(process), used(), loop.time()
    arrived.clear()
    await asyncio.sleep(COUNT_SECONDS)
    seconds = loop.time() - start
    received = sum(len(packet.payload) > PAUSE_BYTES for packet in arrived)
    heard = await _heard(process) - heard
    cost, others = ((now - then) / seconds for now, then in zip(used(), before, strict=True))
    return Load(1000 * cost / count, min(heard, received) * FRAME_SECONDS / seconds / count, max(0.0, others))


@contextlib.contextmanager
def _off_the_first_core() -> Iterator[None]:
    """Leave the server's core to it, where there is another."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {min(cores)} or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


async def _call(process: asyncio.subprocess.Process, arrived: list[RtpPacket]) -> RTCPeerConnection:
    """A call that is being connected."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(PacedTrack(endless()))
    receive(connection.getTransceivers()[0].receiver, arrived.append)
    with offer_addresses(LOOPBACK):
        await connection.setLocalDescription(await connection.createOffer())
    sdp = await _ask(process, connection.localDescription.sdp)
    await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    return connection


async def _heard(process: asyncio.subprocess.Process) -> int:
    """Frames that the server heard so far."""
    return int(await _ask(process, None))


async def _ask(process: asyncio.subprocess.Process, question: str | None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question).encode() + b"\n")
    line = await process.stdout.readline()
    if not line:
        raise ServerGoneError
    return str(json.loads(line))


class _Server:
    """The other process."""

    def __init__(self, tasks: asyncio.TaskGroup, kind: str) -> None:
        self._tasks = tasks
        self._stock = kind == "stock"
        self._make_vad = vad.load("silero") if kind == "hearing" else None
        self._heard = 0

    async def serve(self) -> None:
        """Answer each line until the input ends."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            offer = json.loads(line)
            if offer is None:
                reply = str(self._heard)
            else:
                reply = await (self._answer_stock if self._stock else self._answer)(offer)
            print(json.dumps(reply), flush=True)

    async def _answer(self, offer: str) -> str:
        edge, sdp = await answer(offer, Reach(addresses=LOOPBACK))
        self._tasks.create_task(self._hear(edge))
        self._tasks.create_task(self._speak(edge))
        return sdp

    async def _hear(self, edge: WebRTCEdge) -> None:
        hearing = Hearing(self._make_vad(), TurnSettings()) if self._make_vad else None
        async for frame in edge.frames():
            self._heard += 1
            for _ in hearing.push(frame) if hearing else ():
                pass

    async def _speak(self, edge: WebRTCEdge) -> None:
        while True:
            await edge.speaker.write(Speech(SPEECH, OUTPUT_RATE))

    async def _answer_stock(self, offer: str) -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        connection.addTrack(StockTrack(endless()))
        self._tasks.create_task(self._hear_stock(connection))
        with offer_addresses(LOOPBACK):
            await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    async def _hear_stock(self, connection: RTCPeerConnection) -> None:
        with contextlib.suppress(MediaStreamError):  # the caller was lost
            while True:
                await connection.getReceivers()[0].track.recv()
                self._heard += 1


async def _serve(kind: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        await _Server(tasks, kind).serve()


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # not everywhere; without it a thread per call may use more than one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(_serve(sys.argv[1]))
