"""The model calls functions: of the client, which answers them itself, and of the server, whose results are spoken."""

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.conversation import FunctionCall, FunctionOutput
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.realtime.items import FunctionCallItem, Item
from agent.realtime.tools import FunctionChoice, FunctionTool
from agent.replies.prompts import Prompts
from agent.replies.saying import ROUNDS
from agent.simulation import call
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice
from agent.stages import Ability, Stages
from agent.tools import Tool, Toolbox
from agent.tools.functions import function

WEATHER = '{"name": "weather", "parameters": {"place": "Bern"}}'
OFFER = {
    "type": "session.update",
    "session": {"tools": [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]},
}
DEAF = Ability(repeats=False)
CREATE = Send('{"type":"response.create"}')


def send(**event) -> Send:
    return Send(json.dumps(event))


class Model:
    """An engine that says the next text each time it is asked, and notes what it was asked and told of."""

    name = "model"

    def __init__(self, *texts, first_token=0.1, per_token=0.01):
        self.texts = list(texts)
        self.asked, self.options = [], []
        self._engine = ScriptedEngine(lambda messages: self.texts.pop(0), first_token, per_token)

    async def prefill(self, messages, options, usage):
        return await self._engine.prefill(messages, options, usage)

    async def reply(self, messages, options, usage):
        self.asked.append(messages)
        self.options.append(options)
        async for delta in self._engine.reply(messages, options, usage):
            yield delta


class Weather:
    """A function that takes so many seconds, and counts how it ends."""

    def __init__(self, seconds=0.0, result="grey"):
        self.seconds, self.result = seconds, result
        self.places, self.cancelled = [], 0

    async def __call__(self, arguments):
        self.places.append(arguments["place"])
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def box(self, seconds=10.0):
        function = FunctionTool(name="weather", description="Tell the weather")
        return Toolbox({"weather": Tool(function, self)}, seconds)


def simulate(script, model, weather=None, seconds=10.0, **prompts):
    toolbox = weather.box(seconds) if weather else Toolbox()
    return call.simulate(script, Stages(model, ToneVoice(), prompts=Prompts(**prompts), toolbox=toolbox, ability=DEAF))


def sent(made, *kinds):
    return [event for _, event in made.caller.log if isinstance(event, kinds)]


def names(made, since=events.ResponseCreated):
    """The types of the events from the first response on."""
    types = [event.type for _, event in made.caller.log if not isinstance(event, events.TurnTrace | events.WordsTimed)]
    return types[types.index("response.created") :]


def history(made):
    """What the conversation holds, in short."""

    def short(message):
        match message.content:
            case (FunctionCall(name=name, arguments=arguments),):
                return f"{name}({arguments})"
            case (FunctionOutput(output=output),):
                return f"= {output}"
            case _:
                return message.text

    return [short(message) for message in made.session.conversation.messages]


def done(made):
    return [event.response for event in sent(made, events.ResponseDone)]


# The client's functions.

OFFERED = Send(json.dumps(OFFER))


def test_a_call_for_the_client_has_the_events_that_clients_need():
    made = simulate([OFFERED, Say(0.5), Wait(3)], Model(WEATHER))
    deltas = len(sent(made, events.FunctionCallArgumentsDelta))
    assert names(made) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        *["response.function_call_arguments.delta"] * deltas,
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    [added] = sent(made, events.OutputItemAdded)
    [arguments] = sent(made, events.FunctionCallArgumentsDone)
    [completed] = sent(made, events.OutputItemDone)
    assert (added.item.name, added.item.arguments, added.item.status) == ("weather", "", "in_progress")
    assert "".join(event.delta for event in sent(made, events.FunctionCallArgumentsDelta)) == arguments.arguments
    assert (arguments.call_id, arguments.name) == (added.item.call_id, "weather")
    assert completed.item == added.item.model_copy(update={"status": "completed", "arguments": '{"place": "Bern"}'})
    assert done(made)[0].output == (completed.item,)
    assert done(made)[0].status == "completed"
    assert not made.caller.audible()


