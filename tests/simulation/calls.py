"""The shorthand of the tests: a call with a scripted engine, a voice of tones and a detector of levels."""

from agent.replies.prompts import Prompts
from agent.session import Session
from agent.simulation import call
from agent.simulation.sound import LevelVAD, ToneVoice
from agent.stages import Speculation, Stages
from agent.turns.endpointing import Experience
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnSettings


def stages_of(engine, voice=None, settings=None, speculation=None, prompts=None) -> Stages:
    """What answers."""
    return Stages(
        engine,
        voice or ToneVoice(),
        speculation or Speculation(),
        prompts=prompts or Prompts(),
        experience=Experience(calibrated=(settings or TurnSettings()).calibrated),
    )


def session_of(edge, stages, settings=None, vad=None) -> Session:
    """A session on an edge of the test's own."""
    settings = settings or TurnSettings()
    hearing = Hearing(vad or LevelVAD(), settings, stages.experience)
    return Session(edge, stages, hearing, call.opening(stages, settings, "Be brief."))


def simulate(script, engine, voice=None, settings=None, speculation=None, prompts=None) -> call.Call:
    """Run a whole call in virtual time."""
    return call.simulate(script, stages_of(engine, voice, settings, speculation, prompts), settings)
