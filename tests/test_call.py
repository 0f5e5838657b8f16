"""`parley call` against a running server with a scripted engine: real calls over loopback, and everything that can go wrong."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from aiohttp import web

from agent.caller.command import main
from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.server import Server
from agent.simulation.sound import LevelVAD, ToneVoice
from agent.stages import Stages
from agent.turns.turn import TurnSettings

WORDS = ("Hello there.", "It is seven.")


@contextmanager
def serving(coroutine) -> Iterator[None]:
    """Run a server on a thread of its own, as `parley call` runs a loop of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)

    def run() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


@contextmanager
def agent_server(engine: ScriptedEngine) -> Iterator[str]:
    """The real server; gives its URL."""
    settings = Settings(port=0, turn=TurnSettings(silence=0.2))
    ready, ports = threading.Event(), []
    server = Server(settings, Stages(engine, ToneVoice()), LevelVAD)

    def started(port: int) -> None:
        ports.append(port)
        ready.set()

    with serving(server.run(started)):
        assert ready.wait(10)
        yield f"http://127.0.0.1:{ports[0]}"


@pytest.fixture
def question(tmp_path) -> Path:
    """A tone between silences, stereo at an unusual rate."""
    rate = 44_100
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
    mono = np.concatenate([np.zeros(rate // 10), tone, np.zeros(rate // 5)])
    path = tmp_path / "question.wav"
    soundfile.write(path, np.stack([mono, mono], axis=1), rate, subtype="PCM_24")
    return path


def test_two_questions_are_asked_and_their_answers_heard(question, tmp_path, capsys):
    out = tmp_path / "reply.wav"
    with agent_server(ScriptedEngine(WORDS, first_token=0.05)) as url:
        status = main(
            ["--server", url, "--audio", str(question), "--audio", str(question), "--out", str(out), "--json"]
        )
    assert status == 0
    turns = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [turn["transcript"] for turn in turns] == list(WORDS)
    for turn, words in zip(turns, (2, 3), strict=True):
        assert turn.keys() == {"transcript", "marks", "v2v_ms", "audio_ms"}
        assert turn["marks"]["speech_stopped"] == pytest.approx(turn["marks"]["spoken"], abs=60), (
            "a window, and the way"
        )
        assert turn["marks"]["playout_started"] < turn["v2v_ms"]
        assert turn["v2v_ms"] > 200, "the silence that ends a turn comes first"
        assert turn["audio_ms"] > 250 * words - 10, "all of it was heard; a busy server may put pauses into it"
    heard, rate = soundfile.read(out)
    assert rate == 16_000
    audible = np.abs(heard) > 0.005
    assert audible.sum() / 16_000 == pytest.approx(5 * 0.25, abs=0.02), "neither more nor less than was said"
    assert np.flatnonzero(audible)[0] / 16_000 > 0.6, "the question and its silence come first"


def test_people_get_words_and_one_line_of_latencies(question, capsys):
    with agent_server(ScriptedEngine(WORDS)) as url:
        assert main(["--server", url, "--audio", str(question)]) == 0
    words, latencies = capsys.readouterr().out.splitlines()
    assert words == "question.wav: Hello there."
    assert "voice to voice" in latencies
    assert "playout_started" in latencies


def test_no_answer_in_time_is_exit_1(question, capsys):
    with agent_server(ScriptedEngine(WORDS, first_token=60)) as url:
        assert main(["--server", url, "--audio", str(question), "--timeout", "1"]) == 1
    assert "no audible answer within 1 s" in capsys.readouterr().err


def test_a_failed_answer_is_exit_1_and_says_why(question, capsys):
    with agent_server(ScriptedEngine(WORDS, fail_after=0)) as url:
        assert main(["--server", url, "--audio", str(question)]) == 1
    assert "scripted failure" in capsys.readouterr().err


def write_text(path: Path) -> None:
    path.write_text("no sound")


def write_nothing(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16_000)


def write_silence(path: Path) -> None:
    soundfile.write(path, 0.001 * np.ones(16_000), 16_000)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file"),
        (write_text, "not a WAV file"),
        (write_nothing, "no samples"),
        (write_silence, "nothing audible"),
    ],
)
def test_audio_that_cannot_be_said_is_exit_2_before_any_call(tmp_path, capsys, make, reason):
    path = tmp_path / "question.wav"
    make(path)
    assert main(["--server", "http://127.0.0.1:9", "--audio", str(path)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert str(path) in error
    assert error.count("\n") == 1


def test_a_server_that_is_not_there_is_exit_2(question, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main(["--server", url, "--audio", str(question)]) == 2
    assert f"cannot reach {url}" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1", "ftp://127.0.0.1", "http://", ""])
def test_an_address_that_is_none_is_exit_2(question, capsys, url):
    assert main(["--server", url, "--audio", str(question)]) == 2
    assert capsys.readouterr().err.startswith("parley call: ")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (web.json_response({"error": {"message": "The server is full."}}, status=503), "The server is full."),
        (web.Response(text="<html>", status=404), "404 Not Found"),
        (web.Response(text="no SDP", status=201), "no SDP answer"),
    ],
    ids=["refusal", "another server", "nonsense"],
)
def test_a_refusal_is_exit_2_and_shows_the_servers_words(question, capsys, response, reason):
    ready, ports = threading.Event(), []

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(body=response.body, status=response.status, content_type=response.content_type)

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/realtime/calls", refuse)
        runner = web.AppRunner(app, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    with serving(serve()):
        assert ready.wait(10)
        assert main(["--server", f"http://127.0.0.1:{ports[0]}", "--audio", str(question)]) == 2
    assert reason in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_told_before_the_call(question, tmp_path, capsys):
    assert main(["--audio", str(question), "--out", str(tmp_path / "missing" / "reply.wav")]) == 2
    assert "reply.wav" in capsys.readouterr().err
