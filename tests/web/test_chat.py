"""The voice chat page in headless Chromium, with a fake microphone, in real calls to a server in this process."""

import re
from pathlib import Path

import pytest

from tests.web.browser import DENIED, NO_MICROPHONE, chromium, microphone
from tests.web.pages import BROWSER, ENERGY, gone, opened, serving

pytestmark = BROWSER

NAME = "I am Parley, a voice agent."
STORY = "Once upon a time there was a small boat. " * 8

CALL = "document.querySelector('#call').click()"
WORDS = "document.querySelector('footer').innerText"
TURNS = "document.querySelector('#transcript').innerText"


def phase(name: str) -> str:
    return f"document.body.dataset.phase === {name!r}"


def choose(name: str, value: str) -> str:
    """Open the settings, set one as a person would, and close them."""
    return f"""{{
        document.querySelector('#open').click();
        const select = document.querySelector('#settings select[name={name}]');
        if (select) {{
            select.value = {value!r};
            select.dispatchEvent(new Event('change', {{ bubbles: true }}));
        }} else document.querySelector('#settings [name={name}][value={value}]').click();
        document.querySelector('#settings header button').click();
    }}"""


async def test_a_question_is_answered_interrupted_and_hung_up(question: Path):
    async with serving(STORY, NAME) as (server, url), chromium(microphone(question)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("speaking"))
        await page.until(f"{TURNS}.includes('Once upon a time')")
        # Words appear as they are said: the answer is whole at the server long before.
        assert await page.run(f"{TURNS}.match(/small boat/g)?.length ?? 0") < 3
        await page.until(phase("interrupted"))
        await page.until("document.querySelector('#transcript s') !== null")
        await page.until(f"{TURNS}.includes({NAME!r}) && {TURNS}.includes('interrupted')")
        assert await page.run(ENERGY) > 0.001
        turns = await page.until(f"{TURNS}.match(/at the server/g)?.length === 2 && {TURNS}")
        assert turns.count("you spoke") == 2
        assert turns.count("at your ear") == 2
        assert len(server.calls) == 1
        await page.run(CALL)
        await gone(server)
        assert await page.run(phase("ended"))
        # Each turn can be heard again, one at a time.
        await page.until("document.querySelectorAll('.replay').length === 4")
        await page.run("document.querySelectorAll('.replay')[0].click()")
        await page.run("document.querySelectorAll('.replay')[3].click()")
        pressed = "[...document.querySelectorAll('.replay')].map((button) => button.ariaPressed).join()"
        assert await page.run(pressed) == "false,false,false,true"
        await page.until(f"{pressed} === 'false,false,false,false'")
        assert await page.run("peers[0].connectionState") == "closed"
        assert await page.run("document.querySelector('#voice').srcObject") is None
        assert [trace.status for trace in server.stages.traces] == ["cancelled", "completed"]
        assert page.errors == []


async def test_suggestions_and_typed_words_are_answered_and_leaving_the_page_hangs_up(silence: Path):
    async with (
        serving(NAME, "Certainly.", resume_seconds=0) as (server, url),
        chromium(microphone(silence)) as page,
    ):
        await opened(page, url)
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{phase('speaking')} && {TURNS}.includes('Who are you?') && {TURNS}.includes({NAME!r})")
        await page.run("document.querySelector('#text').value = 'Stop <b>now</b>'")
        await page.run("document.querySelector('#compose').requestSubmit()")
        turns = await page.until(f"{TURNS}.includes('Certainly.') && {TURNS}")
        assert "<b>now</b>" in turns
        assert "interrupted" in turns
        # The answer was short and long made when it was cut; its last words were not heard.
        assert await page.run("document.querySelector('#transcript s').innerText.endsWith('agent.')")
        await page.run("location.href = 'about:blank'")
        await gone(server)
        assert page.errors == []


async def test_a_reload_goes_on_with_the_call_and_its_transcript(silence: Path):
    async with serving(NAME, STORY) as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{phase('listening')} && {TURNS}.includes({NAME!r}) && {TURNS}.includes('at the server')")
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{TURNS}.includes('Once upon a time')")
        [call_id] = server.calls
        await page.run("document.querySelector('#mute').click()")
        await page.reload()
        await page.until("received.some(({ type }) => type === 'session.created')")
        assert list(server.calls) == [call_id]
        before = await page.until(ENERGY)
        await page.until(f"{ENERGY}.then((energy) => energy > {before})")
        turns = await page.run(TURNS)
        assert NAME in turns
        assert turns.count("Who are you?") == 2
        assert await page.run("document.querySelector('#mute').ariaPressed") == "true"
        await page.run(CALL)
        await gone(server)
        # Nothing is left for another reload.
        await page.reload()
        await page.until(phase("ready"))
        assert page.errors == []


