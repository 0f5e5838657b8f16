"""The stage in which what hears and what reads learn together, on a small pool and models of random weights."""

from random import Random

import pytest
import torch

from models.demo import joint
from models.demo.adapter import slots
from models.demo.conversation import Mix
from models.demo.dialogues import Clips
from models.demo.joint import Answering, Joint, draw, train_joint
from models.demo.language import Part, Reader, build_language_model
from models.demo.pool import Sample
from models.demo.utterances import UNFINISHED


@pytest.fixture
def model(hearing, chat) -> Joint:
    return Joint(hearing, Reader(build_language_model(), chat))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOINT", "IMAGINED"):
        monkeypatch.setattr(joint, name, Part(name.lower(), 2, 0.01, 6e-4, (Mix(),), (1, 2), batch=6))


def test_conversations_are_made_of_clips_and_of_typed_turns(pool, chat):
    clips = Clips(pool)
    drawn = [draw(clips, chat, Mix(), 2, Random(seed)) for seed in range(80)]
    assert all(len(of_one.said) == len(of_one.turns) == 2 for of_one in drawn)
    assert {len(of_one.clips) for of_one in drawn} == {1, 2}
    assert all(isinstance(of_one.said[-1], Sample) for of_one in drawn), "the newest is heard"
    assert all(clip.utterance is turn.utterance for of_one in drawn for clip, turn in _heard(of_one))
    assert 0 < sum(of_one.turns[-1].utterance.kind == UNFINISHED for of_one in drawn) < 40, "some are ended in a pause"


def _heard(drawn):
    return [(said, turn) for said, turn in zip(drawn.said, drawn.turns, strict=True) if isinstance(said, Sample)]


def test_answers_reach_what_hears_and_what_reads(model, pool, monkeypatch):
    """Also where nothing is to be named."""
    monkeypatch.setattr(joint, "NAMING_WEIGHT", 0.0)
    terms = Answering(model, pool)(0)
    assert {"loss", "over", "imagined loss"} <= set(terms)
    assert all(value.isfinite() for value in terms.values())
    terms["loss"].backward()
    for weight in (
        model.hearing.listener.audio_tower.conv1.weight,
        model.hearing.multi_modal_projector.linear_2.weight,
        model.reader.model.model.layers[0].self_attn.q_proj.weight,
    ):
        assert weight.grad.abs().sum() > 0


def test_each_clip_stands_where_it_was_said(model, pool, chat, monkeypatch):
    """The rows of every clip are found in its own place among the embedded conversations."""
    found = []
    monkeypatch.setattr(model.reader, "loss", lambda rows, embedded, _labels: found.append((rows, embedded)) or {})
    monkeypatch.setattr(model.hearing, "forward", _numbered)
    answering = Answering(model, pool)
    drawn = answering._drawn(0)
    answering(0)
    rows, embedded = found[0]
    places = [(index, start, end) for index, row in enumerate(rows) for start, end in row.spoken]
    clips = [clip for of_one in drawn for clip in of_one.clips]
    assert [end - start for _, start, end in places] == [slots(clip) for clip in clips]
    for number, (index, start, end) in enumerate(places):
        assert (embedded[index, start:end] == number).all()


def _numbered(batch):
    """Hear nothing but the number of each clip."""
    longest = max(map(slots, batch.samples))
    numbers = torch.arange(len(batch.samples), dtype=torch.float32)[:, None, None]
    return torch.zeros(*batch.labels.shape, 256), numbers.expand(-1, longest, 256)


def test_the_stage_changes_everything_but_the_embeddings_and_freezes_what_reads(tmp_path, pool, hearing, chat):
    reader = Reader(build_language_model(), chat)
    reader.model.model.embed_tokens.requires_grad_(requires_grad=False)
    parts = {"hearing": hearing, "reader": reader.model}
    before = {name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in parts.items()}
    language = train_joint(tmp_path, pool, hearing, reader)
    for name, part in parts.items():
        changed = {key for key, value in part.state_dict().items() if not torch.equal(value, before[name][key])}
        assert changed, name
        assert not any("embed" in key for key in changed)
    assert language is reader.model
    assert not any(parameter.requires_grad for parameter in language.parameters())


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_the_stage_gives_the_mean_of_the_weights_before_and_after(tmp_path, pool, hearing, chat, kept, monkeypatch):
    monkeypatch.setattr(joint, "KEPT", kept)
    weight = hearing.multi_modal_projector.linear_2.weight
    before = weight.clone()
    train_joint(tmp_path, pool, hearing, Reader(build_language_model(), chat))
    after = torch.load(tmp_path / "joint.pt")["module"]["hearing.multi_modal_projector.linear_2.weight"]
    assert torch.allclose(weight, kept * before + (1 - kept) * after, atol=1e-6)
    assert torch.equal(weight, before) == (kept == 1)
