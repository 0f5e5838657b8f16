"""The latency page in headless Chromium: a real call's turns as they happen, and thousands of made-up ones."""

import asyncio
import json
import random
import re
import shutil
from pathlib import Path

import pytest

from agent.caller.peer import call
from agent.engine.scripted import ScriptedEngine
from agent.traces.recent import MOST
from tests.serving import serving
from tests.test_server import QUESTION
from tests.web import pages
from tests.web.browser import Browser, Page
from tests.web.turns import ROWS, count, made_up

pytestmark = pages.BROWSER

SHOWN = "document.querySelector('main').innerText"
LIVE = "document.body.dataset.state === 'live'"


async def test_a_calls_turns_appear_as_they_happen(page: Page):
    engine = ScriptedEngine(["Hello there.", "I am Parley."], first_token=0.01, per_token=0)
    async with serving(engine) as (_, url):
        await page.open(f"{url}/latency")
        await page.until(LIVE)
        assert "Make a call" in await page.run(SHOWN)
        async with call(url) as caller:
            turn = await caller.ask(QUESTION, 20)
            await page.until(count(1))
            assert await page.run(f"{ROWS}.length") == 1
            await caller.ask(QUESTION, 20)
            await page.until(count(2))
        await page.run(f"{ROWS}[1].click()")
        detail = await page.until("document.querySelector('#detail').innerText")
        shown = float(re.findall(r"^([\d.]+) ms$", detail, re.MULTILINE)[0])
        assert shown == pytest.approx(turn.v2v_ms, abs=0.51)  # to whole milliseconds here, to hundredths on the way
        assert "measured at both ends" in detail
        assert "First sound at the ear" in detail
        assert "Make a call" not in await page.run(SHOWN)
        assert page.errors == []


