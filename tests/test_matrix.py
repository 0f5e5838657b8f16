"""The page of what works is that of the code."""

import pytest

pytest.importorskip("openai", reason="the openai SDK is a development dependency")
from tests import matrix


def test_the_page_is_current():
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(), "run: python -m tests.matrix"


@pytest.mark.parametrize(
    "row",
    [
        "| `POST /v1/realtime/calls` | works |",
        "| `GET /v1/realtime/translations` | refused |",
        "| `response.create` | works |",
        "| `session(realtime).prompt` | refused |",
        "| `session(realtime).audio.output.speed` | works |",
        "| `POST /api/offer` | works; Pipecat's, with RTVI messages |",
        "| `session(realtime).audio.input.noise_reduction` | inert |",
        "| `session(realtime).tool_choice` | works |",
        "| `item(message).status` | ignored |",
        "| `mcp_list_tools.failed` | never sent |",
        "| `response.done` | sent |",
        "| `parley.trace` | sent; Parley's own |",
    ],
)
def test_it_tells_works_from_inert_from_refused(row):
    assert row in matrix.page()
