"""`parley bench media`: what the media path adds, ours beside stock aiortc in the same run, over real sockets and a relay that misbehaves.

A caller says frames of 20 ms, each a tone of its own; the other end looks which tone it hears. So delay is from the moment a frame
was there to the moment its samples came out, and lost speech is the share of frames that never did. Then the processor time of a
server with many calls (`calls.py`). Delays are of everything between the two: encoder, socket, receive buffer, decoder. All takes about
six minutes. What else runs on the machine makes delays longer and calls fewer, and processor times vary by a third with it; as root,
`chrt -r 1 parley bench media` goes before other programs.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache

import av
import numpy as np
import numpy.typing as npt
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from agent.audio import INPUT_RATE, Samples
from agent.bench.calls import StockTrack, measure
from agent.caller.relay import Faults, Relay, relay
from agent.edge.link import Reach
from agent.edge.opus import OpusDecoder
from agent.edge.patches import listen, offer_addresses
from agent.edge.speaker import OUTPUT_RATE
from agent.edge.track import FRAME, PacedTrack
from agent.edge.webrtc import answer

TONES = 32
"""Different tones: after so many frames, 0.64 s, they repeat; no delay is longer."""

LOWEST, STEP = 300, 100
"""Hertz; all within what every codec passes."""

SKIP_SECONDS = OpusDecoder.delay
"""At the start of a frame that came out, what still belongs to the one before: the codec's delay. With it, one in 200 tones in speech mode
would be taken for the last one, and counted as lost though nothing was."""

QUIET = 500
"""Amplitude below which nothing is heard; the tones have 8000."""

SETTLE_SECONDS = 2.0
"""At the start, and not counted. Where packets will be lost, many are lost then: after the first loss stock aiortc's buffer never
shrinks again, and a sender protects its packets only once a loss was reported, so counting from the first would measure chance."""

SETTLE_LOSS = 0.3

CONDITIONS = {
    "clean": Faults(),
    "loss1": Faults(loss=0.01),
    "loss3": Faults(loss=0.03),
    "loss10": Faults(loss=0.10),
    "jitter30": Faults(jitter=0.03),
}
LINKS = 3
"""At a time, of each kind: three times the losses."""

LOOPBACK = ["127.0.0.1"]
CONNECT_SECONDS = 10.0


@dataclass
class Tones:
    """Says one frame after another, and recognises them."""

    sent: list[float] = field(default_factory=list)
    """When each was said."""
    heard: dict[int, float] = field(default_factory=dict)
    """When each was heard first."""

    def say(self) -> Samples:
        """The next frame, [960] at 48 kHz."""
        self.sent.append(asyncio.get_running_loop().time())
        time = np.arange(FRAME) / OUTPUT_RATE
        hertz = LOWEST + STEP * ((len(self.sent) - 1) % TONES)
        samples: Samples = (8000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        return samples

    def hear(self, samples: Samples, rate: int) -> None:
        """20 ms came out."""
        own = samples[round(SKIP_SECONDS * rate) :]
        # Not `@`, whose threads would stand in one another's way on a busy machine.
        amplitudes = 2 * np.abs(np.einsum("tn,n->t", _waves(own.size, rate), own)) / own.size
        tone = int(np.argmax(amplitudes))
        if amplitudes[tone] > QUIET and self.sent:
            last = len(self.sent) - 1
            self.heard.setdefault(last - (last - tone) % TONES, asyncio.get_running_loop().time())

    def delays(self, since: float) -> list[float]:
        """Milliseconds, of the frames said after a moment that were heard."""
        return [1000 * (time - self.sent[n]) for n, time in self.heard.items() if n >= 0 and self.sent[n] >= since]

    def lost(self, since: float) -> float:
        """Share of the frames said after a moment, the last ones apart, that were never heard."""
        counted = [n for n, time in enumerate(self.sent[:-TONES]) if time >= since]
        return sum(n not in self.heard for n in counted) / max(1, len(counted))


@cache
def _waves(size: int, rate: int) -> npt.NDArray[np.complex128]:
    """Of each tone, what finds it: [TONES, size]."""
    hertz = LOWEST + STEP * np.arange(TONES)
    waves: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * hertz[:, None] * np.arange(size) / rate)
    return waves


@asynccontextmanager
async def _ours(network: Relay, tones: Tones) -> AsyncIterator[None]:
    """Our track to our microphone."""
    caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    track = PacedTrack(tones.say)
    listen(caller.addTrack(track), track.report)
    edge, sdp = await answer(network.offer(await _offer(caller)), Reach(addresses=LOOPBACK))

    async def hear() -> None:
        async for frame in edge.frames():
            tones.hear(frame.samples, INPUT_RATE)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hear())
        try:
            await caller.setRemoteDescription(RTCSessionDescription(network.answer(sdp), "answer"))
            yield
        finally:
            await edge.close()
            await caller.close()


@asynccontextmanager
async def _stock(network: Relay, tones: Tones) -> AsyncIterator[None]:
    """Aiortc's own sender to its own receiver."""
    caller, callee = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    caller.addTrack(StockTrack(tones.say))

    async def hear() -> None:
        while True:
            frame = await callee.getReceivers()[0].track.recv()
            assert isinstance(frame, av.AudioFrame)
            tones.hear(frame.to_ndarray()[0, :: len(frame.layout.channels)].astype(np.int16), frame.sample_rate)

    await callee.setRemoteDescription(RTCSessionDescription(network.offer(await _offer(caller)), "offer"))
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(hear())
        try:
            with offer_addresses(LOOPBACK):
                await callee.setLocalDescription(await callee.createAnswer())
            sdp = network.answer(callee.localDescription.sdp)
            await caller.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            yield
        finally:
            hearing.cancel()
            await caller.close()
            await callee.close()


