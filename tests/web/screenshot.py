"""Take the README's picture: a real conversation with a running server, spoken by espeak-ng into the page's microphone.

python -m tests.web.screenshot http://127.0.0.1:8080 docs/screenshot.png
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.web.browser import chromium, microphone, speak

SPOKEN = ((1, "Who are you?"), (8, "Tell me a story."), (6, "What is three plus four?"), (30, ""))
"""Seconds of silence, then words: the third interrupts the story."""


async def take(url: str, folder: Path) -> bytes:
    """The PNG, taken while the third answer is spoken."""
    wav = folder / "microphone.wav"
    await speak(wav, SPOKEN)
    async with chromium(microphone(wav)) as page:
        await page.command(
            "Emulation.setDeviceMetricsOverride", width=1080, height=760, deviceScaleFactor=2, mobile=False
        )
        await page.open(url)
        await page.until("document.querySelector('#suggestions button') !== null")
        await page.run("document.querySelector('#call').click()")
        await page.until(
            "document.querySelectorAll('.agent.turn').length === 3 && document.body.dataset.phase === 'speaking'", 60
        )
        await asyncio.sleep(0.7)
        return await page.screenshot()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        Path(sys.argv[2]).write_bytes(asyncio.run(take(sys.argv[1], Path(made))))
