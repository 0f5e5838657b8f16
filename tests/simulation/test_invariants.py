"""What holds in every conversation: thousands of random ones, in virtual time."""

import asyncio
import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.audio import INPUT_RATE as RATE
from agent.audio import Speech, Word
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.call import Call
from agent.simulation.caller import Line, Play, Room, Say, Send, Wait
from agent.simulation.history import history
from agent.simulation.sound import noise
from agent.transcribing import PROMPT, SENTENCE
from agent.turns.turn import TurnSettings
from tests.simulation.calls import simulate
from tests.simulation.taped import TapedEngine

WORD = 0.2
LOUDEST = 2000


@dataclass(frozen=True)
class NumberedVoice:
    """Says the word "w7" as 0.2 s of the sample value 2007, so that what was heard can be read off the samples."""

    first_audio: float = 0.0
    name: str = "numbered"
    rate: int = RATE

    async def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        await asyncio.sleep(self.first_audio)
        end = 0
        for word in text.split():
            end = text.index(word, end) + len(word)
            level = LOUDEST + int(word.strip("w.,")) if word.startswith("w") else LOUDEST // 2
            samples = np.full(round(WORD * RATE), level, np.int16)
            yield Speech(samples, RATE, (Word(samples.size, end),))


def numbers(text: str) -> list[int]:
    return [int(word.strip("w.,")) for word in text.split()]


@dataclass
class Answers:
    """Answers of so many words, no word of which comes twice in a call; and what is written down of sounds over them, if it can."""

    words: int
    written: str | None = None

    def __post_init__(self):
        self.count = itertools.count()

    def __call__(self, messages) -> str:
        if self.written and messages[-1].text == PROMPT:
            return SENTENCE if messages[-1].id == "sentence" else self.written
        return " ".join(f"w{next(self.count)}" for _ in range(self.words)) + "."


def events_of(*names: str) -> list[Send]:
    return [Send(f'{{"type":"{name}"}}') for name in names]


TYPED = Send(
    '{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}}'
)


def detection(value: str) -> Send:
    return Send(f'{{"type":"session.update","session":{{"audio":{{"input":{{"turn_detection":{value}}}}}}}}}')


frames = st.integers(1, 60).map(lambda count: round(0.02 * count, 2))
speech = st.one_of(st.builds(Say, frames), st.builds(Wait, frames))
client = st.sampled_from(
    [
        *events_of("response.create", "response.cancel", "output_audio_buffer.clear", "input_audio_buffer.clear"),
        TYPED,
        detection('{"type":"semantic_vad","eagerness":"high"}'),
        detection('{"type":"server_vad","silence_duration_ms":100}'),
        detection('{"type":"semantic_vad","interrupt_response":false}'),
        detection('{"type":"server_vad","create_response":false}'),
    ]
)
around = st.one_of(
    st.builds(Line, st.sampled_from([0.0, 0.02, 0.1, 0.5])),
    st.builds(Room, st.none(), noise=st.sampled_from([None, -60.0, -55.0])),
    st.builds(Room, st.sampled_from([-40.0, -20.0]), st.sampled_from([0.04, 0.1, 0.3])),
    st.builds(Play, st.integers(1, 30).map(lambda count: noise(320 * count, -20, seed=count))),
)
"""Lost packets, noise, echoes and coughs."""
talk = st.lists(st.one_of(speech, speech, around), min_size=1, max_size=14)
anything = st.lists(st.one_of(speech, speech, client, around), min_size=1, max_size=18)
engines = st.builds(
    lambda words, written, first, each, judged: TapedEngine(
        ScriptedEngine(
            Answers(words, written),
            first_token=first,
            per_token=each,
            end_of_turn=(lambda _: judged) if judged else None,
        )
    ),
    st.integers(1, 14),
    st.sampled_from([None, "Okay.", "No.", "((noise))"]),
    st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    st.sampled_from([0.0, 0.05]),
    st.sampled_from([None, 0.02, 0.5, 0.98]),
)
voices = st.sampled_from([NumberedVoice(), NumberedVoice(first_audio=0.15)])
turns = st.sampled_from([TurnSettings(), TurnSettings(calibrated=True), TurnSettings(adaptive=False, silence=0.2)])
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
thousands = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


def check(call: Call) -> None:
    log = [event for _, event in call.caller.log]
    never_two_replies_at_once(log)
    history_equals_what_was_heard(call)
    nothing_cleared_is_played(call)
    the_client_knows_the_history(call)


def never_two_replies_at_once(log: list[events.ServerEvent]) -> None:
    """And each that is created is done once."""
    bounds = [event for event in log if isinstance(event, events.ResponseCreated | events.ResponseDone)]
    for created, done in zip(bounds[::2], bounds[1::2], strict=True):
        assert isinstance(created, events.ResponseCreated)
        assert isinstance(done, events.ResponseDone)
        assert created.response.id == done.response.id


