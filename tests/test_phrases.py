"""Fixed phrases are made once; everything else is made when it is said."""

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.replies.phrases import Rehearsed
from agent.replies.prompts import Prompts
from agent.simulation.caller import Say, Wait
from agent.simulation.loop import run
from agent.simulation.sound import ToneVoice
from agent.tts import TTSError
from tests.simulation.calls import simulate

GREETING = "Hello, this is Parley, a voice that hears you. What can I do for you today?"


class Counting:
    """A slow voice that counts what it is asked for."""

    def __init__(self, voice):
        self.voice, self.name, self.rate, self.asked = voice, voice.name, voice.rate, []

    async def synthesize(self, text, speed=1.0):
        self.asked.append(text)
        async for speech in self.voice.synthesize(text):
            yield speech


def rehearsed(voice, *phrases):
    kept = Rehearsed(voice, phrases)
    run(kept.rehearse())
    return kept


def test_a_greeting_is_heard_at_once_from_a_slow_voice_and_made_for_no_call():
    slow = Counting(ToneVoice(first_audio=0.8))
    voice, prompts = rehearsed(slow, GREETING, ""), Prompts(greeting=GREETING)
    made = list(slow.asked)
    for _ in range(2):
        call = simulate([Wait(8)], ScriptedEngine(["-"]), voice, prompts=prompts)
        [(start, end)] = call.caller.audible()
        assert start <= 0.3
        assert end - start == pytest.approx(0.25 * len(GREETING.split()), abs=0.03)
        assert call.session.conversation.messages[0].text == GREETING
    assert slow.asked == made


def test_an_interrupted_greeting_is_cut_as_any_answer():
    voice = rehearsed(ToneVoice(), GREETING)
    call = simulate([Wait(1.6), Say(1.0), Wait(3)], ScriptedEngine(["Yes."]), voice, prompts=Prompts(greeting=GREETING))
    assert GREETING.startswith(call.session.conversation.messages[0].text)
    assert call.session.conversation.messages[0].interrupted


def test_other_words_are_made_when_they_are_said():
    slow = Counting(ToneVoice())
    voice = rehearsed(slow, GREETING)
    simulate([Say(0.5), Wait(3), Say(0.5), Wait(3)], ScriptedEngine(["Yes."], per_token=0), voice)
    assert slow.asked.count("Yes.") == 2


def test_a_voice_that_cannot_say_its_phrases_is_known_before_the_first_call():
    with pytest.raises(TTSError):
        rehearsed(ToneVoice(fail_after=0), GREETING)


def test_it_has_the_name_and_the_rate_of_its_voice():
    voice = Rehearsed(ToneVoice(name="slow", rate=8000), ())
    assert (voice.name, voice.rate) == ("slow", 8000)
