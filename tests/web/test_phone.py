"""The phone page in headless Chromium: real calls to the agents that ship, over G.711 and Opus."""

import asyncio

from tests.web.browser import NO_MICROPHONE, Page, chromium
from tests.web.pages import BROWSER, ENERGY, gone, opened, serving

pytestmark = BROWSER

READY = "document.querySelector('#names button')"
DISPLAY = "document.querySelector('#display').innerText"
CALL = "document.querySelector('#call').click()"
CODEC = """peers.at(-1).getStats().then((report) => {
    const stream = [...report.values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    return report.get(stream?.codecId)?.mimeType;
})"""


def state(name: str) -> str:
    return f"document.body.dataset.state === {name!r}"


def pressed(key: str) -> str:
    """Press a key of the computer's keyboard."""
    return f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: {key!r}, bubbles: true }}))"


async def test_a_number_is_dialled_answered_and_hung_up(page: Page):
    async with serving("Five.", call_seconds=60) as (server, url):
        await opened(page, f"{url}phone", READY)
        for key in "1003":
            await page.run(pressed(key))
        await page.run(pressed("Backspace"))
        assert "100" in await page.run(DISPLAY)
        assert "Receptionist" in await page.run(DISPLAY)
        await page.run(pressed("Enter"))
        await page.until(f"{state('ringing')} && {DISPLAY}.includes('Ringing')")
        await page.until(state("talking"))
        await page.until(f"{ENERGY}.then((energy) => energy > 0.001)")
        assert await page.run(CODEC) == "audio/PCMU"
        said = "received.filter(({ type }) => type === 'response.output_audio_transcript.delta')"
        assert "front desk" in await page.run(f"{said}.map(({{ delta }}) => delta).join('')")
        await page.until(f"{DISPLAY}.includes('0:02')")
        await page.run("document.querySelectorAll('#keys button')[4].click()")
        await page.until("received.some(({ type, event }) => type.endsWith('dtmf_event_received') && event === '5')")
        await page.run(pressed("Escape"))
        await gone(server)
        assert "Call ended" in await page.run(DISPLAY)
        assert page.errors == []


async def test_the_switch_changes_the_codec_of_the_call_that_is_up(page: Page):
    async with serving("Yes.") as (server, url):
        await opened(page, f"{url}phone", READY)
        await page.run("document.querySelectorAll('#names button')[1].click()")
        await page.until(state("talking"))
        await page.until(f"{CODEC}.then((codec) => codec === 'audio/PCMU')")
        [call_id] = server.calls
        await page.run("document.querySelector('#opus').click()")
        await page.until(f"peers.length === 2 && {CODEC}.then((codec) => codec === 'audio/opus')")
        assert await page.until(state("talking"))
        assert list(server.calls) == [call_id]


async def test_on_hold_neither_hears_the_other(talking_page: Page):
    async with serving("Hello.") as (server, url):
        await opened(talking_page, f"{url}phone", READY)
        await talking_page.run(CALL)  # without a number: the server itself
        await talking_page.until(state("talking"))
        await talking_page.run("document.querySelector('#hold').click()")
        assert "On hold" in await talking_page.run(DISPLAY)
        assert await talking_page.run("document.querySelector('#voice').muted")
        await talking_page.run("new Promise((resolve) => setTimeout(resolve, 2600))")
        assert not await talking_page.run("received.some(({ type }) => type === 'input_audio_buffer.speech_started')")
        await talking_page.run("document.querySelector('#hold').click()")
        await talking_page.until("received.some(({ type }) => type === 'input_audio_buffer.speech_started')")
        assert not await talking_page.run("document.querySelector('#voice').muted")
        # The phone tells what it measured, as the chat does.
        async with asyncio.timeout(15):
            while not (measured := [trace for trace in server.stages.traces if trace.ear]):
                await asyncio.sleep(0.05)
        [trace, *_] = measured
        assert {"spoken", "heard"} <= trace.marks.keys()
        assert trace.ear.jitter_buffer_ms > 0


async def test_a_reload_goes_on_with_the_call(page: Page):
    async with serving("Yes.") as (server, url):
        await opened(page, f"{url}phone", READY)
        await page.run("document.querySelectorAll('#names button')[0].click()")
        await page.until(state("talking"))
        [call_id] = server.calls
        await page.run("document.querySelector('#hold').click()")
        await page.until("received.some(({ type }) => type === 'session.updated')")
        await page.reload()
        await page.until(f"{state('talking')} && {DISPLAY}.includes('On hold')")
        assert list(server.calls) == [call_id]
        assert "Receptionist" in await page.run(DISPLAY)
        assert await page.run("document.querySelector('#voice').muted")
        await page.run("document.querySelector('#hold').click()")
        updated = "received.findLast(({ type }) => type === 'session.updated')"
        await page.until(f"{updated}?.session.audio.input.turn_detection")
        assert await page.run("peers[0].getSenders()[0].track.enabled")
        await page.run(CALL)
        await gone(server)
        await page.reload()
        await page.until(f"{DISPLAY}.includes('Dial a number')")


async def test_a_call_that_ended_with_its_page_is_told(page: Page):
    async with serving("Yes.", resume_seconds=0) as (server, url):
        await opened(page, f"{url}phone", READY)
        await page.run(CALL)
        await page.until(state("talking"))
        await page.reload()
        await page.until(f"{state('failed')} && {DISPLAY}.includes('That call is over')")
        await gone(server)


async def test_keys_reach_the_agent_in_the_sounds_stream_or_else_as_events(page: Page):
    """As telephone events (RFC 4733) where both ends have them."""
    async with serving("Yes.") as (_, url):
        await opened(page, f"{url}phone", READY)
        await page.run(CALL)
        await page.until(state("talking"))
        fives = "received.filter(({ type, event }) => type.endsWith('dtmf_event_received') && event === '5').length"
        assert await page.run("peers[0].getSenders()[0].dtmf.canInsertDTMF")
        await page.run(pressed("5"))
        await page.until(f"{fives} === 1")
        await page.run("Object.defineProperty(RTCRtpSender.prototype, 'dtmf', { value: null }), true")
        await page.run(pressed("5"))
        await page.until(f"{fives} === 2")
        assert "55" in await page.run(DISPLAY)


async def test_a_number_that_nobody_has_is_told(page: Page):
    async with serving() as (server, url):
        await opened(page, f"{url}phone", READY)
        await page.run(pressed("7"))
        await page.run(CALL)
        await page.until(f"{state('failed')} && {DISPLAY}.includes('Not in service')")
        assert not server.calls


async def test_a_call_without_a_microphone_says_what_to_do():
    async with serving() as (server, url), chromium(NO_MICROPHONE) as page:
        await opened(page, f"{url}phone", READY)
        await page.run(CALL)
        await page.until(f"{DISPLAY}.includes('No microphone found')")
        assert not server.calls
