"""The turn detector alone: windows of probabilities in, positions out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.turns.turn import (
    OverlapEnded,
    OverlapPaused,
    OverlapStarted,
    SpeechStarted,
    TurnDetector,
    TurnEnded,
    TurnPaused,
    TurnResumed,
    TurnSettings,
)

WINDOW = 512
SETTINGS = TurnSettings(threshold=0.5, release=0.35, min_speech=0.09, padding=0.3, silence=0.5, max_turn=10)


def detect(probabilities, settings=SETTINGS):
    """Every event with the number of the window that brought it."""
    detector = TurnDetector(settings)
    events = [(index, detector.push(WINDOW, probability)) for index, probability in enumerate(probabilities)]
    return [(index, event) for index, event in events if event]


def test_speech_starts_once_it_has_lasted_and_ends_after_the_silence():
    events = detect([0.0] * 20 + [0.9] * 30 + [0.0] * 30)
    onset, end = 20 * WINDOW, 50 * WINDOW
    assert events == [
        (22, SpeechStarted(onset - 4800)),
        (54, TurnPaused(onset - 4800, end)),  # the first at least 2400 after it
        (65, TurnEnded(onset - 4800, end, 66 * WINDOW, 0.5)),  # the first window at least 8000 samples after the end
    ]


def test_a_click_is_forgotten():
    assert detect([0.0] * 5 + [0.9] * 2 + [0.0] * 40) == []


def test_speech_that_stutters_at_its_onset_begins_when_it_lasts():
    [(index, started), *_] = detect([0.9, 0.0, 0.9, 0.9, 0.9] + [0.0] * 40)
    assert (index, started.start) == (4, 0)


def test_hysteresis_keeps_a_turn_alive_but_does_not_begin_one():
    assert detect([0.4] * 50) == []
    assert len(detect([0.9] * 5 + [0.4] * 50)) == 1


def test_padding_never_reaches_before_the_stream():
    assert detect([0.9] * 5)[0][1] == SpeechStarted(0)


def test_a_pause_shorter_than_the_silence_belongs_to_the_turn():
    events = detect([0.9] * 10 + [0.0] * 14 + [0.9] * 10 + [0.0] * 20)
    assert [type(event) for _, event in events] == [SpeechStarted, TurnPaused, TurnResumed, TurnPaused, TurnEnded]


def test_a_gap_shorter_than_a_pause_is_none():
    events = detect([0.9] * 10 + [0.0] * 4 + [0.9] * 10)
    assert [type(event) for _, event in events] == [SpeechStarted]


def test_silence_is_judged_inside_a_window():
    detector = TurnDetector(SETTINGS)
    for probability in [0.9] * 10 + [0.0] * 15:
        detector.push(WINDOW, probability)
    end = 10 * WINDOW
    assert detector.wait(end + 7999) is None
    assert detector.wait(end + 8000) == TurnEnded(0, end, end + 8000, 0.5)
    assert detector.wait(end + 8320) is None


def test_the_silence_can_be_decided_in_the_pause():
    detector = TurnDetector(SETTINGS)
    for probability in [0.9] * 10 + [0.0] * 6:
        detector.push(WINDOW, probability)
    detector.silence = 0.21
    end = 10 * WINDOW
    assert detector.wait(end + 3200) is None
    assert detector.wait(end + 3360) == TurnEnded(0, end, end + 3360, 0.21)
    assert detector.silence is None


def test_what_was_decided_in_one_pause_does_not_hold_in_the_next():
    detector = TurnDetector(SETTINGS)
    for probability in [0.9] * 10 + [0.0] * 6:
        detector.push(WINDOW, probability)
    detector.silence = 3.0
    assert detector.push(WINDOW, 0.9) == TurnResumed(6 * WINDOW / 16_000)
    assert detector.silence is None


def test_a_turn_has_a_greatest_length():
    [_, (_, ended), *_] = detect([0.9] * 1000)
    assert ended.end == pytest.approx(10 * 16_000, abs=WINDOW)


@pytest.mark.parametrize("field", ["threshold", "release", "min_speech", "padding", "pause", "silence", "max_turn"])
@pytest.mark.parametrize("value", [-1, 61, "much"])
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TurnSettings(**{field: value})


@given(st.lists(st.floats(0, 1), max_size=400), st.floats(0.05, 1.0), st.floats(0, 0.3))
def test_starts_and_ends_alternate_and_lie_in_order(probabilities, silence, min_speech):
    events = [event for _, event in detect(probabilities, replace(SETTINGS, silence=silence, min_speech=min_speech))]
    turns = [event for event in events if isinstance(event, SpeechStarted | TurnEnded)]
    assert [type(event) for event in turns] == ([SpeechStarted, TurnEnded] * len(turns))[: len(turns)]
    for started, ended in zip(turns[::2], turns[1::2], strict=False):
        assert started.start == ended.start < ended.speech_end <= ended.end <= len(probabilities) * WINDOW


@given(st.lists(st.floats(0, 1), max_size=400))
def test_pauses_lie_inside_turns_and_end_before_the_next(probabilities):
    allowed = {
        SpeechStarted: {None, TurnEnded},
        TurnPaused: {SpeechStarted, TurnResumed},
        TurnResumed: {TurnPaused},
        TurnEnded: {SpeechStarted, TurnPaused, TurnResumed},
    }
    kinds = [type(event) for _, event in detect(probabilities)]
    for before, kind in zip([None, *kinds], kinds, strict=False):
        assert before in allowed[kind]


OVER_THE_AGENT = TurnSettings(pause=0.15, silence=0.5, adaptive=False)


def over_the_agent(probabilities):
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.34)
    events = [(index, detector.push(WINDOW, probability)) for index, probability in enumerate(probabilities)]
    return [(index, type(event)) for index, event in events if event]


def test_speech_over_the_agent_is_told_at_once_and_interrupts_when_it_lasts():
    assert over_the_agent([0.9] * 20) == [(1, OverlapStarted), (10, SpeechStarted)]


def test_speech_over_the_agent_that_ends_is_told_once_it_is_over():
    assert over_the_agent([0.9] * 8 + [0.0] * 20) == [(1, OverlapStarted), (11, OverlapPaused), (15, OverlapEnded)]


def test_a_gap_between_syllables_does_not_end_an_overlap():
    told = over_the_agent([0.9] * 4 + [0.0] * 2 + [0.9] * 4 + [0.0] * 20)
    assert told == [(1, OverlapStarted), (13, OverlapPaused), (17, OverlapEnded)]


def test_each_gap_of_an_overlap_is_told_with_all_that_was_said_before_it():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.7)
    events = [detector.push(WINDOW, probability) for probability in ([0.9] * 4 + [0.0] * 5) * 2]
    first, second = [event for event in events if isinstance(event, OverlapPaused)]
    assert (first.start, first.speech_end, first.speech) == (0, 4 * WINDOW, 4 * WINDOW / 16_000)
    assert (second.start, second.speech_end, second.speech) == (0, 13 * WINDOW, 8 * WINDOW / 16_000)


def test_a_sound_whose_words_interrupt_is_a_turn_from_its_beginning():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.7)
    for probability in [0.0] * 20 + [0.9] * 5 + [0.0] * 5:
        detector.push(WINDOW, probability)
    assert detector.settle(interrupts=True) == SpeechStarted(20 * WINDOW - 4800)
    assert detector.settle(interrupts=True) is None
    events = [event for _ in range(20) if (event := detector.push(WINDOW, 0.0))]
    assert [type(event) for event in events] == [TurnPaused, TurnEnded]
    assert events[1].speech_end == 25 * WINDOW


def test_a_sound_that_is_over_is_no_turn_any_more():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.7)
    for probability in [0.9] * 5 + [0.0] * 20:
        detector.push(WINDOW, probability)
    assert detector.settle(interrupts=True) is None


def test_awaited_words_keep_a_sound_open_for_a_moment():
    def ended(told, settled=99):
        detector = TurnDetector(OVER_THE_AGENT, interrupts=0.7, told=told)
        for window, probability in enumerate([0.9] * 5 + [0.0] * 30):
            if isinstance(detector.push(WINDOW, probability), OverlapEnded):
                return (window + 1 - 5) * WINDOW / 16_000
            if window == settled:
                assert detector.settle(interrupts=False) is None
        return None

    assert ended(told=False) == pytest.approx(0.25, abs=0.032)
    assert ended(told=True) == pytest.approx(0.5, abs=0.032)
    assert ended(told=True, settled=10) == pytest.approx(0.25, abs=0.032)


def test_short_words_with_gaps_between_them_interrupt():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.34)
    stop_now = [0.9] * 6 + [0.0] * 6 + [0.9] * 6  # as Chromium's echo canceller lets it pass: 0.19 s each
    assert isinstance([detector.push(WINDOW, probability) for probability in stop_now][16], SpeechStarted)


def test_a_click_over_the_agent_is_nothing():
    assert over_the_agent([0.9] + [0.0] * 20) == []


def test_over_the_agent_it_takes_a_higher_probability_to_begin():
    assert over_the_agent([0.55] * 20) == []
    assert over_the_agent([0.65] + [0.55] * 20)[0] == (1, OverlapStarted)


def test_a_turn_that_began_as_an_overlap_begins_with_its_first_word():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.34)
    events = [detector.push(WINDOW, probability) for probability in [0.0] * 20 + [0.9] * 12]
    assert events[30] == SpeechStarted(20 * WINDOW - 4800)


def test_when_the_agent_has_finished_an_overlap_is_a_turn():
    detector = TurnDetector(OVER_THE_AGENT, interrupts=0.34)
    assert [type(detector.push(WINDOW, 0.9)) for _ in range(3)][1] == OverlapStarted
    detector.interrupts = None
    assert isinstance(detector.push(WINDOW, 0.9), SpeechStarted)
