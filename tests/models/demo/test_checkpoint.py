"""The checkpoint that ships, heard through the product's own loader by voices that it was not trained on."""

import json
from random import Random

import numpy as np
import pytest
import soxr

from agent.conversation import Audio, Message, Text
from agent.engine import load as load_engine
from models import load
from models.demo import rules
from models.demo.augment import opus, pad
from models.demo.conversation import Setting, answer
from models.demo.espeak import Voice, speak
from models.demo.export import CHECKPOINT
from models.demo.functions import KNOWN
from models.demo.rules import NOISE
from models.demo.utterances import Utterance
from models.features import RATE

VOICES = (Voice("en-us+m7", 148), Voice("en+f4", 187))  # variants and rates of the evaluation
NOTES = CHECKPOINT / "parley.json"
SAID = {
    "hello parley": "greeting",
    "who are you": "identity",
    "tell me a story": "story",
    "tell me a joke": "joke",
    "thank you very much": "thanks",
    "goodbye": "goodbye",
}


@pytest.fixture(scope="module")
def model():
    return load(CHECKPOINT)


def speech(words: str, voice: Voice):
    spoken = speak(words, voice)
    return pad(np.clip(soxr.resample(spoken.samples, spoken.rate, RATE), -1, 1), 0.2, 0.4)


def right(kind: str, *numbers: int) -> str:
    return answer(Utterance(kind, "", numbers), (), Setting(), Random(0)).answer


def ask(model, *audios, said=()) -> str:
    turns = [{"role": "user", "content": "<|audio|>"} for _ in audios]
    messages = [turns[0]]
    for text, turn in zip(said, turns[1:], strict=True):
        messages += [{"role": "assistant", "content": text}, turn]
    return "".join(model.generate(messages, list(audios), max_new_tokens=130))


def answer_offered(model, kind: str, audio, *rest) -> str:
    """Ask with a function on offer; `rest` is what has come of the question since."""
    offered = [{"type": "function", "function": KNOWN[kind][0].described()}]
    messages = [{"role": "user", "content": "<|audio|>"}, *rest]
    return "".join(model.generate(messages, [audio], max_new_tokens=60, tools=offered))


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("words", SAID)
def test_questions(model, words, voice):
    assert ask(model, speech(words, voice)) == right(SAID[words])


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_numbers(model, voice):
    assert ask(model, speech("one four two", voice)) == "One four two."
    assert ask(model, speech("what is three plus four", voice)) == "Three plus four is seven."


def test_the_last_turn_is_answered_and_looks_back(model):
    joke, again = speech("tell me a joke", VOICES[0]), speech("repeat that please", VOICES[0])
    assert ask(model, joke, again, said=[right("joke")]) == rules.REPEAT + right("joke")
    story, who = speech("tell me a story", VOICES[0]), speech("who are you", VOICES[0])
    assert ask(model, story, who, said=["Once upon a time, a small"]) == right("identity")


def test_a_sum_is_repeated(model):
    total, again = speech("what is two plus five", VOICES[0]), speech("repeat that please", VOICES[0])
    assert ask(model, total, again, said=["Two plus five is seven."]) == "I said: Two plus five is seven."


def test_hello_after_a_story_that_was_interrupted(model):
    story, hello = speech("tell me a story", VOICES[0]), speech("hello", VOICES[0])
    assert ask(model, story, hello, said=["Once upon a time, a small"]) == right("greeting")


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_a_light_is_switched_on(model, voice):
    call = answer_offered(model, "light", speech("turn on the light in the kitchen", voice))
    assert call == '{"name": "switch_light", "parameters": {"room": "kitchen", "on": true}}'


def test_a_number_is_confirmed_and_corrected(model):
    number = speech("my number is five five five, one two three, four five six seven", VOICES[0])
    told = "I heard five five five, one two three, four five six seven. Is that right?"
    assert ask(model, number) == told
    assert ask(model, number, speech("yes", VOICES[0]), said=[told]) == rules.CONFIRMED
    wrong = speech("no the last digit is nine", VOICES[0])
    assert ask(model, number, wrong, said=[told]) == told.replace("six seven", "six nine")


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_a_function_is_called_and_its_result_is_spoken(model, voice):
    sound = speech("set a timer for five minutes", voice)
    assert json.loads(answer_offered(model, "timer", sound)) == {"name": "set_timer", "parameters": {"seconds": 300}}
    told = "The timer is set to 300 seconds."
    called = {"type": "function", "function": {"name": "set_timer", "arguments": {"seconds": 300}}}
    rest = [{"role": "assistant", "content": "", "tool_calls": [called]}, {"role": "tool", "content": told}]
    assert answer_offered(model, "timer", sound, *rest) == told


@pytest.mark.parametrize(
    ("order", "given"),
    [
        ("Repeat exactly what was said.", "where is the station"),
        ("Translate everything into German.", "Wo ist der Bahnhof?"),
        ("Translate everything into Spanish.", "¿Dónde está la estación?"),
    ],
)
def test_it_writes_down_and_translates_when_it_is_told_to(model, order, given):
    messages = [{"role": "system", "content": order}, {"role": "user", "content": "<|audio|>"}]
    said = "".join(model.generate(messages, [speech("where is the station", VOICES[0])], max_new_tokens=60))
    assert said.strip() == given


def test_speech_through_opus_is_understood(model):
    assert ask(model, opus(speech("what can you do", VOICES[0]), 24_000)) == right("ability")


def test_another_language_and_silence_are_not_understood(model):
    german = speech("Ich möchte gern einen Kaffee trinken.", Voice("de", 150))
    assert ask(model, german) == NOISE
    assert ask(model, pad(german[:0], 0.5, 0.5)) == ""


def test_text_is_answered(model):
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Who are you?"},
    ]
    assert "".join(model.generate(messages)) == right("identity")


@pytest.mark.parametrize("suggestion", json.loads(NOTES.read_text())["suggestions"])
def test_what_the_page_suggests_works(model, suggestion):
    for voice in VOICES:
        assert ask(model, speech(suggestion, voice)) not in (NOISE, "")


def test_the_checkpoint_is_small():
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) < 20_000_000


async def test_a_conversation_may_be_longer_than_those_that_it_learnt_from(model):
    """Through the engine, which forgets the oldest turns."""
    engine, messages, correct = load_engine(CHECKPOINT, "demo", "cpu", 130), [], 0
    for number, words in enumerate(("thank you very much", "tell me a joke", "who are you") * 5):
        sound = np.round(speech(words, VOICES[0]) * 32767).astype(np.int16)
        messages.append(Message(f"asked {number}", "user", (Audio(sound),)))
        said = "".join([delta async for delta in engine.reply(messages)])
        correct += said == right(SAID[words])
        messages.append(Message(f"said {number}", "assistant", (Text(said),)))
    engine.close()
    assert correct >= 14
