"""The shorthand of the tests: a call with a scripted engine, a voice of tones and a detector of levels."""

from agent.endpointing import Judgement
from agent.prompts import Prompts
from agent.reply import Speculation, Stages
from agent.simulation import call
from agent.simulation.sound import ToneVoice
from agent.turn import TurnSettings


def simulate(script, engine, voice=None, settings=None, speculation=None, prompts=None) -> call.Call:
    """Run a whole call in virtual time."""
    settings = settings or TurnSettings()
    judgement = Judgement(calibrated=settings.calibrated)
    stages = Stages(
        engine,
        voice or ToneVoice(),
        speculation or Speculation(),
        prompts=prompts or Prompts(),
        judgement=judgement,
    )
    return call.simulate(script, stages, settings)
