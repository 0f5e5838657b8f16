import collections
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("soxr", reason="the extra 'train' is not installed")

from models.distill.examples import Composer, Drawn, Examples, collate, interleave
from models.distill.forms import NOISE, exchange, instruction
from models.distill.records import BadSampleError, Earlier, Record
from models.distill.settings import DataSettings, SettingsError
from models.distill.sources import Manifest, open_source, shuffled
from tests.models import checkpoints
from tests.models.distill import corpus

SPOKEN = Record("a", Path("a.wav"), "guten tag", "wie geht es", "good day", "German", "English")


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.integers(1, 300))
def test_sources_are_equally_far_along_at_any_time(shares: list[float], total: int) -> None:
    source, position = interleave(shares, total)
    assert len(source) == len(position) == total
    for which, share in enumerate(shares):
        drawn = source == which
        assert position[drawn].tolist() == list(range(drawn.sum()))
        due = np.arange(1, total + 1) * share / sum(shares)
        assert np.abs(np.cumsum(drawn) - due).max() <= len(shares)


def test_a_longer_order_begins_with_the_shorter() -> None:
    short, long = interleave([3, 1, 0.5], 50), interleave([3, 1, 0.5], 200)
    assert short[0].tolist() == long[0][:50].tolist()
    assert short[1].tolist() == long[1][:50].tolist()


