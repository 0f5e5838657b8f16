"""What the fake microphones of the browser tests hear."""

import asyncio
from pathlib import Path

import pytest

from tests.web.browser import speak
from tests.web.pages import silent


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing."""
    return silent(tmp_path_factory.mktemp("silence") / "silence.wav")


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silence, a question, silence, more speech, silence."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    asyncio.run(speak(path, [(1.5, "Who are you?"), (5, "Stop now, please stop."), (3.5, "")]))
    return path