def test_the_clients_result_is_answered():
    prefix = [OFFERED, Say(0.5), Wait(3)]
    [arguments] = sent(simulate(prefix, Model(WEATHER)), events.FunctionCallArgumentsDone)
    item = {"type": "function_call_output", "call_id": arguments.call_id, "output": "grey"}
    model = Model(WEATHER, "It is grey.")
    made = simulate([*prefix, send(type="conversation.item.create", item=item), CREATE, Wait(4)], model)
    assert history(made)[1:] == ['weather({"place": "Bern"})', "= grey", "It is grey."]
    assert [message.role for message in model.asked[1]] == ["system", "user", "assistant", "tool"]
    assert len(made.caller.audible()) == 1


def test_words_before_a_call_are_a_message_of_their_own():
    made = simulate([OFFERED, Say(0.5), Wait(4)], Model(f"One second. {WEATHER}"))
    message, called = done(made)[0].output
    assert isinstance(message, Item)
    assert isinstance(called, FunctionCallItem)
    assert message.content[0].transcript == "One second. "
    assert [event.output_index for event in sent(made, events.OutputItemAdded)] == [0, 1]
    assert {event.output_index for event in sent(made, events.TranscriptDelta)} == {0}
    assert len(made.caller.audible()) == 1
    assert history(made)[1:] == ["One second. ", 'weather({"place": "Bern"})']


def test_several_calls():
    made = simulate([OFFERED, Say(0.5), Wait(3)], Model(f"{WEATHER}; {WEATHER.replace('Bern', 'Basel')}"))
    first, second = done(made)[0].output
    assert (first.arguments, second.arguments) == ('{"place": "Bern"}', '{"place": "Basel"}')
    assert first.call_id != second.call_id
    items = [(event.previous_item_id, event.item.id) for event in sent(made, events.ItemAdded)]
    assert [previous for previous, _ in items][1:] == [item for _, item in items][:-1]


def test_a_call_with_wrong_arguments_is_not_the_clients_to_make_and_the_model_tries_again():
    broken = WEATHER.replace('"Bern"', "Bern")
    model = Model(broken, WEATHER)
    made = simulate([OFFERED, Say(0.5), Wait(4)], model)
    assert [item.status for item in done(made)[0].output] == ["incomplete", "completed"]
    assert len(sent(made, events.FunctionCallArgumentsDone)) == 1
    [_, wrong, told, _] = history(made)
    assert wrong == 'weather({"place": Bern})'
    assert "not valid JSON" in told
    assert model.asked[1][-1].content[0].output == told.removeprefix("= ")


def test_an_unknown_function_is_never_shown_and_the_model_is_told():
    model = Model(WEATHER.replace("weather", "climate"), "I cannot tell.")
    made = simulate([OFFERED, Say(0.5), Wait(4)], model)
    assert [item.type for item in done(made)[0].output] == ["message"]
    assert not sent(made, events.FunctionCallArgumentsDelta, events.FunctionCallArgumentsDone)
    assert "there is no function 'climate'; there are: weather" in history(made)[2]
    assert history(made)[-1] == "I cannot tell."


def test_a_model_that_cannot_stop_calling_is_told_of_no_functions_in_the_end():
    model = Model(*[WEATHER.replace("weather", "climate")] * ROUNDS)
    made = simulate([OFFERED, Say(0.5), Wait(9)], model)
    assert [options.tool_choice for options in model.options] == [*["auto"] * (ROUNDS - 1), "none"]
    assert done(made)[0].status == "completed"


def test_the_choice_of_a_function_holds_for_the_first_round():
    weather, model = Weather(), Model(WEATHER, "Grey.")
    made = simulate([send(type="response.create", response={"tool_choice": "required"}), Wait(3)], model, weather)
    assert [options.tool_choice for options in model.options] == ["required", "auto"]
    assert not sent(made, events.Error)


