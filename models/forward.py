"""Requests -> logits: the next piece of one prompt, or the next position of several answers in one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.cache import Batch, Pool
from models.graphs import Graphs
from models.model import Model
from models.request import Request
from models.single import Single


def prefill(model: Model, request: Request, most: int) -> Tensor | None:
    """Compute up to `most` further positions of a prompt; gives the logits after it [1, vocabulary] once it is complete.

    At most one window of audio is encoded, so that a piece takes a bounded time. Raises InputError for bad audio.
    """
    assert request.tape
    cache = request.tape.cache
    start, end = cache.length, min(cache.length + most, len(request.keys))
    new = [window for window in request.plan.windows if window.start < end and start < window.start + window.count]
    if unheard := [window for window in new if window.start not in request.rows]:
        window = unheard[0]
        rows = request.tape.hearing.rows(model, request.audios[window.audio], window.number)
        request.rows[window.start] = rows
        end = unheard[1].start if len(unheard) > 1 else end
    rows = model.language_model.embed(torch.tensor([request.plan.ids[start:end]]))
    for window in new:
        if window.start < end:
            first, last = max(start, window.start), min(end, window.start + window.count)
            rows[0, first - start : last - start] = request.rows[window.start][
                first - window.start : last - window.start
            ]
    hidden = model.language_model(rows, cache)
    request.tape.keys += request.keys[start:end]
    if not request.limit and request.heard is not None and start <= request.heard < end:
        told = model.language_model.head(hidden[0, request.heard - start]).float()
        request.end_of_turn = float(told.softmax(-1)[sorted(model.stop)].sum())
    if end < len(request.keys):
        return None
    request.rows.clear()
    logits: Tensor = model.language_model.head(hidden[:, -1])
    return logits


def decode(
    model: Model, pool: Pool, requests: Sequence[Request], graphs: Graphs | None, single: Single | None
) -> Tensor:
    """Put the newest token of each answer on its tape; gives the logits after it, [requests, vocabulary].

    The requests are in the order of their slots.
    """
    tapes = [request.tape for request in requests if request.tape]
    slots, caches = [tape.slot for tape in tapes], [tape.cache for tape in tapes]
    tokens = [request.made[-1] for request in requests]
    if graphs:
        return graphs.decode(tokens, slots, caches)
    if single and len(tapes) == 1:
        return single.decode(tokens[0], caches[0])
    rows = model.language_model.embed(torch.tensor(tokens)[:, None])
    return model.language_model.head(model.language_model(rows, Batch(pool, slots, caches))[:, 0])
