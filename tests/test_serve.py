"""`parley serve` as a user starts it: what it says when it is ready, and one clear line when it cannot be."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.__main__ import main
from tests.models import checkpoints

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small checkpoint with random weights."""
    return str(checkpoints.write(tmp_path_factory.mktemp("model"), "whole")[0])


def start(*options):
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "serve", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_what_it_loaded_and_ends_cleanly(model, number):
    with start("--port", "0", "--model", model) as server:
        greeting = [server.stdout.readline() for _ in range(6)]
        assert re.fullmatch(r"Parley is ready on http://127\.0\.0\.1:\d+\n", greeting[0])
        assert Path(model).name in greeting[1]
        assert "en-us" in greeting[2]
        assert "agents" in greeting[3]
        assert "of its clients only" in greeting[4]
        assert "silero" in greeting[5]
        server.send_signal(number)
        assert server.wait(20) == 0
        assert "Traceback" not in server.stderr.read()


def test_the_functions_of_python_and_of_an_mcp_server_are_offered_and_let_go(model, tmp_path):
    pytest.importorskip("mcp")
    mark = tmp_path / "running"
    code = f"import runpy; open({str(mark)!r}, 'w').close(); runpy.run_path('tests/mcp_server.py', run_name='__main__'); import os; os.remove({str(mark)!r})"
    (tmp_path / "parley.toml").write_text(
        f'[tools]\nfunctions = ["agent.tools.clock:current_time"]\n[[tools.mcp]]\ncommand = [{sys.executable!r}, "-c", {code!r}]\n'
    )
    command = [sys.executable, "-m", "agent", "serve", "--port", "0", "--model", model]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        greeting = [server.stdout.readline() for _ in range(6)]
        assert "current_time, add, fail, hang, die, odd_name" in greeting[4]
        assert mark.exists()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert "Traceback" not in server.stderr.read()
    assert not mark.exists()


def test_a_function_that_is_not_there_is_told_in_one_line(model):
    with start("--port", "0", "--model", model, "--tools.functions", '["shop:order"]') as server:
        assert server.wait(60) == 2
        assert (
            server.stderr.read() == "parley serve: the function shop:order cannot be imported: No module named 'shop'\n"
        )


def test_a_port_in_use(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with start("--port", port, "--model", model) as server:
            assert server.wait(60) == 2
            said = server.stderr.read()
    assert "address already in use" in said
    assert port in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "no/such/folder/here"], "no/such/folder/here"),
        (["--host", "0.0.0.0"], "PARLEY_KEY"),
        (["--port", "70000"], "port"),
        (["--turn.silence", "-1"], "turn.silence"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("parley serve: ")
    assert says in said
    assert "\n" not in said


def test_a_voice_that_is_not_there(model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--model", model, "--voice", "no-such-voice"]) == 2
    assert "no voice 'no-such-voice'" in capsys.readouterr().err


def test_a_file_of_settings_that_is_broken(capsys, tmp_path, monkeypatch):
    (tmp_path / "parley.toml").write_text("voice = \n")
    monkeypatch.chdir(tmp_path)
    assert main(["serve"]) == 2
    assert "parley serve: " in capsys.readouterr().err


def test_the_command_line_explains_itself(capsys):
    assert main(["--help"]) == 0
    assert "serve" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["dance"]) == 2
