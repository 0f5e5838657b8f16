"""The head that is shown what to copy: its losses are read off the attention of the layer itself."""

from random import Random

import pytest
import torch
import torch.nn.functional as F

from models.attention import attend
from models.demo.conversation import Setting, converse
from models.demo.language import POINTING, TEXT, build_language_model, pad_rows
from models.demo.pointing import Pointer
from models.demo.tokens import IGNORED, Chat, Row
from models.demo.utterances import Utterance, spell
from models.rope import rotate


def heard(chat: Chat, kind: str, *digits: int) -> Row:
    """Write what is answered when digits are said, or an utterance of that kind that has none."""
    words = spell(digits) if digits else "thank you"
    turns = converse([Utterance(kind, words, digits)], Setting(), Random(0))
    return chat.row(turns, [[chat.pause, *(chat.word(word) for word in words.split())]], [True], Setting())


def copied(rows: list[Row]) -> list[tuple[int, int, int]]:
    """List what is copied: row, position before the copy, position of what it is a copy of."""
    return [
        (of, at, source) for of, row in enumerate(rows) for at, source in enumerate(row.sources) if source != IGNORED
    ]


@pytest.fixture
def looking(chat):
    """A model and the attention of its layer, rows, what went in there in a pass over them, and the losses."""
    model = build_language_model()
    attention, pointer, seen = model.model.layers[POINTING].self_attn, Pointer(model, POINTING), {}
    attention.register_forward_pre_hook(lambda _, inputs: seen.update(inputs=inputs))
    model.model.norm.register_forward_pre_hook(lambda _, inputs: seen.update(added_up=inputs[0]))
    rows = [heard(chat, "digits", 5, 5, 1, 2), heard(chat, "thanks"), heard(chat, "digits", 7)]
    ids, _ = pad_rows(rows, chat.end)
    model(model.embed(ids))
    return model, attention, rows, seen, pointer.losses(rows)


def test_a_loss_is_how_far_the_first_head_looks_elsewhere(looking):
    _, attention, rows, seen, losses = looking
    hidden, rotation, *_ = seen["inputs"]
    turned = rotate(attention._project(hidden)[0], rotation).transpose(1, 2)
    told = torch.eye(hidden.shape[1]).expand(len(rows), TEXT.kv_heads, -1, -1)  # values of which the weights come out
    weights = attend(turned[:, : TEXT.heads], turned[:, TEXT.heads :], told, None)[:, 0]
    assert len(copied(rows)) == 5
    expected = torch.stack([-weights[place].log() for place in copied(rows)]).mean()
    assert losses["source"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_another_is_how_far_what_it_adds_to_the_logits_misses_what_it_sees(looking):
    model, attention, rows, seen, losses = looking
    values = attention._project(seen["inputs"][0])[1]
    missed = []
    for of, at, source in copied(rows):
        if rows[of].ids[source] == rows[of].ids[at + 1]:
            alone = torch.zeros(TEXT.heads, TEXT.head_size)
            alone[0] = values[of, source, 0]  # what the head adds when it sees nothing but this
            everything = seen["added_up"][of, at]
            without = everything - attention.o_proj(alone.flatten())
            scale = model.model.norm.weight * everything.square().mean().add(model.model.norm.eps).rsqrt()
            said = model.head(scale * everything) - model.head(scale * without)
            missed.append(F.cross_entropy(said, torch.tensor(rows[of].ids[source])))
    assert len(missed) == 3  # the first digit of each answer has a capital
    assert losses["copy"].item() == pytest.approx(torch.stack(missed).mean().item(), rel=1e-5)


def test_nothing_is_lost_where_nothing_is_copied(chat):
    model = build_language_model()
    pointer, row = Pointer(model, POINTING), heard(chat, "thanks")
    model(model.embed(torch.tensor([row.ids])))
    assert pointer.losses([row]) == {}


def test_where_only_capitals_are_copied_nothing_is_to_be_said(chat):
    model = build_language_model()
    pointer, row = Pointer(model, POINTING), heard(chat, "digits", 7)
    model(model.embed(torch.tensor([row.ids])))
    assert pointer.losses([row]).keys() == {"source"}
