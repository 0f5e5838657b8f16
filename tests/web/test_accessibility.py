"""Every page in its main states: axe-core finds nothing serious, the keyboard reaches everything, and nothing has to move."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.web.browser import Page
from tests.web.pages import BROWSER, opened, serving
from tests.web.turns import ROWS, count, made_up

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = BROWSER

needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm ci in tests/web)")

FINDINGS = """axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target, any }) => `${id}: ${target} ${any[0]?.message ?? ''}`)))"""

CALL = "document.querySelector('#call').click()"
STORY = "Once upon a time there was a small boat. " * 8


async def media(page: Page, **features: str) -> None:
    """Show the page as to those with such preferences."""
    named = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
    await page.command("Emulation.setEmulatedMedia", features=named)


async def clear(page: Page, state: str) -> None:
    """Whether axe-core holds nothing against the page as it is now, light and dark, wide and narrow."""
    if not await page.run("'axe' in window"):
        await page.run(AXE.read_text() + "; true")
    for scheme, width in (("light", 1200), ("dark", 390)):
        await media(page, color_scheme=scheme, reduced_motion="reduce")  # colours that fade are judged as they will be
        await page.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=False
        )
        assert await page.run(FINDINGS) == [], f"{state}, {scheme}"


@needs_axe
async def test_the_voice_chat(page: Page):
    async with serving(STORY, "Yes.") as (server, url):
        await opened(page, url)
        await clear(page, "at rest")
        await page.run("document.querySelector('#open').click()")
        await clear(page, "settings")
        await page.run("document.querySelector('#settings [name=push][value=true]').click()")
        await page.run("document.querySelector('#settings header button').click()")
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until("document.body.dataset.phase === 'speaking'")
        await clear(page, "speaking")
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until("document.querySelectorAll('.latency').length === 2")
        await page.run("document.querySelectorAll('.latency').forEach((details) => (details.open = true))")
        await clear(page, "cut and answered")
        await page.run("window.fetch = () => new Promise(() => {})")
        [edge] = server.calls.values()
        await edge.connections._used.connection.close()
        await page.until("document.body.dataset.phase === 'reconnecting'")
        await clear(page, "reconnecting")
        await page.run(CALL)
        await page.run("window.fetch = () => Promise.reject(new TypeError())")
        await page.run(CALL)
        await page.until("document.body.dataset.phase === 'failed'")
        await clear(page, "failed")


@needs_axe
async def test_the_phone(page: Page):
    async with serving() as (_, url):
        await opened(page, f"{url}phone", "document.querySelector('#names button')")
        await page.run("document.querySelectorAll('#keys button')[6].click()")
        await clear(page, "a number")
        await page.run(CALL)
        await page.until("document.body.dataset.state === 'failed'")
        await clear(page, "failed")
        await page.run("document.querySelector('#names button').click()")
        await clear(page, "ringing")
        await page.until("document.body.dataset.state === 'talking'")
        await page.run("document.querySelector('#hold').click()")
        await clear(page, "on hold")


@needs_axe
async def test_the_latency_page(page: Page):
    async with serving() as (server, url):
        await page.open(f"{url}latency")
        await page.until("document.body.dataset.state === 'live'")
        await clear(page, "empty")
        for trace in made_up(random.Random(5), 100, asyncio.get_running_loop().time()):
            server.stages.traces.append(trace)
        await page.until(count(100))
        await page.until(f"{ROWS}.length > 3")
        await page.run(f"{ROWS}[3].click()")
        await clear(page, "a turn")


REACHED = """(() => {
    const shown = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter((element) => element.checkVisibility() && !element.disabled && !element.closest('dialog:not([open])'));
    window.missing = new Set(shown);
    window.unseen = [];
    document.addEventListener('focusin', ({ target }) => {
        missing.delete(target);
        const { outlineStyle, outlineWidth } = getComputedStyle(target);
        if (outlineStyle === 'none' || outlineWidth === '0px') unseen.push(target.outerHTML);
    });
    return shown.length;
})()"""


async def press(page: Page, key: str) -> None:
    """Press a key of the keyboard, as the browser itself takes it."""
    code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        await page.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


@pytest.mark.parametrize("path", ["", "phone", "latency"])
async def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, path: str):
    async with serving() as (_, url):
        await opened(page, url + path, "document.querySelector('#suggestions button, #names button, #hold')")
        for _ in range(await page.run(REACHED)):
            await press(page, "Tab")
        assert await page.run("[...missing].map((element) => element.outerHTML)") == []
        assert await page.run("unseen") == []


async def test_a_call_by_keyboard_alone(page: Page):
    async with serving("Yes.") as (server, url):
        await opened(page, url)
        await page.run("document.querySelector('#open').focus()")
        await press(page, "Enter")
        await page.until("document.querySelector('#settings').open")
        await press(page, "Escape")
        await page.until("!document.querySelector('#settings').open && document.activeElement.id === 'open'")
        await page.run("document.querySelector('#call').focus()")
        await press(page, "Enter")
        await page.until("document.body.dataset.phase === 'listening'")
        assert await page.run("document.activeElement.id") == "call"
        await press(page, "Enter")
        await page.until("document.body.dataset.phase === 'ended'")
        assert len(server.calls) <= 1


async def test_nothing_moves_for_those_who_asked_for_less_motion(page: Page):
    moving = "document.getAnimations().filter(({ playState }) => playState === 'running').length"
    async with serving("Yes.") as (_, url):
        await opened(page, f"{url}phone", "document.querySelector('#names button')")
        await page.run("document.querySelector('#names button').click()")
        await page.until(f"document.body.dataset.state === 'ringing' && {moving} > 0")
        await media(page, reduced_motion="reduce")
        assert await page.run(moving) == 0