async def _offer(connection: RTCPeerConnection) -> str:
    with offer_addresses(LOOPBACK):
        await connection.setLocalDescription(await connection.createOffer())
    return str(connection.localDescription.sdp)


async def _link(stock: bool, faults: Faults, seconds: float, seed: int) -> tuple[list[float], float]:
    """Delays in milliseconds, and the share of speech that was lost, over one link."""
    tones, loop = Tones(), asyncio.get_running_loop()
    async with relay(seed) as network, (_stock if stock else _ours)(network, tones):
        async with asyncio.timeout(CONNECT_SECONDS):
            while not tones.heard:  # noqa: ASYNC110  whoever hears tells nobody
                await asyncio.sleep(0.05)
        network.misbehave(replace(faults, loss=SETTLE_LOSS) if faults.loss else faults)
        await asyncio.sleep(SETTLE_SECONDS)
        network.misbehave(faults)
        since = loop.time()
        await asyncio.sleep(seconds)
    return tones.delays(since), tones.lost(since)


async def _condition(name: str, seconds: float) -> dict[str, float]:
    """The figures of one condition; ours and stock at the same time."""
    async with asyncio.TaskGroup() as tasks:
        links = {
            prefix: [tasks.create_task(_link(stock, CONDITIONS[name], seconds, 2 * n)) for n in range(LINKS)]
            for prefix, stock in (("", False), ("stock_", True))
        }
    figures = {}
    for prefix, results in ((prefix, [link.result() for link in kind]) for prefix, kind in links.items()):
        delays = [delay for heard, _ in results for delay in heard]
        figures[f"{prefix}delay_ms_{name}"] = statistics.median(delays)
        figures[f"{prefix}delay_ms_p95_{name}"] = statistics.quantiles(delays, n=20)[-1]
        figures[f"{prefix}lost_speech_share_{name}"] = statistics.mean(lost for _, lost in results)
    return figures


async def _measure(options: argparse.Namespace) -> dict[str, float]:
    """All figures by name."""
    figures: dict[str, float] = {}
    for name in CONDITIONS:
        print(f"{name}: {options.seconds:g} s", file=sys.stderr)
        figures |= await _condition(name, options.seconds)
    for prefix in ("", "stock_"):
        figures[f"{prefix}delay_ms"] = figures[f"{prefix}delay_ms_clean"]
    return figures | await measure(options.calls, options.most, options.tries, options.hearing)


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 1 with one message when nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="parley bench media", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each network condition; default: %(default)g")
    parser.add_argument(
        "--calls", type=int, nargs="*", default=[1, 10, 20, 40], help="calls at a time; default: %(default)s"
    )
    parser.add_argument(
        "--most", type=int, default=96, help="look for the calls that are held up to so many; default: %(default)s"
    )
    parser.add_argument("--tries", type=int, default=2, help="of each number of calls; default: %(default)s")
    parser.add_argument(
        "--hearing", type=int, default=24, help="calls with Silero and turn detection, 0: none; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args(argv)
    try:
        figures = asyncio.run(_measure(options))
    except statistics.StatisticsError:
        print(
            "parley bench media: no frame arrived in time; the machine is too busy, or --seconds too few",
            file=sys.stderr,
        )
        return 1
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}) if options.json else _table(figures))
    return 0


def _table(figures: dict[str, float]) -> str:
    rows = [name for name in figures if not name.startswith("stock_")]
    lines = []
    for name in rows:
        stock = figures.get(f"stock_{name}")
        lines.append(f"{name:32}{figures[name]:10.3f}" + (f"{stock:10.3f}" if stock is not None else ""))
    return "\n".join([f"{'':32}{'ours':>10}{'stock':>10}", *lines])