@pytest.mark.parametrize("kind", ["session.update", "response.create"])
def test_a_function_of_the_server_can_be_chosen(kind):
    weather = Weather()
    choice = {"tool_choice": {"type": "function", "name": "weather"}}
    ask = [send(type=kind, session=choice), CREATE] if kind == "session.update" else [send(type=kind, response=choice)]
    model = Model(WEATHER, "It is grey.")
    made = simulate([*ask, Wait(3)], model, weather)
    assert [options.tool_choice for options in model.options] == [FunctionChoice(**choice["tool_choice"]), "auto"]
    assert [error for _, error in made.caller.log if isinstance(error, events.Error)] == []


def test_the_choice_of_a_function_that_is_not_there_is_refused():
    choice = {"type": "function", "name": "climate"}
    made = simulate([OFFERED, send(type="response.create", response={"tool_choice": choice}), Wait(1)], Model())
    [error] = sent(made, events.Error)
    assert "climate" in error.error.message


# The server's functions.


def test_the_servers_result_is_spoken():
    weather, model = Weather(0.2), Model(WEATHER, "It is grey.")
    made = simulate([Say(0.5), Wait(4)], model, weather)
    assert weather.places == ["Bern"]
    assert history(made)[1:] == ['weather({"place": "Bern"})', "= grey", "It is grey."]
    assert model.asked[1][2:] == tuple(made.session.conversation.messages[1:3])
    assert model.options[0].tools == weather.box().functions
    [response] = done(made)
    assert [item.type for item in response.output] == ["message"]
    assert response.usage.output_tokens == len(WEATHER.split()) + 3
    assert len(made.caller.audible()) == 1
    assert made.traces[0].status == "completed"


def test_the_client_sees_the_servers_calls_as_items_but_has_nothing_to_do():
    made = simulate([Say(0.5), Wait(4)], Model(WEATHER, "It is grey."), Weather())
    types = [event.item.type for event in sent(made, events.ItemDone)]
    assert types == ["message", "function_call", "function_call_output", "message"]
    assert not sent(made, events.FunctionCallArgumentsDelta, events.FunctionCallArgumentsDone)
    assert {event.item.type for event in sent(made, events.OutputItemAdded, events.OutputItemDone)} == {"message"}
    items = [(event.previous_item_id, event.item.id) for event in sent(made, events.ItemAdded)]
    assert [previous for previous, _ in items][1:] == [item for _, item in items][:-1]


def test_the_clients_function_goes_before_the_servers_of_the_same_name():
    weather = Weather()
    made = simulate([OFFERED, Say(0.5), Wait(3)], Model(WEATHER), weather)
    assert weather.places == []
    assert len(sent(made, events.FunctionCallArgumentsDone)) == 1


@pytest.mark.parametrize(
    ("weather", "told"),
    [
        (Weather(result=OSError("no network")), "OSError: no network"),
        (Weather(result=ValueError("no such place")), "no such place"),
        (Weather(seconds=1000), "did not answer within 2 seconds"),
    ],
)
def test_a_function_that_raises_or_hangs_is_told_to_the_model(weather, told):
    made = simulate([Say(0.5), Wait(6)], Model(WEATHER, "I cannot tell."), weather, seconds=2.0)
    assert told in history(made)[2]
    assert history(made)[-1] == "I cannot tell."
    assert done(made)[0].status == "completed"


def test_an_answer_that_is_withdrawn_calls_nothing():
    weather, model = Weather(), Model(WEATHER, WEATHER, "It is grey.", first_token=0)
    made = simulate([Say(0.5), Wait(0.4), Say(0.5), Wait(4)], model, weather)
    assert len(model.asked) == 3
    assert weather.places == ["Bern"]
    assert history(made)[1:] == ['weather({"place": "Bern"})', "= grey", "It is grey."]


def test_nothing_is_called_before_the_turn_is_over():
    weather, model = Weather(), Model(WEATHER, "It is grey.", first_token=0, per_token=0)
    made = simulate([Say(1.0), Wait(4)], model, weather)
    assert made.traces[0].hit
    [ended] = made.caller.times(events.SpeechStopped)
    assert min(time for time, event in made.caller.log if isinstance(event, events.ItemAdded)) >= ended
    assert simulate([Say(1.0), Wait(0.4)], Model(WEATHER), Weather()).session.conversation.messages == []


