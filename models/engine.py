"""Continuous batching: many answers at a time on one device, each advanced by one token per step.

Takes conversations, gives text as it comes. Everything happens in `step`, on one thread: the next piece of the most urgent
prompt, then one token for every answer in flight, all in one batch. So a new caller's prompt delays the others' tokens
by one piece, and a cancelled request costs nothing from the next step on. What goes wrong in a request fails that one.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models import graphs, memory
from models.attention import kept_dtype
from models.forward import decode, prefill
from models.inputs import InputError, Messages
from models.model import Model
from models.request import Delta, Failed, Finished, Options, Output, Prefilled, Priority, Request, build
from models.sampling import choose, penalise
from models.single import Single
from models.tape import Tapes

_logger = logging.getLogger(__name__)

_MOST = 32  # conversations by default
_BROKEN = "the model computed something that is not a number"


class EngineFullError(RuntimeError):
    """As many requests are in flight as the engine takes; the message says how many."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine takes on."""

    conversations: int | None = None  # tapes; by default as many as half of the free memory holds, and at most 32
    waiting: int = 64  # requests beyond
    capacity: int = 8192  # positions of a tape; the model's window if that is less
    piece: int = 256  # positions of a prompt that are computed between two tokens of the others


class Engine:
    """One model's requests. Takes the model for its own, and is for one thread; `step` it until it is `idle`."""

    def __init__(self, model: Model, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.model = model
        self.window = min(model.window, self._limits.capacity)
        model.language_model.fuse()
        text, dtype, device = model.config.text, model.dtype, model.device
        fitting = memory.conversations(text, kept_dtype(dtype, device), self.window, memory.available(device))
        self.conversations = self._limits.conversations or min(fitting, _MOST)
        self._tapes = Tapes(text, self.conversations, self.window, dtype, device)
        self._graphs = graphs.on_device(model.language_model, self._tapes.pool)
        self._single = Single.of(model.language_model, self.window)
        self._waiting: list[Request] = []
        self._active: list[Request] = []  # those with a tape
        self._outputs: list[tuple[Request, Output]] = []

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._active)

    def ask(self, messages: Messages, audios: Sequence[Any] = (), options: Options | None = None) -> Request:
        """Ask for the answer to a chat, written as for `Model.generate`.

        Raises InputError, and EngineFullError when too many requests wait already.
        """
        if len(self._waiting) >= self._limits.waiting:
            waiting = f"{len(self._waiting)} requests wait"
            raise EngineFullError(f"{self.conversations} conversations are being answered and {waiting}")
        request = build(self.model, self.window, messages, audios, options or Options())
        self._waiting.append(request)
        return request

    def cancel(self, request: Request) -> None:
        """Drop a request: nothing more comes of it. Its tape keeps what was computed."""
        self._outputs = [(owner, output) for owner, output in self._outputs if owner is not request]
        if request in self._waiting:
            self._waiting.remove(request)
        if request in self._active:
            self._end(request)

    @torch.inference_mode()
    def step(self) -> list[tuple[Request, Output]]:
        """Compute the next piece of the most urgent prompt, and a token for every answer in flight; give what came of it."""
        self._admit()
        urgent = min(map(_urgency, (*self._active, *self._waiting)), default=Priority.COMMITTED)
        at_work = [
            request for request in self._active if _urgency(request) < Priority.OFF_PATH or urgent == Priority.OFF_PATH
        ]
        answering = sorted((request for request in at_work if not request.pending), key=_slot)
        if prompts := [request for request in at_work if request.pending]:
            self._guard([min(prompts, key=_urgency)], self._prefill)
        if answering and not self._guard(answering, self._decode):
            for request in answering:  # one by one it shows whose fault it is
                self._guard([request], self._decode)
        outputs, self._outputs = self._outputs, []
        return outputs

    def _admit(self) -> None:
        """Give tapes to those who wait, the most urgent first: idle ones, else those of less urgent requests, which wait again."""
        while self._waiting:
            self._waiting.sort(key=_urgency)
            request = self._waiting[0]
            inherit = request.priority < Priority.OFF_PATH
            tape = self._tapes.take(request.keys, request.reusable, inherit=inherit)
            if tape:
                request.tape, tape.settled = tape, request.settled if inherit else 0
                if not request.started:
                    request.started, request.cached = True, tape.cache.length
                self._active.append(self._waiting.pop(0))
                continue
            least = max(self._active, key=_urgency)
            if _urgency(least) <= _urgency(request):
                return
            self._end(least)
            least.pause()
            self._waiting.append(least)

    def _guard(self, requests: Sequence[Request], work: Callable[[Sequence[Request]], None]) -> bool:
        """Do work of which nothing is kept if it goes wrong; a single request then fails, of several it is not known which: False."""
        try:
            work(requests)
        except (InputError, RuntimeError) as error:  # RuntimeError is what torch raises, out of memory included
            for request in requests:
                if request.tape:
                    request.tape.cache.length = len(request.tape.keys)
            if self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            if len(requests) > 1:
                return False
            self._fail(requests[0], error)
        return True

    def _prefill(self, requests: Sequence[Request]) -> None:
        [request] = requests
        logits = prefill(self.model, request, self._limits.piece)
        if logits is None:
            self._active.remove(request)
            self._active.append(request)  # equally urgent ones take turns
        elif request.limit:
            self._hand_over(requests, logits)
        elif logits.isfinite().all():
            self._end(request, Prefilled(request.end_of_turn))
        else:
            self._fail(request, RuntimeError(_BROKEN))

    def _decode(self, requests: Sequence[Request]) -> None:
        try:
            logits = decode(self.model, self._tapes.pool, requests, self._graphs, self._single)
        except RuntimeError as error:
            if not self._graphs:
                raise
            _logger.warning("tokens are computed without CUDA graphs from now on: %s", error)
            self._graphs = None
            logits = decode(self.model, self._tapes.pool, requests, None, self._single)
        for request in requests:
            assert request.tape
            request.tape.keys.append(request.made[-1])
        self._hand_over(requests, logits)

    def _hand_over(self, requests: Sequence[Request], logits: Tensor) -> None:
        """Choose a token for each request and pass on the text that it completes."""
        for row, request in enumerate(requests):
            if request.options.sampling.repetition_penalty != 1:
                logits[row] = penalise(logits[row], _said(request, self.model), request.options.sampling)
        tokens = choose(logits, [request.options.sampling for request in requests])
        for request, token in zip(requests, tokens, strict=True):
            if token < 0:
                self._fail(request, RuntimeError(_BROKEN))
                continue
            ends = token in self.model.stop
            request.made.append(token)
            if delta := "" if ends else request.text.push(token):
                self._outputs.append((request, Delta(delta)))
            if ends or len(request.made) == request.limit:
                if rest := request.text.end():
                    self._outputs.append((request, Delta(rest)))
                self._end(request, Finished(len(request.made) - ends, ends))

    def _fail(self, request: Request, error: Exception) -> None:
        if request.tape and not isinstance(error, InputError):
            self._tapes.wipe(request.tape)
        self._end(request, Failed(error))

    def _end(self, request: Request, output: Output | None = None) -> None:
        """Let a request go, with a last output."""
        assert request.tape
        self._active.remove(request)
        request.tape.busy = False
        if output:
            self._outputs.append((request, output))


def _urgency(request: Request) -> Priority:
    return request.priority


def _slot(request: Request) -> int:
    return request.tape.slot if request.tape else -1


def _said(request: Request, model: Model) -> Tensor:
    """The tokens that were read or said; what marks turns is none, and neither is what stands for audio."""
    said = {key for key in (*request.keys, *request.made) if isinstance(key, int)} - {*model.stop, model.tokenizer.eos}
    return torch.tensor(sorted(said), device=model.device)
