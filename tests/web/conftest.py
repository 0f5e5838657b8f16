"""What the browser tests share: browsers, one for all tests of a module, and what their fake microphones hear."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.web.browser import Browser, Page, microphone, speak, started
from tests.web.pages import silent


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing."""
    return silent(tmp_path_factory.mktemp("silence") / "silence.wav")


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silence, a question, silence, more speech, silence."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    asyncio.run(
        speak(path, [(1.2, "Who are you?"), (5, "Stop now and tell me another story about somebody else."), (3.5, "")])
    )
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def silent_browser(silence: Path) -> AsyncIterator[Browser]:
    """A browser with a microphone in a silent room."""
    async with started(microphone(silence)) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asking_browser(question: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone hears the question, from when it is opened."""
    async with started(microphone(question)) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talking_browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A browser whose microphone hears a question every two and a half seconds."""
    path = tmp_path_factory.mktemp("speech") / "again.wav"
    await speak(path, [(1.0, "Who are you?"), (0.8, "")])
    async with started(microphone(path, again=True)) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(silent_browser: Browser) -> AsyncIterator[Page]:
    """A tab of its own in the silent room."""
    async with silent_browser.tab() as tab:
        yield tab


@pytest_asyncio.fixture(loop_scope="module")
async def asking_page(asking_browser: Browser) -> AsyncIterator[Page]:
    """A tab of its own whose microphone hears the question."""
    async with asking_browser.tab() as tab:
        yield tab


@pytest_asyncio.fixture(loop_scope="module")
async def talking_page(talking_browser: Browser) -> AsyncIterator[Page]:
    """A tab of its own whose microphone hears a question again and again."""
    async with talking_browser.tab() as tab:
        yield tab