def test_a_call_for_the_client_waits_for_the_end_of_the_turn():
    made = simulate([OFFERED, Say(1.0), Wait(4)], Model(WEATHER, first_token=0, per_token=0))
    [ended] = made.caller.times(events.SpeechStopped)
    kinds = (events.ResponseCreated, events.OutputItemAdded, events.FunctionCallArgumentsDelta)
    assert min(time for time, event in made.caller.log if isinstance(event, kinds)) >= ended


# Fillers.


def test_a_slow_function_is_bridged_and_the_filler_is_part_of_what_was_said():
    model = Model(WEATHER, "It is grey.")
    made = simulate([Say(0.5), Wait(6)], model, Weather(3.0), filler="One moment.", filler_after=1.0)
    (first, _), (second, _) = made.caller.audible()
    assert first == pytest.approx(0.5 + 0.5 + 1.0, abs=0.25)
    assert second == pytest.approx(1.0 + 3.0, abs=0.35)
    assert history(made)[1:] == ['weather({"place": "Bern"})', "One moment.", "= grey", "It is grey."]
    assert [message.role for message in model.asked[1]] == ["system", "user", "assistant", "assistant", "tool"]
    assert [item.type for item in done(made)[0].output] == ["message", "message"]


@pytest.mark.parametrize("seconds", [0.3, 0.95])
def test_a_quick_function_needs_no_filler(seconds):
    made = simulate([Say(0.5), Wait(5)], Model(WEATHER, "Grey."), Weather(seconds), filler="One moment.")
    assert "One moment." not in history(made)
    assert len(made.caller.audible()) == 1


def test_an_answer_that_has_begun_needs_no_filler():
    model = Model(f"Let me look. {WEATHER}", "Grey.")
    made = simulate([Say(0.5), Wait(9)], model, Weather(3.0), filler="One moment.")
    assert "One moment." not in history(made)


def test_a_filler_that_is_interrupted_is_kept_as_far_as_it_was_heard():
    weather = Weather(6.0)
    script = [Say(0.5), Wait(0.5 + 1.0 + 0.8), Say(0.6), Wait(3)]
    filler = "One moment please while I look."
    made = simulate(script, Model(WEATHER, "Yes?"), weather, filler=filler, filler_after=1.0)
    said = history(made)
    heard = said[2]
    assert heard != filler
    assert filler.startswith(heard)
    assert heard.startswith("One moment")
    assert weather.cancelled == 1
    [cut] = sent(made, events.ItemTruncated)
    assert cut.item_id == made.session.conversation.messages[2].id
    assert "interrupted" in said[3]
    assert said[-1] == "Yes?"


# Interruptions.


def test_a_caller_who_speaks_while_a_function_runs_cancels_it():
    weather, model = Weather(5.0), Model(WEATHER, "Yes?")
    made = simulate([Say(0.5), Wait(1.5), Say(0.6), Wait(3)], model, weather)
    assert weather.cancelled == 1
    assert done(made)[0].status == "cancelled"
    said = history(made)
    assert said[1] == 'weather({"place": "Bern"})'
    assert "the caller interrupted" in said[2]
    assert said[-1] == "Yes?"
    assert [message.role for message in model.asked[1]][1:] == ["user", "assistant", "tool", "user"]


def test_a_call_that_is_cut_off_is_not_the_clients_to_make():
    slow = Model(WEATHER, "Yes?", first_token=1.0, per_token=0.5)
    made = simulate([OFFERED, Say(0.5), Wait(2.0), Say(0.6), Wait(4)], slow)
    assert [item.status for item in done(made)[0].output] == ["incomplete"]
    assert not sent(made, events.FunctionCallArgumentsDone)
    assert history(made)[-1] == "Yes?"
    assert not any("weather" in text for text in history(made))