async def test_a_lost_connection_is_made_anew(silence: Path):
    async with serving(NAME) as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("listening"))
        [(call_id, edge)] = server.calls.items()
        await edge.connections._used.connection.close()
        await page.until("peers.length === 2")
        await page.until(f"{phase('listening')} && peers[1].connectionState === 'connected'")
        assert list(server.calls) == [call_id]
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{TURNS}.includes({NAME!r})")


async def test_the_server_going_away_is_told(silence: Path):
    async with chromium(microphone(silence)) as page:
        async with serving(NAME, resume_seconds=2) as (_, url):
            await opened(page, url)
            await page.run(CALL)
            await page.until(phase("listening"))
        await page.until(f"{phase('reconnecting')} && {WORDS}.includes('The conversation is kept')")
        await page.until(phase("failed"))
        assert "Start a new call" in await page.run(WORDS)
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('cannot be reached')")


async def test_push_to_talk_hears_what_is_said_while_the_button_is_held(question: Path):
    async with serving(NAME) as (server, url), chromium(microphone(question)) as page:
        await opened(page, url)
        await page.run(choose("push", "true"))
        await page.until("!document.querySelector('#settings').open")
        await page.run(CALL)
        await page.until(f"{phase('listening')} && {WORDS}.includes('Hold to talk')")
        assert await page.run("document.querySelector('#mute').hidden")
        await page.until("received.some(({ session }) => session?.audio.input.turn_detection === null)")
        await page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', { code: 'Space', bubbles: true }))")
        await page.until(f"{phase('hearing')} && {WORDS}.includes('Let go')")
        await page.run("new Promise((resolve) => setTimeout(resolve, 1500))")
        await page.run("document.body.dispatchEvent(new KeyboardEvent('keyup', { code: 'Space', bubbles: true }))")
        turns = await page.until(f"{TURNS}.includes('at the server') && {TURNS}")
        assert NAME in turns
        assert re.search(r"you spoke · 1\.[5-9] s", turns)
        assert [trace.status for trace in server.stages.traces] == ["completed"]


async def test_an_agent_that_was_chosen_answers(silence: Path):
    async with serving(NAME) as (_, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run(choose("agent", "number-taker"))
        await page.reload()
        await page.until("document.querySelector('#settings [name=agent]').value === 'number-taker'")
        await page.run(CALL)
        await page.until(f"{TURNS}.includes('Tell me up to four digits')")
        assert await page.run("received.find(({ session }) => session).session.agent") == "number-taker"


async def test_muted_nobody_is_heard(question: Path):
    async with serving(NAME) as (_, url), chromium(microphone(question)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("listening"))
        await page.run("document.querySelector('#mute').click()")
        assert "You are muted" in await page.run(WORDS)
        await page.run("new Promise((resolve) => setTimeout(resolve, 4000))")
        assert await page.run(TURNS) == ""
        await page.run("document.querySelector('#mute').click()")
        await page.until(f"{TURNS}.includes('you spoke')")


async def test_a_full_server_is_told(silence: Path):
    async with serving(NAME, max_calls=1) as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        taken = """(async () => {
            const peer = new RTCPeerConnection();
            peer.addTransceiver('audio');
            await peer.setLocalDescription();
            const headers = { 'Content-Type': 'application/sdp' };
            return (await fetch('/v1/realtime/calls', { method: 'POST', headers, body: peer.localDescription.sdp })).status;
        })()"""
        assert await page.run(taken) == 201
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('All lines are busy')")
        assert len(server.calls) == 1


async def test_a_key_is_asked_for_and_taken_from_the_address(silence: Path):
    async with serving(NAME, key="secret") as (server, url), chromium(microphone(silence)) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(f"{WORDS}.includes('wants its key')")
        await page.run("location.hash = 'key=secret'")
        await page.run(CALL)
        await page.until(phase("listening"))
        await page.run(CALL)
        await gone(server)
        # The other pages of the tab know it, too.
        await page.open(f"{url}phone")
        await page.until("document.querySelector('#names button') !== null")


@pytest.mark.parametrize(
    ("flags", "words"), [(DENIED, "The microphone is not allowed"), (NO_MICROPHONE, "No microphone found")]
)
async def test_a_microphone_that_cannot_be_had_is_told(flags: tuple[str, ...], words: str):
    async with serving() as (server, url), chromium(flags) as page:
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("failed"))
        assert words in await page.run(WORDS)
        assert words in await page.run("document.querySelector('[role=status]').textContent")
        assert await page.run("document.querySelector('#call').innerText") == "Start call"
        assert not server.calls
