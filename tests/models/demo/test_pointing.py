"""The head that is shown what to copy: its loss is read off the attention of the layer itself."""

from random import Random

import pytest
import torch

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


def test_the_loss_is_how_far_the_first_head_looks_elsewhere(chat):
    model = build_language_model()
    attention, pointer, seen = model.model.layers[POINTING].self_attn, Pointer(model, POINTING), {}
    attention.register_forward_pre_hook(lambda _, inputs: seen.update(inputs=inputs))
    rows = [heard(chat, "digits", 5, 5, 1, 2), heard(chat, "thanks"), heard(chat, "digits", 7)]
    ids, _ = pad_rows(rows, chat.end)
    model(model.embed(ids))
    hidden, rotation, *_ = seen["inputs"]
    turned = rotate(attention._project(hidden)[0], rotation).transpose(1, 2)
    told = torch.eye(ids.shape[1]).expand(len(rows), TEXT.kv_heads, -1, -1)  # values of which the weights come out
    weights = attend(turned[:, : TEXT.heads], turned[:, TEXT.heads :], told, None)[:, 0]
    copied = [
        (of, at, source) for of, row in enumerate(rows) for at, source in enumerate(row.sources) if source != IGNORED
    ]
    assert len(copied) == 5
    expected = torch.stack([-weights[place].log() for place in copied]).mean()
    assert pointer.loss(rows).item() == pytest.approx(expected.item(), rel=1e-5)


def test_nothing_is_lost_where_nothing_is_copied(chat):
    model = build_language_model()
    pointer, row = Pointer(model, POINTING), heard(chat, "thanks")
    model(model.embed(torch.tensor([row.ids])))
    assert pointer.loss([row]) is None
