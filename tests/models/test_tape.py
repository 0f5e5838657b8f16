"""Which tape a request gets: its own where there is one, else the one idle longest, beginning as the best copy."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.config import TextConfig
from models.inputs import Plan, Window
from models.tape import Tape, Tapes, common, keys_of

CONFIG = TextConfig("llama", 10, 8, 1, 2, 1, 4, 8, 64)


def tapes(slots: int = 3) -> Tapes:
    return Tapes(CONFIG, slots, 32, torch.float32, torch.device("cpu"))


def hold(held: Tapes, keys: list[int], settled: int, most: int = 99) -> Tape:
    """Let a request compute its keys on a tape and leave."""
    tape = held.take(keys, most)
    assert tape
    for number, key in enumerate(keys[tape.cache.length :], tape.cache.length):
        held.pool.buffer[0, 0, tape.slot, 0, number] = key
    tape.keys, tape.cache.length = list(keys), len(keys)
    tape.busy, tape.settled = False, settled
    return tape


def content(held: Tapes, tape: Tape) -> list[float]:
    return held.pool.buffer[0, 0, tape.slot, 0, : tape.cache.length, 0].tolist()


def test_audio_has_the_key_of_its_content_and_place() -> None:
    plan = Plan([5, 0, 0, 0, 6], [Window(0, 0, 3000, 1, 2), Window(0, 1, 10, 3, 1)])
    audio = np.arange(9, dtype=np.int16)
    keys = keys_of(plan, [audio])
    assert keys == keys_of(plan, [audio.copy()])
    assert keys[0] == 5
    assert keys[4] == 6
    assert len(set(keys)) == 5
    assert common(keys, keys_of(plan, [audio[:8]])) == 1
    assert common(keys, keys_of(plan, [audio.view(np.uint16)])) == 1
    assert keys_of(plan, [audio[::1]])[1] == keys_of(plan, [np.repeat(audio, 2)[::2]])[1]


@given(*[st.lists(st.integers(0, 2), max_size=8)] * 2)
def test_what_is_common(a: list[int], b: list[int]) -> None:
    length = common(a, b)
    assert a[:length] == b[:length]
    assert length in (len(a), len(b)) or a[length] != b[length]


def test_a_conversation_goes_on_where_it_was() -> None:
    held = tapes()
    hold(held, [9, 9], settled=1)
    own = hold(held, [1, 2, 3, 4], settled=2)
    tape = held.take([1, 2, 3, 7, 8], 4)
    assert tape is own
    assert tape.keys == [1, 2, 3]
    assert content(held, tape) == [1, 2, 3]


def test_one_position_is_left_to_compute() -> None:
    held = tapes()
    hold(held, [1, 2, 3], settled=1)
    tape = held.take([1, 2, 3], 2)
    assert tape
    assert tape.keys == [1, 2]


def test_another_conversation_begins_as_a_copy() -> None:
    held = tapes()
    first = hold(held, [1, 2, 3, 4, 5], settled=4)
    tape = held.take([1, 2, 7], 2)
    assert tape is not first
    assert tape
    assert content(held, tape) == tape.keys == [1, 2]
    assert first.keys == [1, 2, 3, 4, 5]


def test_a_busy_tape_is_copied_and_not_taken() -> None:
    held = tapes(2)
    first = hold(held, [1, 2, 3], settled=1)
    first.busy = True
    tape = held.take([1, 2, 3, 4], 3)
    assert tape is not first
    assert tape
    assert content(held, tape) == [1, 2, 3]
    assert held.take([1], 0) is None


def test_what_does_not_inherit_leaves_every_conversation_its_own() -> None:
    held = tapes()
    own = hold(held, [1, 2, 3], settled=1)
    tape = held.take([1, 2, 3, 4], 3, inherit=False)
    assert tape is not own
    assert tape
    assert tape.keys == [1, 2, 3]


def test_the_one_idle_longest_is_evicted() -> None:
    held = tapes()
    made = [hold(held, [first, 5], settled=1) for first in (1, 2, 3)]
    hold(held, [1, 5, 6], settled=1)
    assert held.take([4], 0) is made[1]
    assert held.take([4], 0) is made[2]


def test_a_wiped_tape_is_new() -> None:
    held = tapes(1)
    tape = hold(held, [1, 2], settled=1)
    held.wipe(tape)
    assert not held.pool.buffer[0, 0].any()
    assert (tape.keys, tape.cache.length) == ([], 0)