def test_an_answer_after_a_call_is_cut_to_what_was_heard():
    story = " ".join(f"word{n}" for n in range(20)) + "."
    model = Model(f"Let me look. {WEATHER}", story, "Yes?", per_token=0)
    made = simulate([Say(0.5), Wait(3.0), Say(0.6), Wait(4)], model, Weather())
    said = history(made)
    assert said[1] == "Let me look. "
    assert story.startswith(said[4])
    assert 2 <= len(said[4].split()) < 19
    [cut] = sent(made, events.ItemTruncated)
    message = made.session.conversation.messages[4]
    assert cut.item_id == message.id
    assert cut.audio_end_ms == pytest.approx(250 * len(said[4].split()), abs=250)


# Noise.


def test_noise_is_not_understood():
    made = simulate([Say(0.5), Wait(4)], Model("((noise))"), not_understood="Pardon?")
    assert history(made)[1:] == ["Pardon?"]
    assert len(made.caller.audible()) == 1


def test_noise_may_go_without_an_answer():
    made = simulate([Say(0.5), Wait(4)], Model("((noise))"), not_understood="")
    assert len(history(made)) == 1
    assert done(made)[0].output == ()
    assert not made.caller.audible()


# What is said later.


def timer(*script, seconds=5.0):
    text = f'{{"name": "set_timer", "parameters": {{"seconds": {seconds}, "name": "tea"}}}}'
    toolbox = Toolbox({"set_timer": function("agent.tools.clock:set_timer")})
    return call.simulate(
        [Say(0.5), Wait(3.0), *script], Stages(Model(text, "It is set.", "Yes?"), ToneVoice(), toolbox=toolbox)
    )


def test_a_timer_tells_when_it_is_over():
    made = timer(Wait(4.0))
    assert history(made)[2:] == ["= The tea timer is set to 5 seconds.", "It is set.", "Your tea timer is over."]
    assert made.caller.audible()[-1][0] == pytest.approx(1.1 + 5.0, abs=0.2)


def test_a_timer_waits_until_neither_side_speaks():
    made = timer(Wait(2.0), Say(3.0), Wait(4.0))
    assert history(made)[-2:] == ["Yes?", "Your tea timer is over."]
    assert not sent(made, events.ItemTruncated)
    assert len(done(made)) == 3


def test_a_call_that_ends_does_not_wait_for_its_timers():
    assert timer(seconds=1000.0).duration == pytest.approx(3.5, abs=0.1)


# Whatever happens.

frames = st.integers(1, 60).map(lambda count: round(0.02 * count, 2))
steps = st.one_of(
    st.builds(Say, frames),
    st.builds(Wait, frames),
    st.builds(Wait, frames),
    st.sampled_from([CREATE, Send('{"type":"response.cancel"}'), Send('{"type":"output_audio_buffer.clear"}')]),
)
answers = st.sampled_from(
    [
        "Yes, it is so, as far as I know.",
        "((noise))",
        "",
        WEATHER,
        f"Let me look. {WEATHER}",
        f"{WEATHER}; {WEATHER}",
        f"{WEATHER} There you are.",
        WEATHER[:-9],
        WEATHER.replace("weather", "climate"),
    ]
)


