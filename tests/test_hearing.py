"""The call's ear: frames of 20 ms become the detector's windows, and positions become times."""

import numpy as np
import pytest

from agent.audio import Frame, dbfs
from agent.realtime.objects import EventError
from agent.simulation.sound import LevelVAD, tone
from agent.turns.hearing import Hearing
from agent.turns.turn import SpeechStarted, TurnEnded, TurnPaused, TurnSettings

SETTINGS = TurnSettings(padding=0.1, silence=0.2, adaptive=False)


def hear(hearing, samples, start=100.0):
    """Push samples in frames; the first is captured from `start` on. Returns the events."""
    frames = np.split(samples, range(320, samples.size, 320))
    return [
        event for number, frame in enumerate(frames, 1) for event in hearing.push(Frame(frame, start + number * 0.02))
    ]


def silence(seconds):
    return np.zeros(round(seconds * 16_000), np.int16)


@pytest.mark.parametrize("window", [160, 512, 480])
def test_a_turns_audio_is_cut_out_of_the_stream(window):
    hearing = Hearing(LevelVAD(window), SETTINGS)
    stream = np.concatenate([silence(1), tone(0.5), silence(0.5)])
    started, paused, ended = hear(hearing, stream)
    assert isinstance(started, SpeechStarted)
    margin = round(SETTINGS.pause * 16_000)
    np.testing.assert_array_equal(hearing.audio(ended), stream[ended.start : ended.speech_end + margin])
    np.testing.assert_array_equal(hearing.audio(paused), hearing.audio(ended))
    assert ended.speech_end == pytest.approx(1.5 * 16_000, abs=window)


def test_the_end_of_a_turn_is_found_to_the_frame():
    hearing = Hearing(LevelVAD(512), SETTINGS)
    [_, _, ended] = hear(hearing, np.concatenate([tone(0.512), silence(0.5)]))
    assert ended.end - ended.speech_end == pytest.approx(0.2 * 16_000, abs=320)


def test_a_sample_has_the_time_at_which_it_was_captured():
    hearing = Hearing(LevelVAD(), SETTINGS)
    hear(hearing, silence(2), start=100.0)
    assert hearing.time(16_000) == pytest.approx(101.0)


def test_old_audio_is_forgotten():
    hearing = Hearing(LevelVAD(), TurnSettings(max_turn=1, silence=0.2, max_silence=0.2, padding=0))
    hear(hearing, np.arange(16_000 * 5, dtype=np.int64).astype(np.int16))
    assert hearing.audio(TurnEnded(0, 16_000, 16_000)).size == 0
    assert hearing.audio(TurnEnded(0, 80_000, 80_000)).size <= 3 * 16_000


def test_push_to_talk_commits_what_was_heard_since():
    hearing = Hearing(LevelVAD(), SETTINGS)
    hear(hearing, silence(1))
    hearing.detect(None)
    assert hear(hearing, np.concatenate([tone(1), silence(1)])) == []
    turn = hearing.commit()
    assert (turn.start, turn.end) == (16_000, 48_000)
    hear(hearing, tone(0.08))
    with pytest.raises(EventError, match="buffer too small"):
        hearing.commit()


def test_turning_detection_on_again_counts_on():
    hearing = Hearing(LevelVAD(), SETTINGS)
    hearing.detect(None)
    hear(hearing, tone(1))
    hearing.detect(SETTINGS)
    [started, _, ended] = hear(hearing, np.concatenate([silence(1), tone(0.5), silence(0.5)]))
    assert (ended.start, ended.speech_end) == (started.start, 40_000)


def adaptive(**fields):
    return TurnSettings(padding=0.1, calibrated=True, **fields)


def test_what_the_engine_thinks_decides_how_long_the_pause_may_last():
    for probability, wait in ((0.99, 0.3), (None, 0.5)):
        hearing = Hearing(LevelVAD(), adaptive())
        events = []
        for frame in np.split(np.concatenate([tone(1), silence(1)]), 100):
            for event in hearing.push(Frame(frame, 0.0)):
                events.append(event)
                if isinstance(event, TurnPaused):
                    hearing.judge(probability)
        ended = events[-1]
        assert isinstance(ended, TurnEnded)
        assert (ended.silence, hearing.end_of_turn) == (pytest.approx(wait), probability)
        assert hearing.pauses[-1].decision.at == pytest.approx(SETTINGS.pause, abs=0.02)


def test_a_judgement_outside_a_pause_does_not_outlast_it():
    hearing = Hearing(LevelVAD(), adaptive())
    hear(hearing, tone(0.5))
    hearing.judge(0.99)
    [paused, ended] = hear(hearing, silence(1))
    assert isinstance(paused, TurnPaused)
    assert ended.silence == pytest.approx(0.5)


def test_a_caller_who_goes_on_right_after_the_end_teaches_a_longer_wait():
    hearing = Hearing(LevelVAD(), adaptive())
    waits = [
        event.silence
        for pause in (0.7, 0.7, 0.7, 3.0)
        for event in hear(hearing, np.concatenate([tone(0.5), silence(pause)]))
        if isinstance(event, TurnEnded)
    ]
    assert waits[0] == pytest.approx(0.5)
    assert waits[-1] > 0.6


def test_an_echo_of_what_is_played_is_no_speech():
    rng = np.random.default_rng(1)
    levels = np.repeat(rng.uniform(0.02, 1.0, 50), 3)
    played = [(8000 * level * tone(0.02) / 8000).astype(np.int16) for level in levels]
    hearing, events = Hearing(LevelVAD(), SETTINGS), []
    for index, frame in enumerate(played):
        heard = played[index - 5] // 8 if index >= 5 else np.zeros(320, np.int16)
        events += hearing.push(Frame(heard, 0.0), dbfs(frame), guarded=True)
    assert events == []


def test_the_last_moments_of_a_silence_can_be_had_as_a_turn():
    hearing = Hearing(LevelVAD(), SETTINGS)
    hear(hearing, silence(3))
    turn = hearing.latest()
    assert (turn.start, turn.end, hearing.position) == (32_000, 48_000, 48_000)
    assert hearing.audio(turn).size == 16_000
