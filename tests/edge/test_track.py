"""The outgoing track in virtual time: its pace, what it skips after a stall, and that what it encodes can be heard."""

import asyncio

import av
import numpy as np
import pytest
from aiortc import MediaStreamError

from agent.audio import Samples, dbfs
from agent.edge.rtp import OPUS, Decoder
from agent.edge.track import FRAME, MAX_LATE_FRAMES, PacedTrack
from tests.simulation.loop import run


def tone(frames: int) -> Samples:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(frames * FRAME) / 48_000)).astype(np.int16)


async def read(track: PacedTrack, count: int) -> list[tuple[float, int]]:
    """When each packet was given, and its timestamp in frames."""
    out = []
    for _ in range(count):
        packet = await track.recv()
        out.append((round(asyncio.get_running_loop().time(), 6), packet.pts // FRAME))
    return out


def test_a_packet_every_20_ms_without_drift():
    async def main():
        return await read(PacedTrack(lambda: None), 500)

    assert run(main()) == [(round(0.02 * n, 6), n) for n in range(500)]


def test_each_frame_is_pulled_at_the_moment_it_is_given():
    async def main():
        loop, pulls = asyncio.get_running_loop(), []
        track = PacedTrack(lambda: pulls.append(loop.time()))
        return [time for time, _ in await read(track, 10)], pulls

    given, pulls = run(main())
    assert given == pytest.approx(pulls)


@pytest.mark.parametrize(
    ("stall", "after"),
    [
        (0.05, [(0.07, 2), (0.07, 3), (0.08, 4), (0.10, 5)]),  # made up at once
        (0.50, [(0.52, 26), (0.54, 27), (0.56, 28), (0.58, 29)]),  # skipped: its time is over
    ],
)
def test_after_a_stall_there_is_no_burst_and_the_clock_is_kept(stall, after):
    async def main():
        track = PacedTrack(lambda: None)
        await read(track, 2)
        await asyncio.sleep(stall)
        return await read(track, 4)

    assert run(main()) == after
    assert MAX_LATE_FRAMES * 0.02 > 0.05


def test_a_microphone_sends_all_that_it_heard_during_a_stall():
    async def main():
        track = PacedTrack(lambda: None, max_late=50)
        await read(track, 2)
        await asyncio.sleep(0.5)
        return await read(track, 26)

    packets = run(main())
    assert [number for _, number in packets] == list(range(2, 28))
    assert packets[23:] == [(0.52, 25), (0.52, 26), (0.54, 27)]


def test_what_is_encoded_can_be_heard_and_silence_is_silent():
    speech = np.split(tone(20), 20)

    async def main():
        frames = iter([*speech, *[None] * 20, *speech])
        track = PacedTrack(lambda: next(frames))
        return [bytes(await track.recv()) for _ in range(60)]

    decode = Decoder(OPUS)
    packets = run(main())
    out = np.split(np.concatenate([decode(packet) for packet in packets]), 60)
    assert [dbfs(frame) > -20 for frame in out[2:]] == [True] * 18 + [False] * 20 + [True] * 20
    assert max(dbfs(frame) for frame in out[24:40]) < -60
    assert max(len(packet) for packet in packets[36:40]) <= 4


def test_raw_frames_for_another_codec():
    async def main():
        track = PacedTrack(lambda: tone(1))
        track.opus = False
        return [await track.recv() for _ in range(3)]

    frames = run(main())
    assert all(isinstance(frame, av.AudioFrame) and frame.samples == FRAME for frame in frames)
    assert [frame.pts for frame in frames] == [0, FRAME, 2 * FRAME]


def test_a_stopped_track_gives_nothing():
    async def main():
        track = PacedTrack(lambda: None)
        track.stop()
        await track.recv()

    with pytest.raises(MediaStreamError):
        run(main())
