"""Playout: frames, the word that was heard, underruns; no clock."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.audio import Samples, Word
from agent.playout import Playout


def ramp(start: int, count: int) -> Samples:
    return np.arange(start, start + count, dtype=np.int16)


def pull_all(playout: Playout) -> Samples:
    frames = []
    while (frame := playout.pull()) is not None:
        frames.append(frame)
    return np.concatenate(frames) if frames else np.empty(0, dtype=np.int16)


def test_silent_until_something_is_pushed():
    playout = Playout(10)
    assert playout.pull() is None
    assert playout.underruns == 0


def test_frames_join_pieces_in_order_and_the_last_is_padded():
    playout = Playout(10)
    playout.push(ramp(1, 7))
    playout.push(ramp(8, 16))
    playout.end()
    out = pull_all(playout)
    assert out.tolist() == [*range(1, 24), *[0] * 7]
    assert (playout.played, playout.buffered) == (23, 0)


def test_a_reply_begins_with_a_whole_frame():
    playout = Playout(10)
    playout.push(ramp(1, 4))
    assert playout.pull() is None
    playout.push(ramp(5, 6))
    frame = playout.pull()
    assert frame is not None
    assert frame.tolist() == list(range(1, 11))
    assert playout.underruns == 0


def test_a_reply_shorter_than_a_frame_is_played_once_it_is_over():
    playout = Playout(10)
    playout.push(ramp(1, 4), [Word(4, 2)])
    playout.end()
    assert pull_all(playout).tolist() == [1, 2, 3, 4, *[0] * 6]
    assert playout.text == 2


def test_what_was_pulled_last_can_be_put_back_and_is_played_again():
    playout = Playout(10)
    playout.push(ramp(0, 35), [Word(10, 3), Word(21, 9), Word(35, 12)])
    playout.end()
    pull_all(playout)
    assert (playout.played, playout.text) == (35, 12)
    playout.put_back(2)
    assert (playout.played, playout.buffered, playout.text) == (20, 15, 3)
    assert pull_all(playout).tolist() == [*range(20, 35), *[0] * 5]
    assert (playout.played, playout.text, playout.underruns) == (35, 12, 0)
    playout.put_back(100)
    assert (playout.played, playout.text) == (0, 0), "no more than there was"


def test_nothing_of_another_reply_is_put_back():
    playout = Playout(10)
    playout.push(ramp(0, 20), [Word(20, 3)])
    pull_all(playout)
    playout.clear()
    playout.put_back(1)
    assert (playout.played, playout.buffered) == (0, 0)


def test_the_text_heard_ends_with_the_last_word_that_was_played_to_its_end():
    playout = Playout(10)
    playout.push(ramp(0, 25), [Word(10, 3), Word(21, 9)])
    playout.push(ramp(0, 10), [Word(10, 14)])
    heard = []
    while playout.pull() is not None:
        heard.append(playout.text)
    assert heard == [3, 3, 9, 14]


def test_a_word_that_ends_beyond_the_last_sample_is_heard_when_the_reply_is_over():
    playout = Playout(10)
    playout.push(ramp(0, 20), [Word(22, 5)])
    pull_all(playout)
    assert playout.text == 0
    playout.end()
    assert playout.text == 5


def test_clear_drops_what_waits_and_begins_a_new_reply():
    playout = Playout(10)
    playout.push(ramp(0, 40), [Word(10, 4), Word(40, 8)])
    playout.pull()
    assert (playout.played, playout.text) == (10, 4)
    playout.clear()
    assert (playout.played, playout.text, playout.buffered) == (0, 0, 0)
    assert playout.pull() is None
    playout.push(ramp(100, 10), [Word(10, 2)])
    assert pull_all(playout).tolist() == list(range(100, 110))
    assert (playout.played, playout.text) == (10, 2)


def test_a_gap_inside_speech_is_one_underrun_however_long_it_lasts():
    playout = Playout(10)
    playout.push(ramp(0, 15))
    for _ in range(5):
        playout.pull()
    assert playout.underruns == 1
    playout.push(ramp(0, 20))
    playout.pull()
    playout.pull()
    playout.end()
    assert playout.pull() is None
    assert playout.underruns == 1


def test_silence_after_a_reply_is_no_underrun():
    playout = Playout(10)
    playout.push(ramp(0, 10))
    playout.end()
    for _ in range(3):
        playout.pull()
    playout.clear()
    playout.pull()
    assert playout.underruns == 0


def test_a_ducked_voice_fades_out_holds_its_place_and_fades_in():
    playout = Playout(20)
    playout.push(np.full(100, 1000, np.int16), [Word(25, 1)])
    assert playout.pull().tolist() == [1000] * 20
    playout.duck(on=True)
    assert playout.pull().tolist() == [1000, 750, 500, 250, 0, *[0] * 15]
    assert [playout.pull() for _ in range(3)] == [None] * 3
    assert (playout.played, playout.text, playout.underruns) == (25, 1, 0)
    playout.duck(on=False)
    assert playout.pull().tolist() == [0, 250, 500, 750, 1000, *[1000] * 15]
    assert playout.pull().tolist() == [1000] * 20
    assert playout.played == 65, "no sample is skipped"


def test_a_voice_that_is_not_quite_gone_comes_back_at_once():
    playout = Playout(10)
    playout.push(np.full(30, 1000, np.int16))
    playout.duck(on=True)
    playout.duck(on=False)
    assert playout.pull().tolist() == [1000] * 10


def test_clearing_gives_the_next_reply_its_full_voice():
    playout = Playout(10)
    playout.push(np.full(30, 1000, np.int16))
    playout.duck(on=True)
    playout.pull()
    playout.clear()
    playout.push(np.full(30, 1000, np.int16))
    assert playout.pull().tolist() == [1000] * 10


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 35), st.lists(st.integers(0, 35), max_size=3)),
        st.tuples(st.just("pull")),
        st.tuples(st.just("end")),
        st.tuples(st.just("clear")),
    ),
    max_size=60,
)


@given(steps)
def test_what_is_heard_was_pushed_and_only_grows(actions):
    playout = Playout(10)
    pushed: list[int] = []
    played: list[int] = []
    written = text = 0
    for action, *rest in actions:
        before = (playout.played, playout.text)
        if action == "push":
            count, ends = rest
            samples = ramp(len(pushed) + 1, count)
            words = [Word(min(end, count), text + index + 1) for index, end in enumerate(sorted(ends))]
            text += len(words)
            playout.push(samples, words)
            pushed += samples.tolist()
        elif action == "pull":
            frame = playout.pull()
            if frame is not None:
                assert frame.shape == (10,)
                played += [int(sample) for sample in frame if sample]
        elif action == "end":
            playout.end()
        else:
            playout.clear()
            pushed, played, text = [], [], 0
            continue
        written = playout.played + playout.buffered
        assert written == len(pushed) == playout.pushed
        assert played == pushed[: playout.played]
        assert playout.text <= text
        assert (playout.played, playout.text) >= before
        assert playout.text >= before[1]
