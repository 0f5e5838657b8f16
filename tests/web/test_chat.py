"""The voice chat page in headless Chromium, with a fake microphone, in real calls to a server in this process."""

import re

import pytest
from aiortc import RTCPeerConnection

from agent.server import Server
from tests.web.browser import DENIED, ELSEWHERE, NO_MICROPHONE, Page, chromium
from tests.web.pages import BROWSER, ENERGY, gone, opened, serving

pytestmark = BROWSER

NAME = "I am Parley, a voice agent."
STORY = "Once upon a time there was a small boat. " * 8

CALL = "document.querySelector('#call').click()"
WORDS = "document.querySelector('footer').innerText"
TURNS = "document.querySelector('#transcript').innerText"


def phase(name: str) -> str:
    return f"document.body.dataset.phase === {name!r}"


def key(event: str) -> str:
    """Press the space bar, or let it go."""
    return f"document.body.dispatchEvent(new KeyboardEvent({event!r}, {{ code: 'Space', bubbles: true }}))"


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


async def test_a_question_is_answered_interrupted_and_hung_up(asking_page: Page):
    async with serving(STORY, NAME) as (server, url):
        await opened(asking_page, url)
        await asking_page.run(CALL)
        await asking_page.until(phase("speaking"))
        await asking_page.until(f"{TURNS}.includes('Once upon a time')")
        # Words appear as they are said: the answer is whole at the server long before.
        assert await asking_page.run(f"{TURNS}.match(/small boat/g)?.length ?? 0") < 3
        await asking_page.until(phase("interrupted"))
        await asking_page.until("document.querySelector('#transcript s') !== null")
        await asking_page.until(f"{TURNS}.includes({NAME!r}) && {TURNS}.includes('interrupted')")
        assert await asking_page.run(ENERGY) > 0.001
        turns = await asking_page.until(f"{TURNS}.match(/at the server/g)?.length === 2 && {TURNS}")
        assert turns.count("you spoke") == 2
        assert turns.count("at your ear") == 2
        assert len(server.calls) == 1
        await asking_page.run(CALL)
        await gone(server)
        assert await asking_page.run(phase("ended"))
        # Each turn can be heard again, one at a time.
        await asking_page.until("document.querySelectorAll('.replay').length === 4")
        await asking_page.run("document.querySelectorAll('.replay')[0].click()")
        await asking_page.run("document.querySelectorAll('.replay')[3].click()")
        pressed = "[...document.querySelectorAll('.replay')].map((button) => button.ariaPressed).join()"
        assert await asking_page.run(pressed) == "false,false,false,true"
        await asking_page.run("document.querySelectorAll('.replay')[3].click()")
        assert await asking_page.run(pressed) == "false,false,false,false"
        assert await asking_page.run("peers[0].connectionState") == "closed"
        assert await asking_page.run("document.querySelector('#voice').srcObject") is None
        assert [trace.status for trace in server.stages.traces] == ["cancelled", "completed"]
        assert asking_page.errors == []


async def test_suggestions_and_typed_words_are_answered_and_leaving_the_page_hangs_up(page: Page):
    async with (
        serving(NAME, "Certainly.", resume_seconds=0) as (server, url),
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


async def test_a_reload_goes_on_with_the_call_and_its_transcript(page: Page):
    async with serving(NAME, STORY) as (server, url):
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
        # It goes on speaking, says so, and its words go on where they were.
        await page.until(f"{phase('speaking')} && {WORDS}.includes('Speak up to interrupt')")
        assert await page.run(f"{TURNS}.match(/small boat/g)?.length ?? 0") < 4
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


async def test_a_lost_connection_is_made_anew(page: Page):
    async with serving(STORY, NAME) as (server, url):
        await opened(page, url)
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(phase("speaking"))
        [(call_id, edge)] = server.calls.items()
        await edge.connections._used.connection.close()
        await page.until("peers.length === 2")
        await page.until(f"{phase('speaking')} && peers[1].connectionState === 'connected'")
        assert list(server.calls) == [call_id]
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{TURNS}.includes({NAME!r})")


async def test_a_lost_network_is_gone_around_on_the_same_connection(page: Page):
    async with serving(NAME) as (server, url):
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("listening"))
        [edge] = server.calls.values()
        link = edge.connections._used
        deafen(link.connection)
        await page.until(phase("reconnecting"))
        await page.until(f"{phase('listening')} && peers[0].connectionState === 'connected'")
        assert edge.connections._used is link
        assert await page.run("peers.length") == 1
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until(f"{TURNS}.includes({NAME!r})")


