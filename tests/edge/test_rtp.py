"""Depacketizer: real codecs, a made-up network and clock; lengths, times, gaps, idle silence."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from agent.audio import INPUT_FRAME, Frame, Samples, dbfs
from agent.edge import opus
from agent.edge.codecs import OPUS, by_payload_type
from agent.edge.jitter import FIRST_WAIT, Packet
from agent.edge.rtp import IDLE_SECONDS, MAX_CONCEALED, PAUSE_SECONDS, Depacketizer
from tests.edge.speech import error, protected, vowel

RATES = {96: 48_000, 0: 8_000, 8: 8_000, 9: 16_000}


def tone(seconds: float, rate: int) -> Samples:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def encode(samples: Samples, payload_type: int = 96, first: int = 0, start: float = 100.0) -> list[Packet]:
    """Packets of 20 ms, each arriving the moment its last sample was captured; timestamps and numbers may wrap."""
    codec, rate = by_payload_type(payload_type), RATES[payload_type]
    encoder = av.CodecContext.create(codec.name, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.format, encoder.layout, encoder.sample_rate, encoder.time_base = "s16", "mono", rate, Fraction(1, rate)
    size, ticks = rate // 50, codec.clock // 50
    packets = []
    for index in range(samples.size // size):
        frame = av.AudioFrame.from_ndarray(
            samples[index * size : (index + 1) * size].reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, index * size, Fraction(1, rate)
        (payload,) = encoder.encode(frame)
        number = first + index
        packets.append(
            Packet(number % 65536, number * ticks % 2**32, payload_type, bytes(payload), start + (index + 1) / 50)
        )
    return packets


def play(stream: Depacketizer, packets: list[Packet]) -> list[Frame]:
    return [frame for packet in packets for frame in stream.add(packet)]


def joined(frames: list[Frame]) -> Samples:
    return np.concatenate([frame.samples for frame in frames])


@pytest.mark.parametrize("payload_type", [96, 0, 8, 9])
def test_each_packet_gives_its_frame_at_once(payload_type):
    stream = Depacketizer()
    for packet in encode(tone(1.0, RATES[payload_type]), payload_type):
        (frame,) = stream.add(packet)
        assert frame.samples.shape == (INPUT_FRAME,)
        assert frame.samples.dtype == np.int16


@pytest.mark.parametrize("payload_type", [96, 0, 8, 9])
def test_the_tone_survives_with_little_delay(payload_type):
    rate = RATES[payload_type]
    silence = np.zeros(rate // 5, np.int16)
    frames = play(Depacketizer(), encode(np.concatenate([silence, tone(0.5, rate)]), payload_type))
    out = joined(frames)
    onset = np.flatnonzero(np.abs(out.astype(int)) > 2000)[0] / 16
    assert 200 <= onset < 210, "milliseconds; 6.5 for Opus and 1 to 2 for resampling"
    assert dbfs(out[-3200:]) == pytest.approx(dbfs(tone(0.2, 16_000)), abs=1.5)


def without(packets: list[Packet], *lost: int) -> list[Packet]:
    return [packet for index, packet in enumerate(packets) if index not in lost]


def test_a_lost_packet_is_made_up_and_nothing_is_late_afterwards():
    packets = encode(tone(1.0, 48_000))
    whole = joined(play(Depacketizer(), packets))
    stream = Depacketizer()
    frames = [stream.add(packet) for packet in without(packets, 20)]
    assert [len(given) for given in frames[18:24]] == [1, 1, 0, 3, 1, 1]
    out = joined([frame for given in frames for frame in given])
    assert out.size == whole.size
    assert dbfs(out[20 * 320 : 21 * 320]) == pytest.approx(dbfs(whole[20 * 320 : 21 * 320]), abs=3)
    assert dbfs(out[25 * 320 :]) == pytest.approx(dbfs(whole[25 * 320 :]), abs=0.5)
    counted = stream.statistics
    assert (counted.lost, counted.concealed, counted.recovered, counted.silence) == (1, 1, 0, 0)


@pytest.mark.parametrize("payload_type", [0, 8, 9])
def test_codecs_without_concealment_repeat_what_was_last(payload_type):
    packets = encode(tone(1.0, RATES[payload_type]), payload_type)
    out = joined(play(Depacketizer(), without(packets, 20, 21)))
    levels = [dbfs(out[n * 320 : (n + 1) * 320]) for n in range(19, 23)]
    assert levels[1] == pytest.approx(levels[0] - 6, abs=1)
    assert levels[2] == pytest.approx(levels[0] - 12, abs=1)
    assert levels[3] == pytest.approx(levels[0], abs=1)


def test_of_a_long_loss_only_the_start_is_made_up():
    packets = encode(tone(1.0, 48_000))
    stream = Depacketizer()
    out = joined(play(stream, without(packets, *range(10, 30))))
    assert out.size == 50 * 320
    assert not out[(10 + MAX_CONCEALED) * 320 : 29 * 320].any()
    assert stream.statistics.silence == pytest.approx(16 * 0.02)


needs_libopus = pytest.mark.skipif(opus.library is None, reason="libopus is not there")


@needs_libopus
def test_a_lost_packet_is_recovered_from_the_one_behind_it():
    packets = protected(vowel(2.0))
    whole = joined(play(Depacketizer(), packets))
    lost = list(range(22, 95, 4))
    stream = Depacketizer()
    out = joined(play(stream, without(packets, *lost)))
    counted = stream.statistics
    assert counted.recovered > 0.8 * len(lost), "libopus copies what matters"
    assert (counted.lost, counted.recovered + counted.concealed, counted.silence) == (len(lost), len(lost), 0)
    assert error(out, whole, lost) < 0.5 * error(whole, 0 * whole, lost)


def test_reordered_and_repeated_packets_change_nothing():
    packets = encode(tone(0.6, 48_000))
    shuffled = [*packets[:5], packets[6], packets[5], packets[5], packets[6], *packets[7:]]
    assert np.array_equal(joined(play(Depacketizer(), packets)), joined(play(Depacketizer(), shuffled)))


def test_the_time_that_packets_wait_for_others_is_counted():
    stream, packets = Depacketizer(), encode(tone(0.1, 48_000))
    play(stream, packets[:2])
    assert stream.statistics.held == 0
    late = replace(packets[2], arrival=packets[3].arrival + 0.01)
    play(stream, [packets[3], late])
    assert stream.statistics.held == pytest.approx(0.01)
    stream.tick(late.arrival + 1)
    assert stream.statistics.held == pytest.approx(0.01)


def test_numbers_and_timestamps_wrap():
    samples = tone(0.4, 48_000)
    plain = joined(play(Depacketizer(), encode(samples)))
    stream = Depacketizer()
    wrapped = play(stream, encode(samples, first=2**32 // 960 - 8))
    assert np.array_equal(plain, joined(wrapped))
    gaps = np.diff([frame.time for frame in wrapped])
    assert gaps == pytest.approx([0.02] * len(gaps), abs=1e-4)


def test_frames_have_the_time_of_their_capture():
    frames = play(Depacketizer(), encode(tone(1.0, 48_000), start=100.0))
    delay = OPUS.delay
    assert [frame.time for frame in frames] == pytest.approx(
        [100 + 0.02 * (i + 1) - delay for i in range(50)], abs=1e-3
    )


def test_a_delayed_packet_does_not_move_the_time_of_capture():
    packets = encode(tone(1.0, 48_000))
    packets[30] = replace(packets[30], arrival=packets[30].arrival + 0.03)
    frames = play(Depacketizer(), packets)
    assert frames[30].time == pytest.approx(100 + 0.02 * 31 - OPUS.delay, abs=1e-3)


def test_a_microphone_whose_clock_runs_fast_is_followed():
    packets = [replace(packet, arrival=100 + (packet.arrival - 100) * 0.9999) for packet in encode(tone(60.0, 48_000))]
    frames = play(Depacketizer(), packets)
    late = [packet.arrival - OPUS.delay - frame.time for packet, frame in zip(packets, frames, strict=True)]
    assert max(map(abs, late)) < 0.001


def test_a_gap_in_the_timestamps_without_a_loss_is_silence_of_its_length():
    packets = encode(tone(1.0, 48_000))
    resumed = [replace(p, sequence=p.sequence - 15) for p in packets[25:]]
    stream = Depacketizer()
    frames = play(stream, packets[:10] + resumed)
    assert len(frames) == 50
    assert not joined(frames)[10 * 320 : 25 * 320].any()
    assert frames[-1].time == pytest.approx(packets[-1].arrival - OPUS.delay, abs=1e-3)
    assert (stream.statistics.lost, stream.statistics.concealed) == (0, 0)


def test_after_a_pause_of_any_length_each_packet_still_gives_its_frame_at_once():
    stream = Depacketizer()
    packets = encode(tone(1.0, 48_000))
    play(stream, packets[:10])
    resumed = [
        replace(p, sequence=p.sequence - 10, timestamp=p.timestamp + 300, arrival=p.arrival + 300 / 48_000)
        for p in packets[20:]
    ]
    counts = [len(stream.add(packet)) for packet in resumed]
    assert counts == [11] + [1] * 29


def test_after_a_packet_that_announces_a_pause_silence_goes_on_at_once():
    stream = Depacketizer()
    packets = encode(tone(1.0, 48_000))
    play(stream, packets[:10])
    stream.add(replace(packets[10], payload=b"\x08"))
    last = packets[10].arrival
    assert stream.tick(last + PAUSE_SECONDS - 0.001) == []
    assert len(stream.tick(last + PAUSE_SECONDS)) == 2
    assert [len(stream.tick(last + PAUSE_SECONDS + 0.02 * n)) for n in range(1, 20)] == [1] * 19
    assert stream.statistics.silence == pytest.approx(21 * 0.02)
    assert stream.statistics.lost == 0
    # Speech goes on when it goes on, and what was lost in the pause is not made up.
    resumed = [replace(p, sequence=p.sequence - 18) for p in packets[31:]]
    assert len(play(stream, resumed)) == 19
    assert stream.statistics.concealed == 0


@pytest.mark.parametrize("jump", [3600 * 48_000, -3600 * 48_000, 2**31])
def test_a_jump_of_the_timestamps_starts_the_clock_anew(jump):
    packets = encode(tone(0.4, 48_000))
    jumped = [replace(p, timestamp=(p.timestamp + jump) % 2**32) for p in packets[10:]]
    frames = play(Depacketizer(), packets[:10] + jumped)
    assert len(frames) == 20
    assert frames[-1].time == pytest.approx(packets[-1].arrival - OPUS.delay, abs=1e-3)


def test_silence_lasts_as_long_as_a_pause_whatever_keeps_it_open():
    stream = Depacketizer()
    packets = encode(tone(1.0, 48_000))
    frames = play(stream, packets[:10])
    pause = [replace(packets[10], payload=b"\x08", sequence=10 + n, timestamp=(10 + 20 * n) * 960) for n in range(30)]
    for n, packet in enumerate(pause):
        arrival = 100 + (11 + 20 * n) / 50
        frames += stream.add(replace(packet, arrival=arrival))
        while stream.due < arrival + 0.4 - 0.003:
            frames += stream.tick(stream.due + 0.002)
    assert len(frames) == pytest.approx(10 + 30 * 20, abs=2)
    gaps = np.diff([frame.time for frame in frames[12:]])
    assert gaps == pytest.approx([0.02] * len(gaps), abs=2e-3)


def test_before_the_first_packet_there_is_nothing():
    stream = Depacketizer()
    assert stream.tick(1000.0) == []


def test_while_no_packet_comes_silence_goes_on_by_the_clock():
    stream = Depacketizer()
    packets = encode(tone(1.0, 48_000))
    play(stream, packets[:10])
    last = packets[9].arrival
    assert stream.tick(last + IDLE_SECONDS - 0.001) == []
    frames = stream.tick(last + IDLE_SECONDS)
    assert len(frames) == 5
    assert not joined(frames).any()
    assert [len(stream.tick(last + IDLE_SECONDS + 0.02 * n)) for n in range(1, 6)] == [1] * 5
    assert stream.due == pytest.approx(last - OPUS.delay + 0.02 * 11)
    # The next packet comes with the timestamp of its time, and finds the silence already there.
    resumed = [replace(p, sequence=p.sequence - 10) for p in packets[20:]]
    assert len(play(stream, resumed)) == 30


def test_packets_that_were_only_late_are_all_heard_after_the_silence():
    stream = Depacketizer()
    packets = encode(tone(1.0, 48_000))
    play(stream, packets[:10])
    assert len(stream.tick(packets[9].arrival + 0.15)) == 7
    late = [replace(p, arrival=packets[17].arrival) for p in packets[10:18]]
    assert len(play(stream, late + packets[18:])) == 40


def test_a_hole_at_the_end_of_a_talk_spurt_waits_no_longer_than_the_limit():
    stream = Depacketizer()
    packets = encode(tone(0.4, 48_000))
    play(stream, packets[:10])
    assert stream.add(packets[11]) == []
    assert stream.due == pytest.approx(packets[11].arrival + FIRST_WAIT, abs=1e-3)
    assert len(stream.tick(stream.due)) == 2


def test_empty_and_broken_packets_cost_nothing_but_themselves():
    stream = Depacketizer()
    packets = encode(tone(0.4, 48_000))
    packets[5] = replace(packets[5], payload=b"")
    packets[8] = replace(packets[8], payload=b"\xff" * 3)
    assert len(play(stream, packets)) == 20
    assert stream.statistics.broken == 1
    assert stream.statistics.concealed == 1


def test_a_change_of_codec_is_followed():
    stream = Depacketizer()
    opus = encode(tone(0.2, 48_000))
    pcmu = encode(tone(0.2, 8_000), 0, first=10, start=opus[-1].arrival)
    assert len(play(stream, opus + pcmu)) == 20


@pytest.mark.parametrize("then", [96, 0])
def test_another_stream_may_begin_with_any_number_and_codec(then):
    stream = Depacketizer()
    play(stream, encode(tone(0.2, 48_000))[:9])
    stream.start_anew()
    frames = play(stream, encode(tone(0.2, RATES[then]), then, first=5, start=300.0))
    assert len(frames) == 10
    assert frames[0].time == pytest.approx(300.02, abs=0.01)
    assert (stream.statistics.lost, stream.statistics.received) == (0, 19)


def test_a_packet_without_sound_has_its_place_and_silence_goes_on():
    stream = Depacketizer()
    packets = encode(tone(0.6, 48_000))
    play(stream, packets[:10])
    frames = []
    for packet in packets[10:20]:
        while stream.due < packet.arrival:
            frames += stream.tick(stream.due)
        frames += stream.add(replace(packet, payload=b"", payload_type=126))
    frames += play(stream, packets[20:])
    assert len(frames) == pytest.approx(20, abs=1)
    assert stream.statistics.lost == 0
    assert not any(frame.samples.any() for frame in frames[:5])
