"""The count of a silence, frame by frame."""

from agent.replies.prompts import Quiet, Reminders


def frames(quiet, count, *, speaking=False, answering=False):
    return [quiet.push(1.0, 2, speaking=speaking, answering=answering) for _ in range(count)].count(True)


def test_a_silence_counts_while_nobody_speaks():
    quiet = Quiet()
    assert frames(quiet, 49) == 0
    assert frames(quiet, 2) == 1


def test_either_side_ends_it():
    quiet = Quiet()
    for side in ({"speaking": True}, {"answering": True}):
        frames(quiet, 40)
        frames(quiet, 1, **side)
        assert frames(quiet, 45) == 0


def test_so_many_times_until_the_caller_speaks():
    quiet = Quiet()
    assert frames(quiet, 500) == 2
    frames(quiet, 1, answering=True)
    assert frames(quiet, 500) == 0
    frames(quiet, 1, speaking=True)
    assert frames(quiet, 500) == 2


def test_never():
    assert not any(Quiet().push(0.0, 2, speaking=False, answering=False) for _ in range(1000))


def test_reminders_are_said_when_they_are_due_one_after_another_and_only_when_it_is_quiet():
    reminders = Reminders()
    reminders.add(0.06, "second")
    reminders.add(0.02, "first")
    assert [reminders.push(quiet=quiet) for quiet in (True, False, True, True, True)] == ["first", "", "second", "", ""]


def test_reminders_are_bounded():
    reminders = Reminders(most=2)
    for number in range(4):
        reminders.add(number, str(number))
    assert [words for _, words in reminders._due] == ["2", "3"]
