"""A scenario in virtual time: makes what it names (sounds, engine, voice, detector), runs the call, and gives what happened."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent import engine, tts, vad, wav
from agent.audio import INPUT_FRAME, INPUT_RATE, Samples
from agent.config import DEMO_MODEL
from agent.conversation import Message
from agent.endpointing import Judgement
from agent.engine import Engine
from agent.engine.scripted import ScriptedEngine
from agent.reply import Stages
from agent.simulation.blocking import BlockingEngine, BlockingVoice, Worker
from agent.simulation.call import Call, simulate
from agent.simulation.expectations import Outcome, lines
from agent.simulation.scenario import EngineSettings, Scenario, ScenarioError
from agent.simulation.sound import LevelVAD, ToneVoice, noise, syllables
from agent.vad import VAD

COUGH = -20.0
"""Level of a cough in dBFS: as loud as speech."""

WORD_GAP, TONE_GAP = 0.3, 0.03
"""Seconds of silence between the words of a real voice, and between tones, at most."""

LONGEST_ANSWER = 256
"""Tokens."""


def play(scenario: Scenario, folder: Path) -> Outcome:
    """Run a scenario whose sound files are in a folder. Raises ScenarioError, or ValueError when a model or voice cannot be loaded."""
    sounds = asyncio.run(sounds_of(scenario, folder))
    with cast(scenario) as stages:
        call = simulate(scenario.script(sounds), stages, scenario.turn, detector(scenario)(), scenario.instructions)
    return outcome(call, WORD_GAP if scenario.voice.name != "tones" else TONE_GAP)


def outcome(call: Call, gap: float) -> Outcome:
    """What happened in a simulated call."""
    silence = np.zeros(INPUT_FRAME, np.int16)
    said = np.concatenate([silence[:0], *call.caller.said])
    heard = np.concatenate([silence, *call.caller.heard])  # a frame is heard from when it has left
    return Outcome(
        caller=said,
        agent=heard[: said.size],
        events=[(time, event.model_dump(mode="json")) for time, event in call.caller.log],
        traces=call.traces,
        history=lines(call.session.conversation.messages),
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
        if sound.size > round(seconds * INPUT_RATE) + 1:
            raise ScenarioError(
                f"caller {number + 1} takes {sound.size / INPUT_RATE:.2f} s; from {act.start:g} s on it has {seconds:.2f} s"
            )
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
def cast(scenario: Scenario) -> Iterator[Stages]:
    """What answers. Raises ValueError when a model or a voice cannot be loaded."""
    worker = Worker()
    try:
        asked, voice = scenario.engine, scenario.voice
        yield Stages(
            engine=ScriptedEngine(
                asked.answers,
                asked.first_token,
                asked.per_token,
                asked.fail_after,
                _probabilities(asked.end_of_turn),
                asked.judging,
            )
            if asked.model == "scripted"
            else BlockingEngine(load(asked), worker, asked.first_token, asked.per_token, asked.judging),
            voice=ToneVoice(voice.first_audio, voice.word)
            if voice.name == "tones"
            else BlockingVoice(tts.load(voice.name), worker, voice.first_audio),
            speculation=scenario.speculation,
            # The demo was trained without the mark, and takes it for something else.
            prompts=replace(scenario.prompts, interrupted="") if asked.model == "demo" else scenario.prompts,
            judgement=Judgement(calibrated=scenario.turn.calibrated),
        )
    finally:
        worker.close()


def load(settings: EngineSettings) -> Engine:
    """The real model that a scenario names. Raises ValueError when it cannot be loaded."""
    model = str(DEMO_MODEL) if settings.model == "demo" else settings.model
    return engine.load(model, settings.model, "auto", LONGEST_ANSWER)


def _probabilities(listed: Sequence[float]) -> Callable[[Sequence[Message]], float] | None:
    """The engine's judgements in the order of the pauses; the last one stays."""
    if not listed:
        return None
    following = itertools.chain(listed, itertools.repeat(listed[-1]))
    return lambda _messages: next(following)