def test_every_round_has_all_records_in_another_order() -> None:
    rounds = [[shuffled(1, 20, position) for position in range(start, start + 20)] for start in (0, 20)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == list(range(20))
    assert rounds[0] != rounds[1]
    assert rounds[0] != [shuffled(2, 20, position) for position in range(20)]


def test_what_is_heard_is_what_is_read_but_for_the_sound() -> None:
    for form in ("continuation", "transcription", "translation"):
        asked = exchange(SPOKEN, form)
        assert asked.heard.count("<|audio|>") == 1
        assert asked.read == asked.heard.replace("<|audio|>", "guten tag")
    assert exchange(SPOKEN, "continuation").answer == "wie geht es"
    assert exchange(SPOKEN, "transcription").answer == "guten tag"
    assert exchange(SPOKEN, "translation").answer == "good day"
    assert "to English" in exchange(SPOKEN, "translation").heard


def test_noise_is_heard_alone_and_the_teacher_is_told_what_to_answer() -> None:
    asked = exchange(Record("a", Path("a.wav")), "noise")
    assert (asked.heard, asked.answer) == ("<|audio|>", NOISE)
    assert NOISE in asked.read


def test_the_language_is_named_where_it_is_wanted() -> None:
    assert "German" not in exchange(SPOKEN, "transcription").heard
    assert "German" in exchange(SPOKEN, "transcription", name_language=True).heard
    assert "German" in exchange(SPOKEN, "continuation", name_language=True).heard
    assert instruction("transcription") in exchange(SPOKEN, "transcription").heard


@pytest.mark.parametrize(
    ("record", "form", "message"),
    [
        (Record("a", Path("a.wav"), ""), "transcription", "empty transcript"),
        (Record("a", Path("a.wav"), "hello"), "continuation", "no continuation"),
        (Record("a", Path("a.wav"), "hello", translation="hallo"), "translation", "target"),
    ],
)
def test_a_clip_that_lacks_something_is_refused(record: Record, form: str, message: str) -> None:
    with pytest.raises(BadSampleError, match=message):
        exchange(record, form)


def compose(folder: Path, record: Record, form: str = "continuation", **changes: object) -> tuple:
    tokenizer, config = corpus.read_model(folder)
    settings = corpus.settings(folder, **changes)
    data = DataSettings.model_validate({"manifest": "m", "form": form})
    return Composer(tokenizer, config, settings)(record, data), tokenizer


def test_an_example_is_the_chat_that_is_answered_at_inference(folder: Path) -> None:
    record = Record("a", folder / "2.wav", "hello there", "what do you hear")
    example, tokenizer = compose(folder, record)
    asked = exchange(record, "continuation")
    prompt = tokenizer.template.render([{"role": "user", "content": asked.read}])
    answer = [*tokenizer.encode("what do you hear"), checkpoints.EOT]
    assert example.read + example.answer == tokenizer.encode(prompt) + answer
    before, after = tokenizer.template.render([{"role": "user", "content": asked.heard}]).split("<|audio|>")
    [sound] = example.sounds
    filled = [*tokenizer.encode(before), *[checkpoints.EOT] * sound.count, *tokenizer.encode(after)]
    assert example.heard + example.answer == filled + answer
    assert example.heard[sound.start : sound.start + sound.count] == [checkpoints.EOT] * sound.count
    assert tokenizer.encode("<|start_header_id|>assistant")[0] == example.answer[0]


def test_a_long_answer_is_cut_and_then_has_no_end(folder: Path) -> None:
    record = Record("a", folder / "2.wav", "hello", "hear " * 30)
    whole, _ = compose(folder, record, loss={"max_answer_tokens": None})
    cut, tokenizer = compose(folder, record, loss={"max_answer_tokens": 7})
    header = len(tokenizer.encode("<|start_header_id|>assistant<|end_header_id|>\n\n"))
    assert whole.answer[-1] == checkpoints.EOT
    assert cut.answer == whole.answer[: header + 7]


def test_a_clip_too_long_for_the_model_is_refused(folder: Path) -> None:
    with pytest.raises(BadSampleError, match="the model's window holds 1024"):
        compose(folder, Record("a", folder / "2.wav", "hello " * 800, "what"))


CONVERSATION = (
    Earlier({"role": "system", "content": "please"}),
    Earlier({"role": "user", "content": "<|audio|>"}, Path("4.wav"), "what is that"),
    Earlier({"role": "assistant", "content": "there"}),
)


def test_a_conversation_before_the_clip_is_heard_and_read_as_it_was(folder: Path) -> None:
    earlier = tuple(replace(each, audio=each.audio and folder / each.audio) for each in CONVERSATION)
    record = Record("a", folder / "2.wav", "hello", question="do you hear <|audio|>", answer=" what", earlier=earlier)
    example, tokenizer = compose(folder, record, "answer")
    messages = [*(each.read for each in earlier), {"role": "user", "content": "do you hear hello"}]
    assert messages[1]["content"] == "what is that"
    answer = [*tokenizer.encode(" what"), checkpoints.EOT]
    assert example.read + example.answer == tokenizer.encode(tokenizer.template.render(messages)) + answer
    messages = [*(each.message for each in earlier), {"role": "user", "content": "do you hear <|audio|>"}]
    parts = [tokenizer.encode(part) for part in tokenizer.template.render(messages).split("<|audio|>")]
    first, second = ([checkpoints.EOT] * sound.count for sound in example.sounds)
    assert first != second  # clips of different length
    assert example.heard + example.answer == [*parts[0], *first, *parts[1], *second, *parts[2], *answer]
    assert example.sounds[0].start == len(parts[0])
    assert example.sounds[1].start == len(parts[0] + first + parts[1])
    batch = collate([Drawn(example, []), Drawn(compose(folder, Record("b", folder / "1.wav", "hello", "what"))[0], [])])
    assert batch.rows.tolist() == [len(first), len(second), batch.rows[2]]
    assert batch.fillers.sum(1).tolist() == [len(first) + len(second), batch.rows[2]]
    assert batch.turns.nonzero().tolist()[0] == [0, example.sounds[1].start + len(second) - 1]


def test_functions_are_offered_as_at_inference(folder: Path) -> None:
    tool = {"type": "function", "function": {"name": "hear", "parameters": {"properties": {"what": {}}}}}
    record = Record("a", folder / "2.wav", "hello", answer="there", tools=(tool,))
    example, tokenizer = compose(folder, record, "answer")
    prompt = tokenizer.template.render([{"role": "user", "content": "hello"}], [tool])
    assert "hear" in prompt
    assert example.read + example.answer == [*tokenizer.encode(prompt + "there"), checkpoints.EOT]


def test_whoever_has_not_finished_need_not_be_answered(folder: Path) -> None:
    cut = Record("a", folder / "2.wav", "what is", unfinished=True)
    example, _ = compose(folder, cut, "answer")
    assert (example.answer, example.over) == ([], False)
    assert compose(folder, replace(cut, answer="there"), "answer")[0].answer
    whole = compose(folder, replace(cut, answer="there", unfinished=False), "answer")[0]
    assert whole.over is True
    with pytest.raises(BadSampleError, match="no answer"):
        compose(folder, replace(cut, unfinished=False), "answer")


def test_silence_is_answered_with_nothing_and_tells_nothing_of_turns(folder: Path) -> None:
    example, tokenizer = compose(folder, Record("a", folder / "2.wav", "", answer=""), "answer")
    header = tokenizer.encode("<|start_header_id|>assistant<|end_header_id|>\n\n")
    assert (example.answer, example.over) == ([*header, checkpoints.EOT], None)
    assert not collate([Drawn(example, [])]).turns.any()
    with pytest.raises(BadSampleError, match="empty transcript"):
        compose(folder, Record("a", folder / "2.wav", "", answer="there"), "answer")


def test_messages_that_no_template_takes_are_refused(folder: Path) -> None:
    broken = Record("a", folder / "2.wav", "hello", answer="there", earlier=(Earlier({"content": "no role"}),))
    with pytest.raises(BadSampleError, match="template"):
        compose(folder, broken, "answer")


def test_capitals_become_sentences(folder: Path) -> None:
    tokenizer, config = corpus.read_model(folder)
    data = DataSettings.model_validate({"manifest": "m", "form": "transcription", "capitals": True})
    example = Composer(tokenizer, config, corpus.settings(folder))(Record("a", folder / "2.wav", "HELLO THERE"), data)
    assert "Hello there" in tokenizer.decode(example.answer)


def make_examples(folder: Path, total: int = 12, **changes: object) -> Examples:
    tokenizer, config = corpus.read_model(folder)
    settings = corpus.settings(folder, **changes)
    sources = [open_source(data, settings.seed) for data in settings.data]
    return Examples(sources, settings, Composer(tokenizer, config, settings), total)


def test_a_batch_is_its_examples_with_padding(folder: Path) -> None:
    examples = make_examples(folder)
    drawn = [examples[number] for number in range(4)]
    batch = collate(drawn)
    assert batch.names == [each.example.name for each in drawn]
    for row, each in enumerate(drawn):
        example = each.example
        ids = example.heard + example.answer
        assert batch.heard[row, : len(ids)].tolist() == ids
        assert batch.heard[row][batch.heard_labels[row]].tolist() == example.answer
        assert batch.read[row][batch.read_labels[row]].tolist() == example.answer
        [sound] = example.sounds
        assert batch.fillers[row].nonzero()[:, 0].tolist() == [*range(sound.start, sound.start + sound.count)]
        assert batch.rows[row] == sound.count
        assert batch.turns[row].nonzero()[:, 0].tolist() == [sound.start + sound.count - 1]
        assert batch.mel[row, :, : batch.frames[row]].equal(sound.mel)
        assert not batch.mel[row, :, batch.frames[row] :].any()
    assert batch.labels.tolist() == [token for each in drawn for token in each.example.answer]


def test_a_set_with_twice_the_weight_is_drawn_twice_as_often(folder: Path) -> None:
    corpus.write_manifest(folder, corpus.write_clips(folder)[:3], "few.jsonl")
    data = [{"manifest": folder / "train.jsonl"}, {"manifest": folder / "few.jsonl", "weight": 4}]
    examples = make_examples(folder, 36, data=data)
    counts = collections.Counter(examples[n].example.name.partition(".jsonl")[0].rpartition("/")[2] for n in range(36))
    assert counts == {"train": 18 - 6, "few": 18 + 6}  # 6 clips once, 3 clips four times


BAD = {
    "none.wav": ({"audio": "none.wav", "transcript": "x", "continuation": "y"}, "no such file"),
    "quiet": ({"audio": "0.wav", "transcript": "", "continuation": "y"}, "empty transcript"),
    "broken line": ('{"audio": "0.wav", ', "not JSON"),
    "long": ({"audio": "long.wav", "transcript": "x", "continuation": "y"}, "audio over the limit"),
    "uncontinued": ({"audio": "0.wav", "transcript": "x"}, "no continuation"),
}


def test_bad_clips_are_named_and_others_take_their_place(folder: Path) -> None:
    import soundfile

    soundfile.write(folder / "long.wav", np.zeros(16000 * 17), 16000)
    rows = [*corpus.write_clips(folder), *(row for row, _ in BAD.values())]
    corpus.write_manifest(folder, rows)
    drawn = [make_examples(folder)[number] for number in range(11)]
    assert all(each.example.name.endswith(tuple(f"train.jsonl:{line}" for line in range(1, 7))) for each in drawn)
    told = {name.rpartition(":")[2]: reason for each in drawn for name, reason in each.bad}
    assert sorted(told) == ["10", "11", "7", "8", "9"]
    for line, (_, message) in enumerate(BAD.values(), 7):
        assert message in told[str(line)]


def test_another_source_steps_in_for_one_that_is_gone(folder: Path) -> None:
    corpus.write_manifest(folder, [{"audio": "gone.wav", "transcript": "x", "continuation": "y"}], "gone.jsonl")
    data = [{"manifest": folder / "gone.jsonl", "weight": 6}, {"manifest": folder / "train.jsonl"}]
    examples = make_examples(folder, data=data)
    assert {examples[n].example.name.partition(":")[0] for n in range(12)} == {str(folder / "train.jsonl")}
    with pytest.raises(SettingsError, match=r"no source has a clip of use.*gone\.jsonl:1: no such file"):
        make_examples(folder, data=data[:1])[0]


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonl cannot be read"):
        Manifest(tmp_path / "none.jsonl", 1)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(SettingsError, match=r"empty\.jsonl is empty"):
        Manifest(tmp_path / "empty.jsonl", 1)


def test_bytes_that_are_no_text_are_one_bad_line(folder: Path) -> None:
    path = corpus.write_manifest(folder)
    path.write_bytes(path.read_bytes() + b"\xff\xfe{\n" + b'\n{"audio": "0.wav", "transcript": "last"}\n')
    manifest = Manifest(path, 1)
    assert manifest.size == 8
    with pytest.raises(BadSampleError, match="not JSON"):
        manifest.at(6)
    assert (manifest.at(7).transcript, manifest.place(7)) == ("last", f"{path}:9")


def write_data_set(folder: Path, count: int = 6) -> Path:
    """A table with sounds inside, as data sets lie on Hugging Face's hub."""
    import datasets
    import pyarrow.parquet

    target = folder / "set"
    target.mkdir()
    rows = corpus.write_clips(target, count)
    text, sound = datasets.Value("string"), {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    values = {
        "audio": [{"bytes": (target / row["audio"]).read_bytes(), "path": row["audio"]} for row in rows],
        "sentence": [row["transcript"] for row in rows],
        "more": [row["continuation"] for row in rows],
    }
    made = datasets.Dataset.from_dict(
        values, features=datasets.Features({"audio": sound, "sentence": text, "more": text})
    )
    published = datasets.Features({"audio": datasets.Audio(), "sentence": text, "more": text})
    table = made.data.table.replace_schema_metadata(published.arrow_schema.metadata)
    pyarrow.parquet.write_table(table, target / "train.parquet")
    for row in rows:
        (target / row["audio"]).unlink()
    return target


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, so that nothing is known before, and streams that do not wait 5 s before they are closed.

    That wait lets the reader of Parquet finish its threads before a program ends, which no test does.
    """
    pytest.importorskip("datasets", reason="the extra 'train' is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0.01)


def data_set(folder: Path, **changes: object) -> DataSettings:
    columns = {"transcript": "sentence", "continuation": "more"}
    return DataSettings.model_validate({"dataset": str(write_data_set(folder)), "columns": columns} | changes)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_set_is_drawn_like_a_manifest(folder: Path, streaming: bool, cache: None) -> None:
    settings = data_set(folder, streaming=streaming, samples=6)
    source = open_source(settings, 3)
    rounds = [[source.record(p).transcript for p in range(start, start + 6)] for start in (0, 6)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == [f"hello {index}" for index in range(6)]
    assert rounds[0] != rounds[1]
    later = open_source(settings, 3)  # a run that goes on
    assert [later.record(p).transcript for p in range(8, 12)] == rounds[1][2:]
    assert later.record(9).transcript == rounds[1][3]  # one that was drawn shortly before
    changes = {"data": [settings.model_dump()]}
    example = make_examples(folder, **changes)[0].example
    assert isinstance(example.sounds[0].mel, torch.Tensor)
    assert example.sounds[0].mel.isfinite().all()


def test_a_stream_shorter_than_it_says_gives_bad_clips(folder: Path, cache: None) -> None:
    source = open_source(data_set(folder, streaming=True, samples=8), 3)
    assert source.record(5).transcript
    with pytest.raises(BadSampleError, match="the stream ends before its 8th row"):
        source.record(7)
    assert source.record(8).transcript  # the next round


def test_what_is_wrong_with_a_data_set_is_said(folder: Path, cache: None) -> None:
    good = data_set(folder)
    with pytest.raises(SettingsError, match="give it as samples"):
        open_source(good.model_copy(update={"streaming": True}), 1)
    with pytest.raises(SettingsError, match="has no column 'text'"):
        open_source(good.model_copy(update={"columns": {"transcript": "text"}}), 1)
    with pytest.raises(SettingsError, match="cannot be opened"):
        open_source(good.model_copy(update={"split": "dev"}), 1)


def test_a_stream_in_a_mix_gives_the_same_examples_whenever_it_is_begun(folder: Path, cache: None) -> None:
    """One row of the stream cannot be used: the next stands in for it, and is drawn again in its own turn."""
    settings = data_set(folder, streaming=True, samples=6)
    rows = [{"audio": "none.wav", "transcript": "x", "continuation": "y"}, *corpus.write_clips(folder)]
    corpus.write_manifest(folder, rows)
    data = [settings.model_dump(), {"manifest": folder / "train.jsonl"}]
    drawn = [make_examples(folder, 20, data=data)[number].example.name for number in range(20)]
    assert drawn == [each.example.name for each in map(make_examples(folder, 20, data=data).__getitem__, range(20))]
    later = make_examples(folder, 20, data=data)
    assert [later[number].example.name for number in range(9, 20)] == drawn[9:]
    assert sum("draw" in name for name in drawn) in (9, 10)


def test_a_folder_that_was_saved_is_a_data_set(folder: Path, cache: None) -> None:
    import datasets

    settings = data_set(folder)
    rows = datasets.load_dataset(str(settings.dataset), split="train")
    datasets.DatasetDict({"train": rows}).save_to_disk(folder / "saved")
    saved = open_source(settings.model_copy(update={"dataset": str(folder / "saved")}), 1)
    assert saved.size == 6
    assert {saved.record(position).transcript for position in range(6)} == {f"hello {index}" for index in range(6)}
