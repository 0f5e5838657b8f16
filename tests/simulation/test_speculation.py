"""An answer is prepared at the caller's first pause and held: nothing of it leaves before the turn is over."""

import pytest

from agent.conversation import Audio
from agent.engine import Prefill
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.call import Call
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice
from agent.stages import Speculation
from agent.turns.turn import TurnSettings
from tests.simulation.calls import simulate

SLOW_ENGINE = ScriptedEngine(["One moment, please, and here it is."], first_token=0.2, per_token=0)
SLOW_VOICE = ToneVoice(first_audio=0.1)
OFF = Speculation(tries=0)


class Listener:
    """An engine that notes what it is asked, and when; answers as another does."""

    name = "listener"

    def __init__(self, engine=SLOW_ENGINE):
        self.engine = engine
        self.asked = []
        self.stopped = 0

    async def prefill(self, messages, *options) -> Prefill:
        return await self.engine.prefill(messages, *options)

    async def reply(self, messages, *options):
        self.asked.append(tuple(messages))
        try:
            async for delta in self.engine.reply(messages, *options):
                yield delta
        except GeneratorExit:
            self.stopped += 1
            raise


def of_a_response(call: Call) -> list[float]:
    kinds = (events.ResponseCreated, events.TranscriptDelta, events.ResponseDone, events.OutputAudioBuffer)
    return [time for time, event in call.caller.log if isinstance(event, kinds)]


def test_the_engine_and_the_voice_are_hidden_behind_the_wait():
    call = simulate([Say(1.0), Wait(4)], SLOW_ENGINE, SLOW_VOICE)
    marks = call.traces[0].milliseconds()
    assert marks["turn_ended"] <= marks["playout_started"] <= marks["turn_ended"] + 40
    assert marks["first_audio"] < marks["turn_ended"]
    without = simulate([Say(1.0), Wait(4)], SLOW_ENGINE, SLOW_VOICE, speculation=OFF).traces[0].milliseconds()
    assert without["playout_started"] >= without["turn_ended"] + 300


def test_the_trace_counts_tries_and_tells_what_was_saved():
    [trace] = simulate([Say(1.0), Wait(4)], SLOW_ENGINE, SLOW_VOICE).traces
    assert (trace.tries, trace.hit) == (1, True)
    assert trace.saved_ms == pytest.approx(300, abs=1)
    [trace] = simulate([Say(1.0), Wait(4)], SLOW_ENGINE, SLOW_VOICE, speculation=OFF).traces
    assert (trace.tries, trace.hit, trace.saved_ms) == (0, False, 0)


def test_what_is_not_ready_when_the_turn_ends_comes_as_soon_as_it_is():
    [trace] = simulate([Say(1.0), Wait(4)], ScriptedEngine(["Yes."], first_token=0.6)).traces
    marks = trace.milliseconds()
    assert marks["first_token"] == pytest.approx(1000 * TurnSettings().pause + 600, abs=25)
    assert marks["playout_started"] <= marks["first_token"] + 40
    assert trace.saved_ms == pytest.approx(500 - 1000 * TurnSettings().pause, abs=25)


def test_nothing_leaves_before_the_turn_is_over():
    call = simulate([Say(1.0), Wait(4)], ScriptedEngine(["At once."], first_token=0, per_token=0))
    assert min(of_a_response(call)) >= 1.5
    assert call.caller.audible()[0][0] >= 1.5
    [committed] = call.caller.times(events.Committed)
    assert committed <= min(of_a_response(call))


def test_a_caller_who_goes_on_withdraws_it():
    engine = Listener(ScriptedEngine(lambda messages: "Words. " * 30, first_token=0.05))
    call = simulate([Say(0.5), Wait(0.3), Say(0.5), Wait(9)], engine)
    assert len(engine.asked) == 2
    assert engine.stopped == 1
    assert len(call.caller.times(events.ResponseCreated)) == 1
    assert [message.role for message in call.session.conversation.messages] == ["user", "assistant"]
    [trace] = call.traces
    assert (trace.tries, trace.hit) == (2, True)
    assert len(call.caller.audible()) == 1


def test_a_turn_has_so_many_tries():
    stutter = [step for _ in range(6) for step in (Say(0.4), Wait(0.3))]
    engine = Listener()
    call = simulate([*stutter, Wait(4)], engine, speculation=Speculation(tries=2))
    assert len(engine.asked) == 3  # two tries, and the answer when the turn was over
    [trace] = call.traces
    assert (trace.tries, trace.hit) == (2, False)


def test_the_tries_count_again_in_the_next_turn():
    call = simulate([Say(0.5), Wait(3), Say(0.5), Wait(3)], SLOW_ENGINE, speculation=Speculation(tries=1))
    assert [trace.hit for trace in call.traces] == [True, True]


def test_the_engine_heard_what_the_history_holds():
    engine = Listener()
    call = simulate([Say(0.5), Wait(4)], engine)
    [(_, asked)] = engine.asked
    user = call.session.conversation.messages[0]
    assert asked == user
    assert isinstance(user.content[0], Audio)


@pytest.mark.parametrize(
    "meanwhile",
    [
        '{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"Wait"}]}}',
        '{"type":"session.update","session":{"instructions":"Speak like a pirate."}}',
    ],
)
def test_an_answer_to_another_conversation_is_not_used(meanwhile):
    engine = Listener()
    call = simulate([Say(0.5), Wait(0.3), Send(meanwhile), Wait(4)], engine)
    [trace] = call.traces
    assert not trace.hit
    assert len(engine.asked) == 2
    system, *messages = engine.asked[-1]
    assert messages == call.session.conversation.messages[:-1]
    assert system.text == ("Speak like a pirate." if "pirate" in meanwhile else "Be brief.")


def test_a_busy_engine_is_left_to_those_whose_turn_is_over():
    call = simulate([Say(0.5), Wait(4)], SLOW_ENGINE, speculation=Speculation(busy=0))
    [trace] = call.traces
    assert (trace.tries, trace.status) == (0, "completed")


def test_an_answer_that_is_asked_for_by_hand_is_not_prepared():
    off = '{"type":"session.update","session":{"audio":{"input":{"turn_detection":{"type":"server_vad","create_response":false}}}}}'
    engine = Listener()
    call = simulate([Send(off), Say(0.5), Wait(2)], engine)
    assert engine.asked == []
    assert not call.caller.times(events.ResponseCreated)


def test_hanging_up_in_the_pause_leaves_nothing():
    call = simulate([Say(0.5), Wait(0.3)], Listener())
    assert call.session.conversation.messages == []
    assert call.traces == []


def test_a_failure_is_told_when_the_turn_is_over():
    call = simulate([Say(0.5), Wait(2)], ScriptedEngine(["Never."], first_token=0, fail_after=0))
    [(time, done)] = [(time, event) for time, event in call.caller.log if isinstance(event, events.ResponseDone)]
    assert time >= 1.0
    assert done.response.status == "failed"
