import json
from pathlib import Path

from models.distill.tally import Tally


def test_a_clip_is_counted_once_for_each_reason(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "bad.jsonl")
    assert tally.add("a:1", "empty transcript")
    assert not tally.add("a:1", "empty transcript")
    assert tally.add("a:1", "the loss is not a number")
    assert tally.add("a:2", "no such file: x.wav")
    assert tally.add("a:3", "no such file: y.wav")
    assert tally.total == 4
    assert tally.counts == {"empty transcript": 1, "the loss is not a number": 1, "no such file": 2}
    assert str(tally).startswith("2 x no such file")
    rows = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert rows[2] == {"name": "a:2", "reason": "no such file: x.wav"}
    assert len(rows) == 4


def test_a_run_that_goes_on_knows_what_it_counted(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    Tally(path).add("ä:1", "empty transcript")
    with path.open("a") as file:
        file.write('{"name": "a:2", "rea')  # killed while it wrote
    again = Tally(path)
    assert again.total == 1
    assert not again.add("ä:1", "empty transcript")
    assert again.add("a:2", "empty transcript")
    assert Tally(path).total == 2


def test_without_a_file_it_only_counts(tmp_path: Path) -> None:
    tally = Tally()
    assert tally.add("a", "b")
    assert (tally.total, str(tally)) == (1, "1 x b")
    assert list(tmp_path.iterdir()) == []