@given(
    st.lists(steps, min_size=1, max_size=16),
    st.lists(answers, min_size=1, max_size=6),
    st.sampled_from([0.0, 0.3, 2.0, 90.0]),
    st.sampled_from([0.0, 0.2, 0.8]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_calls_and_results_belong_together_whatever_happens(script, texts, seconds, first_token, clients):
    weather, texts = Weather(seconds), itertools.cycle(texts)
    model = ScriptedEngine(lambda messages: next(texts), first_token, 0.02)
    toolbox = weather.box(3.0)
    begin = [OFFERED] if clients else []
    prompts = Prompts(filler="One moment.", filler_after=0.5)
    made = call.simulate(
        [*begin, *script, Wait(5)], Stages(model, ToneVoice(), prompts=prompts, toolbox=toolbox, ability=DEAF)
    )
    bounds = sent(made, events.ResponseCreated, events.ResponseDone)
    # A call that is hung up ends its responses, too.
    assert [event.type for event in bounds] == ["response.created", "response.done"] * (len(bounds) // 2)
    known = [None]
    for event in sent(made, events.ItemAdded):
        assert event.previous_item_id in known
        known.append(event.item.id)
    parts = [message.content[0] for message in made.session.conversation.said]
    calls = [part for part in parts if isinstance(part, FunctionCall)]
    answered = [part.call_id for part in parts if isinstance(part, FunctionOutput)]
    assert len(set(answered)) == len(answered)
    completed = {event.call_id for event in sent(made, events.FunctionCallArgumentsDone)}
    assert {made.call_id for made in calls} == completed | set(answered)
    assert not completed & set(answered)
    if clients:
        assert weather.places == []
    else:
        assert completed == set()
        assert len(weather.places) <= len([made for made in calls if made.name == "weather"])
    assert not any("{" in message.text or "((" in message.text for message in made.session.conversation.said)


def test_a_written_answer_calls_too_and_needs_no_filler():
    text = Send('{"type":"session.update","session":{"output_modalities":["text"]}}')
    weather, model = Weather(3.0), Model(f"Let me look. {WEATHER} Wait.", "Grey.", first_token=0, per_token=0)
    made = simulate([text, Say(0.5), Wait(6)], model, weather, filler="One moment.", filler_after=0.5)
    assert made.traces[0].hit
    assert [item.content[0].text for item in done(made)[0].output] == ["Let me look. ", "Wait.", "Grey."]
    shown = [(event.output_index, event.delta) for event in sent(made, events.TextDelta)]
    assert "".join(delta for index, delta in shown if index == 0) == "Let me look. "
    assert [index for index, _ in shown] == sorted(index for index, _ in shown)
    assert history(made)[1:] == ["Let me look. ", 'weather({"place": "Bern"})', "Wait.", "= grey", "Grey."]


# A result that comes while the words before its call are still being heard.

LONG = "Let me look that up for you now, it will take only a second or two."


def resulted(*script, after=1.0):
    """A call in which the client gives its result, and asks for what follows, so many seconds into a long preface."""
    prefix = [OFFERED, Say(0.5), Wait(0.5 + after)]
    [arguments] = sent(
        simulate([*prefix, Wait(3)], Model(f"{LONG} {WEATHER}", per_token=0)), events.FunctionCallArgumentsDone
    )
    item = {"type": "function_call_output", "call_id": arguments.call_id, "output": "grey"}
    model = Model(f"{LONG} {WEATHER}", "It is grey.", "Yes?", per_token=0)
    return simulate([*prefix, send(type="conversation.item.create", item=item), CREATE, *script], model)


def test_what_was_said_before_the_call_is_heard_to_its_end_and_the_answer_after_it():
    made = resulted(Wait(6), after=3.0)
    assert [message.interrupted for message in made.session.conversation.messages] == [False] * 5
    assert history(made)[1].strip() == LONG
    assert history(made)[-1] == "It is grey."
    assert sum(end - start for start, end in made.caller.audible()) == pytest.approx(
        0.25 * len(f"{LONG} It is grey.".split()), abs=0.1
    )
    assert [response.status for response in done(made)] == ["completed", "completed"]
    started = made.caller.times(events.OutputAudioBuffer, type="output_audio_buffer.started")
    stopped = made.caller.times(events.OutputAudioBuffer, type="output_audio_buffer.stopped")
    assert started[0] < stopped[0] <= started[1] < stopped[1]


def test_an_interruption_then_cuts_both():
    made = resulted(Wait(0.2), Say(0.6), Wait(4), after=3.0)
    said = history(made)
    assert LONG.startswith(said[1])
    assert 4 <= len(said[1].split()) < len(LONG.split())
    assert "It is grey." not in said
    assert said[-1] == "Yes?"
    assert len(made.caller.audible()) == 2
