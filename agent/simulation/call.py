"""One whole call in virtual time: a script and what answers it in, and everything that happened out."""

import asyncio
from dataclasses import dataclass

from agent.realtime.objects import AudioInput, SessionAudio, SessionObject
from agent.session import Session, turn_detection, turn_settings
from agent.simulation.caller import Caller, Script
from agent.simulation.loop import run
from agent.simulation.sound import LevelVAD
from agent.stages import Stages
from agent.traces.trace import Trace
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnSettings
from agent.vad import VAD


@dataclass(frozen=True, repr=False)
class Call:
    """A call that is over."""

    caller: Caller
    session: Session
    traces: list[Trace]
    duration: float


def simulate(
    script: Script,
    stages: Stages,
    settings: TurnSettings | None = None,
    vad: VAD | None = None,
    session: SessionObject | None = None,
) -> Call:
    """Run a whole call. Raises DeadlockError where it would hang; a bug in the call is raised as it is in real time."""
    turn = settings or TurnSettings()
    begun = session or opening(stages, turn, "Be brief.")

    async def call() -> Call:
        caller = Caller(script)
        hearing = Hearing(vad or LevelVAD(), turn, stages.experience)
        if begun.audio.input.turn_detection != turn_detection(turn):
            hearing.detect(turn_settings(begun, turn))
        session = Session(caller, stages, hearing, begun)
        await session.run()
        return Call(caller, session, list(stages.traces), asyncio.get_running_loop().time())

    return run(call())


def opening(stages: Stages, turn: TurnSettings, instructions: str) -> SessionObject:
    """What a call begins with."""
    detection = AudioInput(turn_detection=turn_detection(turn))
    return SessionObject(
        id="call", model=stages.engine.name, instructions=instructions, audio=SessionAudio(input=detection)
    )