def deafen(connection: RTCPeerConnection) -> None:
    """Let nothing through between a peer and its sockets any more."""
    for protocol in connection.getTransceivers()[0].receiver.transport.transport._connection._protocols:
        protocol.datagram_received = lambda *_: None
        protocol.transport.sendto = lambda *_: None


LINE = """
    window.line = { cut: false, waiting: [] };
    const real = window.fetch;
    window.fetch = (...request) => line.cut
        ? new Promise((resolve) => line.waiting.push(() => resolve(real(...request))))
        : real(...request);
    window.mend = () => { line.cut = false; line.waiting.splice(0).forEach((go) => go()); };
"""
"""Lets a test cut the line to the server, for the requests that come then."""


async def cut(page: Page, server: Server) -> None:
    """Lose the connection of the only call; it can be come back to with `mend()`."""
    await page.run("line.cut = true")
    [edge] = server.calls.values()
    await edge.connections._used.connection.close()
    await page.until(phase("reconnecting"))


async def test_what_is_typed_and_said_is_not_lost_with_the_connection(talking_page: Page):
    page = talking_page
    await page.command("Page.enable")
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=LINE)
    async with serving("First.", "Second.", "Third.") as (server, url):
        await opened(page, url)
        await page.run(choose("push", "true"))
        await page.run(CALL)
        await page.until("received.some(({ session }) => session?.audio.input.turn_detection === null)")
        await page.run(key("keydown"))
        await page.until(phase("hearing"))
        await page.run("new Promise((resolve) => setTimeout(resolve, 1000))")
        await cut(page, server)
        assert "Nobody hears you" in await page.run(WORDS)
        await page.run(key("keyup"))
        await page.until("!document.querySelector('#talk').classList.contains('held')")
        await page.run(key("keydown"))  # while nobody would hear
        assert not await page.run("document.querySelector('#talk').classList.contains('held')")
        await page.run("mend()")
        turns = await page.until(f"{TURNS}.includes('at the server') && {TURNS}")
        assert "First." in turns
        assert re.search(r"you spoke · 1\.\d s", turns)
        await cut(page, server)
        await page.run("document.querySelector('#text').value = 'And now?'")
        await page.run("document.querySelector('#compose').requestSubmit()")
        await page.run("mend()")
        turns = await page.until(f"{TURNS}.includes('Second.') && {TURNS}")
        assert turns.count("And now?") == turns.count("you spoke") == 1
        await page.until(phase("listening"))
        assert len(list(server.stages.traces)) == 2


async def test_the_server_going_away_is_told(page: Page):
    async with serving(NAME, resume_seconds=2) as (_, url):
        await opened(page, url)
        await page.run(CALL)
        await page.until(phase("listening"))
    await page.until(f"{phase('reconnecting')} && {WORDS}.includes('The conversation is kept')")
    await page.until(phase("failed"))
    assert "Start a new call" in await page.run(WORDS)
    await page.run(CALL)
    await page.until(f"{WORDS}.includes('cannot be reached')")


