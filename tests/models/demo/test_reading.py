"""The stage in which the language model reads what the adapter gives, on a small pool and a model of random weights."""

from pathlib import Path
from random import Random

import pytest
import torch

from models.demo import language, reading
from models.demo.adapter import Hearing, slots
from models.demo.conversation import Mix
from models.demo.dialogues import Clips
from models.demo.encoder import Listener
from models.demo.export import assemble
from models.demo.judge import Judge
from models.demo.language import SORTED, Part, Reader, build_language_model
from models.demo.pool import Sample
from models.demo.reading import Read, Reading, draw_read, hear_pool, train_reading
from models.demo.tokens import Chat

TABLE = build_language_model().model.embed_tokens.weight.detach()


@pytest.fixture
def heard(tmp_path: Path, pool: list[Sample], hearing: Hearing, chat: Chat) -> list[Read]:
    return hear_pool(tmp_path, pool, hearing, TABLE, chat)


def test_every_clip_is_heard_twice_with_a_row_for_each_slot(heard, pool):
    assert len(heard) == 2 * len(pool)
    assert all(clip.rows.shape == (len(clip.tokens), language.TEXT.width) for clip in heard)
    whole = {sample.utterance for sample in pool}
    assert 0 < sum(clip.utterance not in whole for clip in heard) < 0.5 * len(heard), "some are ended in a pause"


def test_a_clip_is_heard_as_it_is_alone(tmp_path, pool, hearing, chat):
    """What stands beside a clip in its batch does not change it; the second time it is masked."""
    judge = Judge(assemble(hearing, build_language_model()), chat)
    shortest = sorted((sample for sample in pool if not sample.utterance.words), key=lambda sample: len(sample.mel))[:3]
    read = hear_pool(tmp_path, shortest, hearing, TABLE, chat)
    for clip, masked, sample in zip(read[:3], read[3:], shortest, strict=True):
        alone = judge.rows(sample)
        assert len(clip.rows) == len(masked.rows) == slots(sample)
        assert (clip.rows.float() - alone).norm() < 0.05 * alone.norm()
        assert not torch.equal(masked.rows, clip.rows)


def test_what_was_heard_is_kept(tmp_path, pool, hearing, chat):
    first = hear_pool(tmp_path, pool[:5], hearing, TABLE, chat)
    torch.manual_seed(1)
    again = hear_pool(tmp_path, pool[:5], Hearing(Listener(), 0.05).eval(), TABLE, chat)
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))


def test_conversations_are_made_of_clips_that_are_heard_or_read(heard, chat):
    clips, rng = Clips(heard), Random(0)
    drawn = [draw_read(clips, chat, Mix(), 2, rng) for _ in range(100)]
    for row, of_row in drawn:
        assert [end - start for start, end in row.spoken] == [len(clip.rows) for clip in of_row]
        for (start, end), clip in zip(row.spoken, of_row, strict=True):
            assert row.ids[start:end] == clip.tokens
    assert {len(of_row) for _, of_row in drawn} == {0, 1, 2}
    assert {over for row, _ in drawn for _, over in row.over} == {True, False}, "some are broken off"


def test_what_is_heard_stands_in_the_place_of_words(heard, chat, monkeypatch):
    """Other rows give another loss, at every step that is not imagined."""
    monkeypatch.setattr(reading, "READING", Part("reading", 64, 0.01, 6e-4, (Mix(),), (1, 2), batch=6))
    reader = Reader(build_language_model(), chat)
    silent = [Read(clip.utterance, clip.tokens, torch.zeros_like(clip.rows)) for clip in heard]
    for step, differs in ((0, True), (SORTED, False), (2 * SORTED, True)):
        terms = [Reading(reader, Clips(clips), chat)(step)["loss"].item() for clips in (heard, silent)]
        assert (terms[0] != terms[1]) == differs, step


def test_the_stage_changes_the_layers_and_no_embedding(tmp_path, pool, hearing, chat, monkeypatch):
    monkeypatch.setattr(reading, "READING", Part("reading", 2, 0.01, 6e-4, (Mix(),), (1,), batch=6))
    model = build_language_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_reading(tmp_path, pool, hearing, model, chat)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "model.embed_tokens.weight" not in changed
    assert any("layers.0" in name for name in changed)