def heard(call: Call) -> dict[int, float]:
    """Of each word, by its number, the share that was played; a frame that fades counts to the word at its full end."""
    played: Counter[int] = Counter()
    for frame in call.caller.heard:
        values, counts = np.unique(frame, return_counts=True)
        fading = np.sum(frame[frame != 0] < LOUDEST) > 0
        if fading and values[-1] >= LOUDEST:
            played[int(values[-1])] += frame.size
        else:
            played.update({int(value): int(count) for value, count in zip(values, counts, strict=True)})
    return {value - LOUDEST: count / (WORD * RATE) for value, count in played.items() if value >= LOUDEST}


def history_equals_what_was_heard(call: Call) -> None:
    """No word that was not played to its end, and at most one missing of each answer."""
    shares = heard(call)
    written = [numbers(message.text) for message in call.session.conversation.messages if message.role == "assistant"]
    assert all(shares.get(word, 0) >= 0.9 for words in written for word in words)
    whole = {word for word, share in shares.items() if share >= 0.99}
    assert len(whole - {word for words in written for word in words}) <= len(call.traces)


def told(call: Call, count: int) -> list[str]:
    """The conversation as the client knows it after so many events."""
    return history(event.model_dump(mode="json") for _, event in call.caller.log[:count])


def the_client_knows_the_history(call: Call) -> None:
    """And the session remembers the same."""
    names = {"user": "caller", "assistant": "agent"}
    said = [
        f"{names[message.role]}{': ' if message.text else ''}{message.text}{'—' if message.interrupted else ''}"
        for message in call.session.conversation.said
    ]
    assert told(call, len(call.caller.log)) == said


def the_tape_holds_the_history(call: Call, engine: TapedEngine) -> None:
    """Each answer began on a tape that held what was heard until then, and no other word; a prepared one holds a turn more."""
    times = [time for time, _ in call.caller.log]
    for time, held in engine.held:
        moments = range(bisect_left(times, time), bisect_right(times, time) + 1)
        known = ["".join(map(taped, told(call, count))) for count in moments]
        assert held in {f"\ns:Be brief.{lines}{turn}\na:" for lines in known for turn in ("", "\nu:")}


def taped(line: str) -> str:
    """A line of the history as a tape holds it, the audio left out."""
    name, _, text = line.partition(": ")
    return f"\n{'u' if name == 'caller' else 'a'}:{text}"


def words(frames: list[np.ndarray]) -> set[int]:
    """The values that fill at least half a frame; those of a fade do not."""
    return {
        int(value) for frame in frames for value in frame[160:161] if value >= LOUDEST and np.sum(frame == value) > 160
    }


def nothing_cleared_is_played(call: Call) -> None:
    """Words of an answer that was cleared do not come after."""
    for time, event in call.caller.log:
        if isinstance(event, events.OutputAudioBuffer) and event.type == "output_audio_buffer.cleared":
            [mine] = [trace for trace in call.traces if trace.response == event.response_id]
            assert mine.status in {"cancelled", "completed"}
            frame = round(time / 0.02)
            assert not words(call.caller.heard[:frame]) & words(call.caller.heard[frame:])


def every_turn_ends(call: Call) -> None:
    started = [event.item_id for _, event in call.caller.log if isinstance(event, events.SpeechStarted)]
    committed = [event.item_id for _, event in call.caller.log if isinstance(event, events.Committed)]
    assert started == committed


@given(talk, engines, voices, turns)
@quick
def test_in_conversations(script, engine, voice, turn):
    call = simulate([*script, Room(), Line(), Wait(7)], engine, voice, turn)
    check(call)
    the_tape_holds_the_history(call, engine)
    every_turn_ends(call)
    assert not call.caller.audible() or call.caller.audible()[-1][1] < call.duration


@given(anything, engines, voices, turns)
@quick
def test_whatever_the_client_sends(script, engine, voice, turn):
    call = simulate([*script, Room(), Line(), Wait(6)], engine, voice, turn)
    check(call)
    the_tape_holds_the_history(call, engine)


@given(anything, engines, voices, turns)
@quick
def test_whenever_the_caller_hangs_up(script, engine, voice, turn):
    check(simulate(script, engine, voice, turn))


def test_an_interruption_is_on_the_tape():
    """The invariants see what they are to see: an answer that was cut, told as cut, on the tape of the next one."""
    engine = TapedEngine(ScriptedEngine(Answers(12), per_token=0))
    call = simulate([Say(0.5), Wait(1.6), Say(1.0), Wait(4)], engine, NumberedVoice())
    check(call)
    the_tape_holds_the_history(call, engine)
    assert [held for _, held in engine.held][-1].endswith("\na:w0 w1 w2 w3 w4—\nu:\na:")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(anything, engines, voices, turns)
@thousands
def test_in_thousands_of_conversations(script, engine, voice, turn):
    call = simulate([*script, Room(), Line(), Wait(6)], engine, voice, turn)
    check(call)
    the_tape_holds_the_history(call, engine)
