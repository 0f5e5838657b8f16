"""axe-core finds nothing serious on any page, light or dark, at rest, in a call and with its settings open."""

from pathlib import Path

import pytest

from tests.web.browser import Page
from tests.web.pages import BROWSER, opened, serving

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [*BROWSER, pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm ci in tests/web)")]

FINDINGS = """axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target, any }) => `${id}: ${target} ${any[0]?.message ?? ''}`)))"""


async def findings(page: Page) -> list[str]:
    """What axe-core holds against the page as it is now."""
    if not await page.run("'axe' in window"):
        await page.run(AXE.read_text() + "; true")
    return list(await page.run(FINDINGS))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_finding(page: Page, scheme: str):
    async with serving("I am Parley, a voice agent.") as (_, url):
        await page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        found = {}
        for path in ("phone", "latency", ""):
            await opened(page, url + path, "document.querySelector('main')")
            found[path] = await findings(page)
        await page.until("document.querySelector('#suggestions button') !== null")
        await page.run("document.querySelector('#suggestions button').click()")
        await page.until("document.querySelector('.latency') !== null")
        found["call"] = await findings(page)
        await page.run("document.querySelector('#open').click()")
        found["settings"] = await findings(page)
        assert "\n".join(f"{place}: {one}" for place, those in found.items() for one in those) == ""


async def test_a_telephone_in_a_call_has_no_serious_finding(page: Page):
    async with serving() as (_, url):
        await opened(page, f"{url}phone", "document.querySelector('#names button')")
        await page.run("document.querySelector('#names button').click()")
        await page.until("document.body.dataset.state === 'talking'")
        assert await findings(page) == []
