"""Telephone events, each key once; and the entry that keys make."""

from agent.edge.jitter import Packet
from agent.edge.keypad import Keypad
from agent.turns.entry import MAX_KEYS, PAUSE_SECONDS, Entry


def pressed(code, timestamp=0, duration=160, end=False):
    return Packet(0, timestamp, 101, bytes([code, (0x80 if end else 0) | 10, *duration.to_bytes(2, "big")]), 0.0)


def test_a_key_counts_once_however_often_it_is_told():
    keypad = Keypad()
    packets = [pressed(5, 800, 160 * n) for n in range(1, 5)] + 3 * [pressed(5, 800, 800, end=True)]
    assert [key for packet in packets if (key := keypad.add(packet))] == ["5"]


def test_the_same_key_twice_is_two_and_late_packets_are_none():
    keypad = Keypad()
    packets = [pressed(1, 0), pressed(1, 960), pressed(1, 0, end=True), pressed(11, 1920), pressed(1, 960, end=True)]
    assert [keypad.add(packet) for packet in packets] == ["1", "1", None, "#", None]


def test_a_key_whose_first_packets_are_lost_counts():
    assert Keypad().add(pressed(10, 800, 800, end=True)) == "*"


def test_what_is_no_key_is_left_alone():
    keypad = Keypad()
    assert keypad.add(pressed(16)) is None, "a hook flash"
    assert keypad.add(Packet(0, 960, 101, b"\x05\x0a", 0.0)) is None


def entered(entry):
    """What is complete after each of three seconds of frames."""
    return [keys for _ in range(150) if (keys := entry.push())]


def test_an_entry_ends_with_a_pause_or_with_its_sign():
    entry = Entry()
    assert entered(entry) == []
    for key in "12":
        entry.press(key)
        for _ in range(round(0.5 * PAUSE_SECONDS / 0.02)):
            assert entry.push() is None
    assert entered(entry) == ["12"]
    for key in "45#":
        entry.press(key)
    assert entry.push() == "45#"
    assert entered(entry) == []


def test_an_entry_is_bounded():
    entry = Entry()
    for _ in range(MAX_KEYS):
        entry.press("1")
    assert entry.push() == MAX_KEYS * "1"
