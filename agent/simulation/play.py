"""A scenario in virtual time: makes what it names (sounds, engine, voice, detector), runs the call, and gives what happened."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent import engine, tts, vad, wav
from agent.audio import INPUT_FRAME, INPUT_RATE, Samples
from agent.config import DEMO_MODEL
from agent.conversation import Message
from agent.engine import Engine, notes
from agent.engine.scripted import ScriptedEngine
from agent.simulation.blocking import BlockingEngine, BlockingVoice, Worker
from agent.simulation.call import Call, opening, simulate
from agent.simulation.expectations import Outcome
from agent.simulation.history import history
from agent.simulation.scenario import EngineSettings, Scenario, ScenarioError, VoiceSettings
from agent.simulation.sound import LevelVAD, ToneVoice, noise, syllables
from agent.stages import Stages
from agent.tts import TTS
from agent.turns.endpointing import Experience
from agent.vad import VAD

COUGH = -20.0
"""Level of a cough in dBFS: as loud as speech."""

WORD_GAP, TONE_GAP = 0.3, 0.05
"""Seconds of silence between the words of a real voice, and between tones, at most."""

LONGEST_ANSWER = 256
"""Tokens."""


def play(scenario: Scenario, folder: Path) -> Outcome:
    """Run a scenario whose sound files are in a folder. Raises ScenarioError, or ValueError when a model or voice cannot be loaded."""
    sounds = asyncio.run(sounds_of(scenario, folder))
    with cast(scenario) as stages:
        session = opening(stages, scenario.turn, scenario.instructions)
        call = simulate(scenario.script(sounds), stages, scenario.turn, detector(scenario)(), session)
    return outcome(call, gap(scenario))


def gap(scenario: Scenario) -> float:
    """Silences inside the agent's speech, in seconds."""
    return TONE_GAP if scenario.voice.name == "tones" else WORD_GAP


def outcome(call: Call, gap: float) -> Outcome:
    """What happened in a simulated call."""
    silence = np.zeros(INPUT_FRAME, np.int16)
    events = [(time, event.model_dump(mode="json")) for time, event in call.caller.log]
    said = np.concatenate([silence[:0], *call.caller.said])
    heard = np.concatenate([silence, *call.caller.heard])  # a frame is heard from when it has left
    return Outcome(
        caller=said,
        agent=heard[: said.size],
        events=events,
        traces=call.traces,
        history=history(event for _, event in events),
        gap=gap,
    )


async def sounds_of(scenario: Scenario, folder: Path) -> dict[int, Samples]:
    """What is heard of the caller, by the number of the act, [n] at 16 kHz. Raises ScenarioError when it cannot be made."""
    voice = None if scenario.speech == "tones" else tts.load(scenario.speech)
    sounds: dict[int, Samples] = {}
    for number, act in enumerate(scenario.caller):
        seconds = (act.to or scenario.lasts) - act.start
        if act.says:
            sound = await tts.recording(voice, act.says, INPUT_RATE) if voice else syllables(seconds)
        elif act.coughs:
            sound = noise(round(seconds * INPUT_RATE), COUGH, seed=number)
        elif act.plays:
            sound = _recorded(folder / act.plays)
        else:
            continue
        if (end := act.start + sound.size / INPUT_RATE) > scenario.lasts + 0.001:
            raise ScenarioError(f"caller {number + 1} is not over when the call is: it ends at {end:.2f} s")
        sounds[number] = sound
    return sounds


def _recorded(path: Path) -> Samples:
    try:
        return wav.read(path, INPUT_RATE)
    except wav.WAVError as error:
        raise ScenarioError(str(error)) from None


def detector(scenario: Scenario) -> Callable[[], VAD]:
    """What finds the caller's speech: levels where it is tones, Silero where it is real."""
    real = scenario.speech != "tones" or any(act.plays for act in scenario.caller)
    return vad.load("silero") if real else LevelVAD


@contextmanager
def cast(scenario: Scenario, *, live: bool = False) -> Iterator[Stages]:
    """What answers, in virtual time or `live`. Raises ValueError when a model or a voice cannot be loaded."""
    worker, settings = Worker(), scenario.turn
    known = notes.read(_checkpoint(scenario.engine))
    try:
        yield Stages(
            engine=_engine(scenario.engine, None if live else worker),
            voice=_voice(scenario.voice, None if live else worker),
            speculation=scenario.speculation,
            prompts=scenario.prompts,
            experience=Experience(calibrated=known.calibrated if settings.calibrated is None else settings.calibrated),
        )
    finally:
        worker.close()


def _engine(asked: EngineSettings, worker: Worker | None) -> Engine:
    """A scripted engine or, with a worker for virtual time, a real one."""
    if asked.model == "scripted":
        judge = _probabilities(asked.end_of_turn)
        return ScriptedEngine(asked.answers, asked.first_token, asked.per_token, asked.fail_after, judge, asked.judging)
    real = engine.load(_checkpoint(asked), asked.model, "auto", LONGEST_ANSWER)
    return BlockingEngine(real, worker, asked.first_token, asked.per_token, asked.judging) if worker else real


def _checkpoint(asked: EngineSettings) -> str:
    return str(DEMO_MODEL) if asked.model == "demo" else asked.model


def _voice(asked: VoiceSettings, worker: Worker | None) -> TTS:
    """A voice of tones or, with a worker for virtual time, a real one."""
    if asked.name == "tones":
        return ToneVoice(asked.first_audio, asked.word)
    real = tts.load(asked.name)
    return BlockingVoice(real, worker, asked.first_audio) if worker else real


def _probabilities(listed: Sequence[float]) -> Callable[[Sequence[Message]], float] | None:
    """The engine's judgements in the order of the pauses; the last one stays."""
    if not listed:
        return None
    following = itertools.chain(listed, itertools.repeat(listed[-1]))
    return lambda _messages: next(following)
