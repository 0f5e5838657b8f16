"""`parley serve`: read the settings, load what they name, and run the server until a signal."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from agent import agents, engine, tools, tts, vad
from agent.agents import Agent, AgentError
from agent.config import DEMO_MODEL, Settings
from agent.engine import notes
from agent.replies.phrases import Rehearsed
from agent.server import Server
from agent.stages import Stages
from agent.tools import NO_TOOLS, Toolbox
from agent.traces import logs
from agent.traces.trace import Trace
from agent.turns.endpointing import Experience


def main(argv: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0, or 2 with one clear message when the settings or what they name are wrong."""
    try:
        settings = Settings(_cli_parse_args=list(argv), _cli_prog_name="parley serve")
        logs.begin(settings.log)
        asyncio.run(_serve(settings))
    except ValidationError as error:
        for finding in error.errors(include_url=False, include_input=False):
            where = ".".join(map(str, finding["loc"]))
            print(
                f"parley serve: {where + ': ' if where else ''}{finding['msg'].removeprefix('Value error, ')}",
                file=sys.stderr,
            )
        return 2
    except (ValueError, OSError, tts.TTSError) as error:
        print(f"parley serve: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    async with tools.load(settings.tools) as toolbox:
        server = load(settings, toolbox)
        for voice in (server.stages.voice, *server.voices.values()):
            if isinstance(voice, Rehearsed):
                await voice.rehearse()
        await _run(server)


async def _run(server: Server) -> None:
    """Run until a signal."""
    serving = asyncio.current_task()
    assert serving is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await server.run(lambda port: print(_greeting(server, port), flush=True))
    except asyncio.CancelledError:
        serving.uncancel()  # it was asked for, and is over


def load(settings: Settings, toolbox: Toolbox = NO_TOOLS) -> Server:
    """Load the engine, the voice and the detector that the settings name. Raises ValueError, OSError or TTSError."""
    model = str(DEMO_MODEL) if settings.model == "demo" else settings.model
    known, prompts = notes.read(model), settings.prompts
    calibrated = known.calibrated if settings.turn.calibrated is None else settings.turn.calibrated
    chosen = agents.load(settings.agents, toolbox.tools)
    fixed = (prompts.greeting, prompts.idle, prompts.filler, prompts.not_understood)
    stages = Stages(
        engine=engine.load(
            model, Path(settings.model).name, settings.device, settings.max_new_tokens, settings.quantize
        ),
        voice=Rehearsed(tts.load(settings.voice), (*fixed, *greetings(chosen, ""))),
        speculation=settings.speculation,
        prompts=prompts,
        experience=Experience(calibrated=calibrated),
        toolbox=toolbox,
    )
    if settings.otlp_endpoint:
        stages.traces.on_end.append(_spans(settings.otlp_endpoint))
    others = {
        name: Rehearsed(voice, (*fixed, *greetings(chosen, name)))
        for name, voice in voices(chosen, settings.agents).items()
    }
    return Server(settings, stages, vad.load(settings.vad), known.suggestions, chosen, others)


def _spans(endpoint: str) -> Callable[[Trace], None]:
    """What sends turns to an OTLP endpoint. Raises ValueError without the extra."""
    try:
        from agent.traces.spans import export
    except ImportError as error:
        raise ValueError("otlp_endpoint needs OpenTelemetry: pip install 'parley[otel]'") from error
    return export(endpoint)


def voices(chosen: Mapping[str, Agent], folder: Path) -> dict[str, tts.TTS]:
    """The voices of agents, as they name them. Raises AgentError with the file of one that there is not."""
    loaded: dict[str, tts.TTS] = {}
    for agent in chosen.values():
        try:
            if agent.voice and agent.voice not in loaded:
                loaded[agent.voice] = tts.load(agent.voice)
        except (ValueError, tts.TTSError) as error:
            raise AgentError(f"{folder / agent.id}.toml: voice: {error}") from None
    return loaded


def greetings(chosen: Mapping[str, Agent], voice: str) -> tuple[str, ...]:
    """What the agents of a voice say when a call begins; nothing for a voice: the server's own."""
    return tuple(agent.greeting for agent in chosen.values() if agent.voice == voice)


def _greeting(server: Server, port: int) -> str:
    """Where the server is and what it loaded."""
    settings, stages = server.settings, server.stages
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return (
        f"Parley is ready on http://{host}:{port}\n"
        f"  hears and answers  {stages.engine.name}\n"
        f"  speaks             {stages.voice.name}\n"
        f"  agents             {', '.join(f'{agent.name} ({agent.number})' for agent in server.agents.values()) or 'none'}\n"
        f"  calls functions    {', '.join(stages.toolbox.tools) or 'of its clients only'}\n"
        f"  finds turns        {settings.vad}, after {'about ' if settings.turn.adaptive else ''}{settings.turn.silence:g} s of silence"
        + (
            "\n  wants its key      as a Bearer token; the page takes it as #key=… in its address"
            if settings.key
            else ""
        )
        + (f"\n  records            every call, in {settings.record}" if settings.record else "")
    )
