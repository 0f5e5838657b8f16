"""The outgoing track in virtual time: its pace, what it skips after a stall, and that what it encodes can be heard."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from aiortc import MediaStreamError

from agent.audio import Samples, dbfs
from agent.edge import opus
from agent.edge.codecs import BY_NAME
from agent.edge.opus import OpusDecoder
from agent.edge.statistics import Report
from agent.edge.track import FRAME, HURRY_SECONDS, KEEP_ALIVE_SECONDS, MAX_LATE_FRAMES, PAUSE_AFTER_SECONDS, PacedTrack
from agent.simulation.loop import run

needs_libopus = pytest.mark.skipif(opus.library is None, reason="libopus is not there")


def tone(frames: int) -> Samples:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(frames * FRAME) / 48_000)).astype(np.int16)


async def read(track: PacedTrack, count: int) -> list[tuple[float, int]]:
    """When each packet was given, and its timestamp in frames."""
    out = []
    for _ in range(count):
        packet = await track.recv()
        out.append((round(asyncio.get_running_loop().time(), 6), packet.pts / FRAME))
    return out


SPEECH = tone(1)


def test_a_packet_every_20_ms_without_drift():
    async def main():
        return await read(PacedTrack(lambda: SPEECH), 500)

    assert run(main()) == [(round(0.02 * n, 6), n) for n in range(500)]


def test_each_frame_is_pulled_at_the_moment_it_is_given():
    async def main():
        loop, pulls = asyncio.get_running_loop(), []

        def pull() -> Samples:
            pulls.append(loop.time())
            return SPEECH

        return [time for time, _ in await read(PacedTrack(pull), 10)], pulls

    given, pulls = run(main())
    assert given == pytest.approx(pulls)


async def until(track: PacedTrack, end: float) -> list[tuple[float, int, int]]:
    """When each packet was given, its timestamp and its length, from now to a moment."""
    loop, out = asyncio.get_running_loop(), []
    while loop.time() < end:
        packet = await track.recv()
        out.append((loop.time(), packet.pts, len(bytes(packet))))
    return out


def test_in_silence_the_transmission_pauses_but_for_keep_alives():
    async def main():
        track = PacedTrack(lambda: None)
        return await until(track, PAUSE_AFTER_SECONDS + 2), track.sent

    given, sent = run(main())
    times = np.array([time for time, _, _ in given])
    assert [pts / 48_000 for _, pts, _ in given] == pytest.approx(times), "timestamps advance through silence"
    assert np.diff(times[times < PAUSE_AFTER_SECONDS]) == pytest.approx(0.02)
    assert np.diff(times[times > PAUSE_AFTER_SECONDS]) == pytest.approx(KEEP_ALIVE_SECONDS)
    assert {size for time, _, size in given if time > PAUSE_AFTER_SECONDS} == {1}
    assert sent.packets == len(given)


@pytest.mark.parametrize("after", [0.91, 1.113, 1.39])
def test_speech_ends_a_pause_at_once(after):
    queue: list[Samples] = []
    after += PAUSE_AFTER_SECONDS

    async def main():
        loop = asyncio.get_running_loop()
        track = PacedTrack(lambda: queue.pop(0) if queue else None)

        def speak() -> None:
            queue.extend([SPEECH] * 5)
            track.wake()

        loop.call_at(after, speak)
        loop.call_at(PAUSE_AFTER_SECONDS + 0.7, track.wake)  # for nothing
        return await until(track, after + 0.07)

    packets = run(main())
    spoken = [(time, pts) for time, pts, size in packets if size > 20 and time >= after]
    assert [time - after for time, _ in spoken] == pytest.approx([0.02 * n for n in range(5)], abs=1e-6)
    assert [pts / 48_000 for _, pts in spoken] == pytest.approx([time for time, _ in spoken], abs=1e-4)
    assert min(np.diff([pts for _, pts, _ in packets])) >= FRAME, "no two packets overlap"


def test_speech_never_overlaps_the_keep_alive_before_it():
    queue: list[Samples] = []

    async def main():
        loop = asyncio.get_running_loop()
        track = PacedTrack(lambda: queue.pop(0) if queue else None)
        before = (await until(track, PAUSE_AFTER_SECONDS + 1))[-1][0]

        def speak() -> None:
            queue.append(SPEECH)
            track.wake()

        loop.call_later(0.005, speak)
        await track.recv()
        return before, loop.time()

    before, after = run(main())
    assert after - before == pytest.approx(0.02)


def test_a_caller_that_makes_a_sound_ends_the_pause():
    start = PAUSE_AFTER_SECONDS + 1.11

    async def main():
        track = PacedTrack(lambda: None)
        asyncio.get_running_loop().call_at(start, track.stay)
        return np.array([time for time, _, _ in await until(track, start + PAUSE_AFTER_SECONDS + 2)])

    times = run(main())
    during = times[(times >= start - 1e-6) & (times < start + PAUSE_AFTER_SECONDS)]
    assert during[0] == pytest.approx(start)
    assert np.diff(during) == pytest.approx(0.02)
    assert np.diff(times[times > start + PAUSE_AFTER_SECONDS]) == pytest.approx(KEEP_ALIVE_SECONDS)


def test_a_steady_tone_is_no_silence_also_with_losses():
    async def main():
        frames = iter(np.split(tone(100), 100))
        track = PacedTrack(lambda: next(frames))
        track.report(Report(lost=3, loss=0.01, jitter=480, round_trip=0.05))
        return [bytes(await track.recv()) for _ in range(100)]

    decoder = BY_NAME["audio/opus"].decoder()
    out = [dbfs(decoder.decode(packet)) for packet in run(main())]
    assert min(out[2:]) > -20


@pytest.mark.parametrize(
    ("stall", "after"),
    [
        (0.05, [(0.07, 2), (0.07, 3), (0.08, 4), (0.10, 5)]),  # made up at once
        (0.50, [(0.52, 26), (0.54, 27), (0.56, 28), (0.58, 29)]),  # skipped: its time is over
    ],
)
def test_after_a_stall_there_is_no_burst_and_the_clock_is_kept(stall, after):
    async def main():
        track = PacedTrack(lambda: SPEECH)
        await read(track, 2)
        await asyncio.sleep(stall)
        return await read(track, 4)

    assert run(main()) == after
    assert MAX_LATE_FRAMES * 0.02 > 0.05


def test_encoding_hurries_for_a_while_after_frames_left_late():
    async def main():
        track, told = PacedTrack(lambda: SPEECH), []
        track._encoder = SimpleNamespace(
            encode=lambda _: b"x", hurry=lambda on: told.append((on, round(asyncio.get_running_loop().time(), 2)))
        )
        for stall in (0.0, 0.5, 4.0):
            await asyncio.sleep(stall)
            await read(track, 20)
        await read(track, 1000)
        return told

    assert run(main()) == [(True, 0.88), (False, pytest.approx(5.3 + HURRY_SECONDS, abs=0.5))]


def test_a_microphone_sends_all_that_it_heard_during_a_stall():
    async def main():
        track = PacedTrack(lambda: SPEECH, max_late=50)
        await read(track, 2)
        await asyncio.sleep(0.5)
        return await read(track, 26)

    packets = run(main())
    assert [number for _, number in packets] == list(range(2, 28))
    assert packets[23:] == [(0.52, 25), (0.52, 26), (0.54, 27)]


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_encoded_can_be_heard_and_silence_is_silent(name):
    speech = np.split(tone(20), 20)
    codec = BY_NAME[name]

    async def main():
        frames = iter([*speech, *[None] * 8, *speech])
        track = PacedTrack(lambda: next(frames))
        track.encode_as(codec)
        return [bytes(await track.recv()) for _ in range(48)]

    decoder = codec.decoder()
    out = [decoder.decode(packet) for packet in run(main())]
    assert [dbfs(frame) > -20 for frame in out[2:20]] == [True] * 18
    assert max(dbfs(frame) for frame in out[23:28]) < -50
    assert [dbfs(frame) > -20 for frame in out[30:]] == [True] * 18


@needs_libopus
def test_reported_losses_are_protected_against():
    async def main():
        frames = iter(np.split(tone(200), 200))
        track = PacedTrack(lambda: next(frames))
        before = [bytes(await track.recv()) for _ in range(50)]
        track.report(Report(lost=3, loss=0.01, jitter=480, round_trip=0.05))
        return before, [bytes(await track.recv()) for _ in range(50)], track.sent

    before, after, sent = run(main())
    decoder = OpusDecoder()
    assert not any(decoder.recover(packet, 320) is not None for packet in before)
    assert sum(decoder.recover(packet, 320) is not None for packet in after) > 25
    assert (sent.lost, sent.loss, sent.jitter, sent.round_trip) == (3, 0.01, 0.01, 0.05)
    assert (sent.packets, sent.bytes) == (100, sum(map(len, before + after)))


def test_a_stopped_track_gives_nothing():
    async def main():
        track = PacedTrack(lambda: None)
        track.stop()
        await track.recv()

    with pytest.raises(MediaStreamError):
        run(main())
