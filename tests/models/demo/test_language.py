"""The demo recipe's language model in training: its batches, its losses, and what is measured of it in text."""

from dataclasses import replace
from random import Random

import pytest
import torch

from models.demo.evaluate import ask, cases, read, table
from models.demo.language import (
    LANGUAGE,
    SORTED,
    WORDS,
    Imagined,
    Reader,
    build_language_model,
    imagined,
    over_loss,
    pad_rows,
)
from models.demo.phrases import LANGUAGES
from models.demo.tokens import IGNORED, Chat


@pytest.fixture(scope="module")
def reader(chat: Chat) -> Reader:
    return Reader(build_language_model(), chat)


def test_batches_are_drawn_from_the_step_alone_and_are_of_similar_length(chat):
    for part in (WORDS, LANGUAGE):
        draw = imagined(part, chat)
        rows = [draw(step) for step in range(SORTED, 2 * SORTED)]
        assert rows[3] == imagined(part, chat)(SORTED + 3)
        lengths = sorted([len(row.ids) for row in batch] for batch in rows)
        assert [max(batch) for batch in lengths][:-1] <= [min(batch) for batch in lengths][1:]
        assert rows[0] != draw(2 * SORTED)


def test_at_first_every_conversation_is_one_turn(chat):
    draw = imagined(WORDS, chat)
    assert {row.ids.count(chat.head("user")[1]) for step in (0, 50) for row in draw(step)} == {1}
    draw = imagined(LANGUAGE, chat)
    assert max(row.ids.count(chat.head("user")[1]) for step in range(0, 8 * SORTED, SORTED) for row in draw(step)) >= 8


def test_losses_are_finite_and_reach_the_model_and_its_count(reader):
    terms = Imagined(reader, replace(WORDS, batch=6))(1300)
    assert set(terms) == {"loss", "over", "places", "source", "copy"}
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    for parameter in (reader.places.weight, *reader.model.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_the_end_of_a_turn_is_foretold_where_its_audio_ends(chat):
    """A model that always gives the end of turn is right for whoever has finished, and wrong for the others."""

    class Sure:
        @staticmethod
        def head(hidden):
            return torch.zeros(len(hidden), len(chat.tokenizer.get_vocab())).index_fill_(
                1, torch.tensor(chat.end), 50.0
            )

    draw = imagined(LANGUAGE, chat)
    rows = [row for step in range(SORTED) for row in draw(step) if row.over]
    for finished in (True, False):
        chosen = [row for row in rows if {over for _, over in row.over} == {finished}][:5]
        assert chosen
        ids, _ = pad_rows(chosen, chat.end)
        loss = over_loss(torch.zeros(*ids.shape, 4), chosen, Sure(), chat)
        assert (loss < 1e-3) == finished


def test_rows_are_padded_on_the_right(chat):
    rows = imagined(WORDS, chat)(0)[:3]
    ids, labels = pad_rows(rows, chat.end)
    for index, row in enumerate(rows):
        assert ids[index, : len(row.ids)].tolist() == row.ids
        assert labels[index, : len(row.ids)].tolist() == row.labels
        assert (labels[index, len(row.ids) :] == IGNORED).all()


def test_every_kind_is_measured_in_text(reader, chat):
    asked = cases(Random(0), 1)
    labels = {case.label for case in asked}
    assert labels >= {
        "greeting",
        "phone",
        "digits 12",
        "difference",
        "transcribe",
        "number, correction",
        "result, repeat",
        *LANGUAGES,
    }
    assert all(ask(case, Random(0)).turns for case in asked)
    measured = read(reader.model.eval(), chat, asked[::12], spoken=1)
    assert len(list(table({"as heard": measured}))) == len(measured) + 3
