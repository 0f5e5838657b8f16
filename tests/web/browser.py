"""A headless Chromium with a fake microphone, driven over the DevTools protocol by aiohttp's WebSocket client.

Takes a WAV file that the microphone plays once, gives a `Page` that runs JavaScript. Nothing it does leaves the
machine: names do not resolve, and the page is served from loopback.
"""

# ruff: noqa: ASYNC240  another process is waited for, and tells by a file

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from agent import tts, wav

MICROPHONE_RATE = 48_000

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ELSEWHERE = "parley.test"
"""This machine by a name that browsers do not take for it: a page from there is from another machine to them, without HTTPS."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # containers have no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-port=0",
)


async def speak(path: Path, script: Sequence[tuple[float, str]]) -> None:
    """Write what the fake microphone hears: of each entry, seconds of silence and then words. 48 kHz mono."""
    voice = tts.load("en-us")
    parts = []
    for silence, words in script:
        parts.append(np.zeros(round(silence * MICROPHONE_RATE), np.int16))
        if words:
            parts.append(await tts.recording(voice, words, MICROPHONE_RATE))
    wav.write(path, np.concatenate(parts), MICROPHONE_RATE)


def microphone(file: Path, *, again: bool = False) -> tuple[str, ...]:
    """Flags for a microphone that is allowed without asking and plays `file` from when it is opened, once or again and again."""
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}{'' if again else '%noloop'}",
    )


NO_MICROPHONE = ("--use-fake-ui-for-media-stream",)  # asking is allowed, but the machine has none
DENIED = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")


class Page:
    """One tab. Raises AssertionError when the page's JavaScript throws, TimeoutError when something never comes true."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, context: str = "") -> None:
        """`context` is whose storage it shares."""
        self.context = context
        self._socket = socket
        self._id = 0
        self.errors: list[str] = []

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result; exceptions and console errors seen meanwhile go to `errors`."""
        self._id += 1
        await self._socket.send_json({"id": self._id, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._id:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"]["exception"]["description"])
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.errors.append(message["params"]["entry"]["text"])

    async def open(self, url: str) -> None:
        """Load a page and wait until its scripts have run."""
        await self.command("Runtime.enable")
        await self.command("Log.enable")
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def reload(self) -> None:
        """Load the page anew, as its reader would, and wait until its scripts have run."""
        await self.run("window.left = true")
        await self.command("Page.reload")
        await self.until("!window.left && document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        reply = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    async def until(self, script: str, seconds: float = 20) -> Any:
        """Wait until an expression is truthy, and give its value."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := await self.run(script)):
                    await asyncio.sleep(0.05)
                return value
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise TimeoutError(f"never true: {script}\npage: {text}\nerrors: {self.errors}") from None

    async def screenshot(self) -> bytes:
        """The visible part of the page, as PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot"))["data"])


class Browser:
    """A running Chromium."""

    def __init__(self, address: str, http: aiohttp.ClientSession, control: Page) -> None:
        self._address, self._http, self._control = address, http, control

    @asynccontextmanager
    async def tab(self, beside: Page | None = None) -> AsyncIterator[Page]:
        """An empty tab, gone at the end, with storage of its own, or that of another one beside it."""
        context = (
            beside.context
            if beside
            else (await self._control.command("Target.createBrowserContext"))["browserContextId"]
        )
        created = await self._control.command("Target.createTarget", url="about:blank", browserContextId=context)
        try:
            url = f"ws://{self._address}/devtools/page/{created['targetId']}"
            async with self._http.ws_connect(url, max_msg_size=0) as socket:
                yield Page(socket, context)
        finally:
            if beside:
                await self._control.command("Target.closeTarget", targetId=created["targetId"])
            else:
                await self._control.command("Target.disposeBrowserContext", browserContextId=context)


@asynccontextmanager
async def started(flags: Sequence[str]) -> AsyncIterator[Browser]:
    """Start Chromium; ends with it and its profile gone."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            "about:blank",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            address = await _devtools(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as http:
                about = await (await http.get(f"http://{address}/json/version")).json()
                async with http.ws_connect(about["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Browser(address, http, Page(socket))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@asynccontextmanager
async def chromium(flags: Sequence[str]) -> AsyncIterator[Page]:
    """Start Chromium for one tab."""
    async with started(flags) as browser, browser.tab() as page:
        yield page


async def _devtools(file: Path) -> str:
    """Chromium writes the port that it chose as the first line of this file."""
    async with asyncio.timeout(20):
        while not (file.exists() and (lines := file.read_text().split())):
            await asyncio.sleep(0.05)
        return f"127.0.0.1:{lines[0]}"
