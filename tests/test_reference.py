"""The configuration reference says what the settings are now."""

from pathlib import Path

from agent.config import Settings
from agent.reference import reference, shown

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"


def test_it_is_current():
    assert PAGE.read_text() == reference(), "python -m agent.reference > docs/configuration.md"


def test_it_names_every_setting_and_describes_it():
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    named = {row[0].strip("| `").split(".")[0] for row in rows}
    assert named == Settings.model_fields.keys()
    assert all(row[-1].strip(" |") for row in rows)
    assert ["| `turn.silence`", "`PARLEY_TURN__SILENCE`", "`0.5`"] in [row[:3] for row in rows]


def test_defaults_as_they_would_be_written():
    assert [shown(value) for value in (None, (), "", True, 0.5, "demo")] == ["", "", "", "`true`", "`0.5`", "`demo`"]
    assert shown(PAGE.parent) == "`docs`"
