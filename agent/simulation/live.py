"""A scenario in real time: a real server and a real caller in this process, and a WebRTC call between them over loopback.

The caller's sounds, what the room adds to them, and the client's events are the scenario's; a relay loses the packets that it says.
"""

import asyncio
import json
import pathlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Resampler, Samples
from agent.caller.peer import Caller, call
from agent.caller.relay import Faults, Path, relay
from agent.config import Settings
from agent.edge.speaker import OUTPUT_RATE
from agent.server import Server
from agent.simulation.caller import Microphone, Script
from agent.simulation.expectations import Outcome
from agent.simulation.history import history
from agent.simulation.play import cast, detector, gap, sounds_of
from agent.simulation.scenario import Scenario
from agent.stages import Stages
from agent.vad import VAD

TOLERANCE = 0.25
"""Seconds by which times may differ from those in virtual time: both ways through the network, and a machine that is busy."""

IN_FLIGHT = 0.2
"""Seconds in which the last events arrive."""

FILTER = 16
"""Samples that the resampler holds back."""


def play_live(scenario: Scenario, folder: pathlib.Path) -> Outcome:
    """Run a scenario whose sound files are in a folder. Raises ScenarioError, CallError, or ValueError when a model cannot be loaded."""
    with cast(scenario, live=True) as stages:
        return asyncio.run(_play(scenario, folder, stages, detector(scenario)))


async def _play(scenario: Scenario, folder: pathlib.Path, stages: Stages, make_vad: Callable[[], VAD]) -> Outcome:
    script = scenario.script(await sounds_of(scenario, folder))
    settings = Settings(
        host="127.0.0.1",
        port=0,
        key=None,
        instructions=scenario.instructions,
        turn=scenario.turn,
        prompts=stages.prompts,
        speculation=stages.speculation,
    )
    server = Server(settings, stages, make_vad)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run(port.set_result))
        try:
            async with relay() as network, call(f"http://127.0.0.1:{await port}", network=network) as caller:
                await caller.until(lambda: caller.events or None)
                mouth = _Mouth(script, caller, network.paths[0])
                await mouth.finished.wait()
                await asyncio.sleep(IN_FLIGHT)
        finally:
            serving.cancel()
    return _outcome(scenario, stages, caller, mouth)


class _Mouth:
    """Says a script into a call that is up."""

    def __init__(self, script: Script, caller: Caller, path: Path) -> None:
        """`path` takes the caller's packets to the server."""
        self.start: float | None = None
        """The loop's time at which the first sample was captured."""
        self.said: list[Samples] = []
        """Frames at 16 kHz."""
        self.finished = asyncio.Event()
        self._caller = caller
        self._path = path
        self._microphone = Microphone(script, lambda text: caller.send(json.loads(text)))
        self._frames = self._microphone.frames()
        self._upsample = Resampler(INPUT_RATE, OUTPUT_RATE)
        self._upsample(np.zeros(FILTER, np.int16))  # so that each frame gives a frame
        caller.mouth.room = self._pull
        caller.mouth.on_speech()

    def _pull(self, _silence: Samples | None) -> Samples | None:
        """The next 20 ms at 48 kHz; None after the end."""
        now = asyncio.get_running_loop().time()
        if self.start is None:
            self.start = now - FRAME_SECONDS
        samples = next(self._frames, None)
        if samples is None:
            self.finished.set()
            return None
        sounds = self._caller.ear.sounds
        played = sounds[-1].samples if sounds and now - sounds[-1].time < 2 * FRAME_SECONDS else np.zeros_like(samples)
        self.said.append(self._microphone.capture(samples, played))
        loss = self._microphone.line.loss
        self._path.faults = Faults(loss)
        return self._upsample(self.said[-1])


def _outcome(scenario: Scenario, stages: Stages, caller: Caller, mouth: _Mouth) -> Outcome:
    assert mouth.start is not None, "the microphone was pulled"
    start, said = mouth.start, np.concatenate(mouth.said)
    events = [(max(0.0, time - start), event) for time, event in caller.events]
    traces = [
        replace(trace, marks={name: time - start for name, time in trace.marks.items()}) for trace in stages.traces
    ]
    return Outcome(
        caller=said,
        agent=_heard(caller, start)[: said.size],
        events=events,
        traces=traces,
        history=history(event for _, event in events),
        gap=gap(scenario),
    )


def _heard(caller: Caller, start: float) -> Samples:
    """What arrived at the ear, [n] at 16 kHz, each frame in its place on the time line."""
    line: list[Samples] = []
    end = 0
    for sound in caller.ear.sounds:
        at = max(end, round((sound.time - start) * INPUT_RATE))
        if at - end <= 2 * INPUT_FRAME:
            at = end  # jitter
        if sound.time >= start:
            line += [np.zeros(at - end, np.int16), sound.samples]
            end = at + sound.samples.size
    return np.concatenate([np.zeros(0, np.int16), *line])