async def test_push_to_talk_hears_what_is_said_while_the_button_is_held(talking_page: Page):
    async with serving(NAME) as (server, url):
        await opened(talking_page, url)
        await talking_page.run(choose("push", "true"))
        await talking_page.until("!document.querySelector('#settings').open")
        await talking_page.run(CALL)
        await talking_page.until(f"{phase('listening')} && {WORDS}.includes('Hold to talk')")
        assert await talking_page.run("document.querySelector('#mute').hidden")
        await talking_page.until("received.some(({ session }) => session?.audio.input.turn_detection === null)")
        await talking_page.run(key("keydown"))
        await talking_page.until(f"{phase('hearing')} && {WORDS}.includes('Let go')")
        await talking_page.run("new Promise((resolve) => setTimeout(resolve, 1500))")
        await talking_page.run(key("keyup"))
        turns = await talking_page.until(f"{TURNS}.includes('at the server') && {TURNS}")
        assert NAME in turns
        assert re.search(r"you spoke · 1\.[5-9] s", turns)
        assert [trace.status for trace in server.stages.traces] == ["completed"]


async def test_a_page_from_elsewhere_without_https_is_told_what_to_do(page: Page):
    async with serving() as (_, url):
        await opened(page, url.replace("127.0.0.1", ELSEWHERE), "document.querySelector('main')")
        await page.until(f"{phase('failed')} && {WORDS}.includes('https://')")
        assert await page.run("document.querySelector('#call').disabled")


PAGES = [("", WORDS), ("phone", "document.querySelector('#display').innerText")]


@pytest.mark.parametrize(("path", "words"), PAGES)
async def test_while_the_browser_asks_for_the_microphone_the_page_says_so(page: Page, path: str, words: str):
    async with serving() as (server, url):
        await opened(page, url + path, "document.querySelector('main')")
        await page.run("navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); true")
        await page.run(CALL)
        await page.until(f"{words}.includes('Asking for the microphone')")
        await page.run(CALL)
        await page.until(f"{words}.includes('Call ended')")
        assert not server.calls


FIREWALL = r"""
    const clock = window.setTimeout;
    window.setTimeout = (call, milliseconds, ...rest) => clock(call, milliseconds / 20, ...rest);
    const bare = (sdp) => sdp.replace(/a=candidate.*\r\n/g, '');
    window.RTCPeerConnection = class extends RTCPeerConnection {
        get localDescription() { return { sdp: bare(super.localDescription.sdp) }; }
        setRemoteDescription({ type, sdp }) { return super.setRemoteDescription({ type, sdp: bare(sdp) }); }
    };
"""
"""Nothing passes between the page and the server but HTTP, and the page's patience ends sooner."""


@pytest.mark.parametrize(("path", "words"), PAGES)
async def test_a_network_that_lets_no_sound_through_is_told(page: Page, path: str, words: str):
    await page.command("Page.enable")
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=FIREWALL)
    async with serving() as (server, url):
        await opened(page, url + path, "document.querySelector('main')")
        await page.run(CALL)
        await page.until(f"{words}.includes('No route for the sound') && {words}.includes('TURN')")
        await gone(server)


async def test_an_agent_that_was_chosen_answers(page: Page):
    async with serving(NAME) as (_, url):
        await opened(page, url)
        await page.run(choose("agent", "number-taker"))
        await page.reload()
        await page.until("document.querySelector('#settings [name=agent]').value === 'number-taker'")
        await page.run(CALL)
        await page.until(f"{TURNS}.includes('tell me your telephone number')")
        assert await page.run("received.find(({ session }) => session).session.agent") == "number-taker"


async def test_muted_nobody_is_heard(talking_page: Page):
    async with serving(NAME) as (_, url):
        await opened(talking_page, url)
        await talking_page.run(CALL)
        await talking_page.until(phase("listening"))
        await talking_page.run("document.querySelector('#mute').click()")
        assert "You are muted" in await talking_page.run(WORDS)
        await talking_page.run("new Promise((resolve) => setTimeout(resolve, 2600))")
        assert await talking_page.run(TURNS) == ""
        await talking_page.run("document.querySelector('#mute').click()")
        await talking_page.until(f"{TURNS}.includes('you spoke')")


async def test_a_full_server_is_told(page: Page):
    async with serving(NAME, max_calls=1) as (server, url):
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


async def test_a_key_is_asked_for_and_taken_from_the_address(page: Page):
    async with serving(NAME, key="secret") as (server, url):
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
