"""Functions that the demo model can call when they are offered: what is said, the call, and what is said of its result.

Calls are written as Llama 3.1 writes them: `{"name": ..., "parameters": {...}}`. A function may be offered under any of the forms
listed here, among others that the model does not know; without it the model says that it cannot.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from models.demo.rules import NUMBERS


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it is offered: its name and the names of its parameters."""

    name: str
    parameters: tuple[str, ...] = ()

    def described(self) -> dict[str, object]:
        """Describe it as the chat template is given it."""
        properties = {name: {"type": "string"} for name in self.parameters}
        return {"name": self.name, "parameters": {"type": "object", "properties": properties}}


KNOWN = {  # by kind of utterance
    "time": (Function("current_time", ("time_zone",)), Function("current_time"), Function("get_time")),
    "date": (Function("current_date", ("time_zone",)), Function("current_date"), Function("get_date")),
    "timer": (Function("set_timer", ("seconds", "name")), Function("set_timer", ("minutes",))),
    "light": (Function("switch_light", ("room", "on")), Function("set_light", ("room", "on"))),
}
OTHERS = (
    Function("get_weather", ("city",)),
    Function("send_message", ("to", "text")),
    Function("transfer_call", ("to",)),
    Function("hang_up"),
    Function("search", ("query",)),
    Function("play_music", ("title",)),
    Function("open_door", ("door",)),
    Function("book_table", ("people", "time")),
)
ASKS = {
    "time": (
        "(what time is it|what's the time|what is the time)( now| right now| please|)",
        "(tell me|can you tell me|could you tell me|do you know|do you have) (the|what) time( it is|)( please|)",
        "how late is it( now|)",
    ),
    "date": (
        "(what day|what date) is (it|today)( today|)",
        "(what is|what's) (the date|today's date|the day)( today|)( please|)",
        "(tell me|can you tell me|do you know) (the date|what day it is|today's date)( please|)",
        "which day is (it|today)",
    ),
    "timer": (
        "(please |)(set|start) (a|the|my) timer (for|of|to) {n} (minutes|minute)( please|)",
        "(can|could|would|will) you (please |)(set|start) a timer (for|of) {n} (minutes|minute)",
        "(a |)timer (for |of |){n} (minutes|minute)( please|)",
        "(set|start|make) a {n} (minutes|minute) timer( please|)",
        "(wake|remind|call) me in {n} (minutes|minute)",
    ),
    "light": (
        "(please |)(turn|switch) {on} the (light|lights|lamp) in the {room}( please|)",
        "(please |)(turn|switch) {on} the {room} (light|lights|lamp)( please|)",
        "(please |)(turn|switch) the (light|lights|lamp) in the {room} {on}( please|)",
        "(please |)(turn|switch) the {room} (light|lights|lamp) {on}( please|)",
        "(can|could|would|will) you (please |)(turn|switch) {on} the (light|lights) in the {room}",
        "(lights|light) {on} in the {room}( please|)",
    ),
}
ROOMS = ("kitchen", "bathroom", "bedroom", "living room", "hall", "office", "garage", "garden", "cellar", "dining room")
RECALLS = {
    "time": "You asked for the time.",
    "date": "You asked for the date.",
    "timer": "You asked for a timer.",
    "light": "You asked me to switch a light.",
}
MISSING = "I have no function for that in this call."
FAILED = "Sorry, that did not work."
DONE = "Okay, that is done."

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ZONES = ("CET", "UTC", "CEST", "EST", "GMT", "PST")


def offer(kinds: Sequence[str], rng: Random, missing: float = 0.1) -> tuple[Function, ...]:
    """Draw what is offered: mostly what is asked for, and others beside it."""
    wanted = {kind for kind in kinds if kind in KNOWN and rng.random() >= missing}
    wanted |= {kind for kind in KNOWN if rng.random() < 0.3}
    functions = [rng.choice(KNOWN[kind]) for kind in sorted(wanted)]
    functions += rng.sample(OTHERS, rng.choice((0, 0, 1, 2)))
    rng.shuffle(functions)
    return tuple(functions)


def find(kind: str, offered: Sequence[Function]) -> Function | None:
    """Give the function that does what is asked for, if it is offered."""
    names = {function.name for function in KNOWN[kind]}
    return next((function for function in offered if function.name in names), None)


def write_call(function: Function, numbers: Sequence[int], value: str) -> str:
    """Write a call: `numbers` are a timer's minutes, or 1 for a light that is switched on; `value` names its room."""
    parameters: dict[str, object] = {}
    if "seconds" in function.parameters:
        parameters = {"seconds": 60 * numbers[0]}
    elif "minutes" in function.parameters:
        parameters = {"minutes": numbers[0]}
    elif "room" in function.parameters:
        parameters = {"room": value, "on": bool(numbers[0])}
    return json.dumps({"name": function.name, "parameters": parameters})


def draw_result(kind: str, numbers: Sequence[int], value: str, rng: Random) -> tuple[str, str]:
    """Draw what a call may give, and what is said of it."""
    if rng.random() < 0.08:
        return json.dumps(
            {"error": rng.choice(("timeout", "not available", "no such room", "it took too long"))}
        ), FAILED
    if kind == "time":
        time = f"{rng.randrange(24):02}:{rng.randrange(60):02}"
        return time + rng.choice(("", f", {rng.choice(_ZONES)}")), f"It is {time}."
    if kind == "date":
        date = f"{rng.choice(_DAYS)}, {rng.randint(1, 31):02} {rng.choice(_MONTHS)} {rng.randint(2024, 2035)}"
        return date, f"Today is {date}."
    if rng.random() < 0.3:
        return rng.choice(('{"ok": true}', "ok", "done", '{"success": true}')), DONE
    if kind == "timer":
        told = f"The timer is set to {60 * numbers[0]} seconds."
    else:
        told = f"The {value} light is {'on' if numbers[0] else 'off'}."
    return told, told


def fill(ask: str, kind: str, rng: Random) -> tuple[str, tuple[int, ...], str]:
    """Draw what a wording leaves open; gives the words, the numbers and the room among them."""
    if kind == "timer":
        minutes = rng.randint(1, len(NUMBERS) - 1)
        return ask.replace("{n}", NUMBERS[minutes]), (minutes,), ""
    if kind == "light":
        room, on = rng.choice(ROOMS), rng.randrange(2)
        return ask.replace("{room}", room).replace("{on}", ("off", "on")[on]), (on,), room
    return ask, (), ""