async def test_thousands_of_turns_make_few_rows_and_can_be_filtered_and_read_by_keyboard(page: Page):
    async with serving() as (server, url):
        for trace in made_up(random.Random(1), MOST, asyncio.get_running_loop().time()):
            server.stages.traces.append(trace)
        await page.open(f"{url}/latency")
        await page.until(count(MOST), 60)
        assert await page.run("document.querySelectorAll('#turns .row').length") < 60
        figures = "['p50', 'p90', 'p95', 'p99'].map((id) => Number(document.getElementById(id).textContent))"
        ranks = await page.run(figures)
        values = sorted(1000 * trace.voice_to_voice for trace in server.stages.traces)
        assert ranks == [pytest.approx(values[MOST * percent // 100 - 1], abs=0.6) for percent in (50, 90, 95, 99)]
        # The keyboard reaches the oldest, and says which row it is on.
        await page.run("document.querySelector('#turns').focus()")
        await page.command("Input.dispatchKeyEvent", type="keyDown", key="End", code="End", windowsVirtualKeyCode=35)
        active = "document.getElementById(document.querySelector('#turns').getAttribute('aria-activedescendant'))"
        assert await page.until(f"{active}?.getAttribute('aria-posinset')") == str(MOST)
        assert "resp_0" in await page.run("document.querySelector('#detail h2').textContent")
        await page.run("""(() => {
            const select = document.querySelector('#agent');
            select.value = 'numbers';
            select.dispatchEvent(new Event('change'));
        })()""")
        numbers = sum(trace.agent == "numbers" for trace in server.stages.traces)
        await page.until(count(numbers))
        # A turn that is none of the agent's changes nothing; one that is comes first.
        for trace in made_up(random.Random(2), 2, asyncio.get_running_loop().time()):
            trace.call, trace.agent = "call_live", "numbers" if trace.response == "resp_1" else "reception"
            server.stages.traces.append(trace)
        await page.until(count(numbers + 1))
        assert page.errors == []


async def test_a_turn_is_heard_again_from_the_page_that_made_it_or_from_the_servers_recording(
    page: Page, silent_browser: Browser, tmp_path: Path
):
    said = "document.querySelector('#detail .sound span').textContent"
    listen = "document.querySelector('#detail .listen')"
    async with pages.serving("I am Parley, a voice agent.", record=tmp_path / "calls", resume_seconds=0) as (
        server,
        url,
    ):
        async with silent_browser.tab(page) as chat:
            await pages.opened(chat, url)
            assert "This server records calls." in await chat.run("document.body.innerText")
            await chat.run("document.querySelector('#suggestions button').click()")
            await chat.until("document.querySelectorAll('.replay').length === 1")
            await page.command("Page.bringToFront")  # what is behind is not drawn
            await page.open(f"{url}latency")
            await page.until(f"{ROWS}.length === 1")
            await page.run(f"{ROWS}[0].click()")
            await page.run(f"{listen}.click()")
            await page.until(f"{said} === 'From the page that made the call.' && {listen}.textContent === 'Stop'")
            await page.run(f"{listen}.click()")
            assert await page.run(f"{listen}.textContent") == "Hear it"
        await pages.gone(server)
        await page.run(f"{listen}.click()")
        await page.until(f"{said}.includes('recording.') && {listen}.ariaPressed === 'true'")
        await page.until(f"{listen}.ariaPressed === 'false'")
        shutil.rmtree(tmp_path / "calls")
        await page.run(f"{listen}.click()")
        await page.until(f"{said}.includes('has no recording of this turn')")
        assert page.errors == ["Failed to load resource: the server responded with a status of 404 (Not Found)"]


async def test_what_came_meanwhile_is_shown_after_holding(page: Page):
    async with serving() as (server, url):
        await page.open(f"{url}/latency")
        await page.until(LIVE)
        await page.run("document.querySelector('#hold').click()")
        for trace in made_up(random.Random(3), 3, asyncio.get_running_loop().time()):
            server.stages.traces.append(trace)
        await page.until("document.querySelector('#hold').textContent === 'Go on (3 waiting)'")
        await page.until(count(0))
        await page.run("document.querySelector('#hold').click()")
        await page.until(count(3))


async def test_what_is_shown_can_be_saved(page: Page):
    async with serving() as (server, url):
        for trace in made_up(random.Random(4), 44, asyncio.get_running_loop().time()):
            server.stages.traces.append(trace)
        await page.open(f"{url}/latency")
        await page.until(count(44))
        saved = """(id) => new Promise((resolve) => {
            URL.createObjectURL = (blob) => (void blob.text().then(resolve), 'blob:saved');
            HTMLAnchorElement.prototype.click = () => {};
            document.getElementById(id).onclick();
        })"""
        rows = json.loads(await page.run(f"({saved})('json')"))
        assert [row["response"] for row in rows] == [f"resp_{number}" for number in range(44)]
        lines = (await page.run(f"({saved})('csv')")).splitlines()
        assert len(lines) == 45
        assert lines[0].startswith("date,call,response")
        await page.run("""(() => {
            const select = document.querySelector('#call');
            select.value = 'call_000001';
            select.dispatchEvent(new Event('change'));
        })()""")
        assert len(json.loads(await page.run(f"({saved})('json')"))) == 4
        assert str(rows[0]["v2v_ms"]) in lines[1]


async def test_a_lost_server_is_told_and_found_again(page: Page):
    async with serving() as (server, url):
        port = int(url.rsplit(":", 1)[1])
        await page.open(f"{url}/latency")
        await page.until(LIVE)
    await page.until("document.body.dataset.state === 'lost'")
    assert "cannot be reached" in await page.run("document.querySelector('#state').textContent")
    del server
    async with serving(port=port):
        await page.until(LIVE)


async def test_the_key_is_asked_for_and_taken_from_the_address(page: Page):
    async with serving(key="secret") as (_, url):
        await page.open(f"{url}/latency")
        await page.until("document.querySelector('#state').textContent.includes('#key=')")
        await page.run("location.hash = 'key=secret'")
        await page.until(LIVE)
