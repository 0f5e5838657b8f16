"""How fast the engine is on this device: stages, tokens per second, time to the first token with and without the tape.

Beside it, in the same run and in turns with it, transformers' generate on the same weights, and the device's own limits.
All figures are of random weights; times are in milliseconds and medians, with the smallest and largest beside them.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch

from models import memory, rivals, shapes
from models import quantize as quantisation
from models.attention import kept_dtype
from models.engine import Engine, Limits
from models.features import RATE, compress, log_energies, log_mel
from models.request import Options, Request
from models.ultravox import convolved

PROMPT = 200  # tokens before each answer, where tokens per second are measured
CONVERSATIONS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (1, 5, 15)
HISTORIES = (0, 1000, 4000)
HEARD = 4.7  # seconds of a turn of 5 that were heard before, where that is measured
TURN = 8.0  # seconds from the end of a conversation's turn to the end of its next, where several talk
ANSWER = 60  # tokens of each answer there, about 15 s of speech: more than is said


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and how long."""

    shape: str
    device: torch.device
    dtype: torch.dtype
    rounds: int = 3
    tokens: int = 32
    conversations: tuple[int, ...] = CONVERSATIONS
    talking: int = 4
    quantize: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:9.2f}  ({min(self.values):.2f} to {max(self.values):.2f})"


Report = dict[str, Figure]


def measure(setting: Setting) -> Report:
    """Measure everything; gives figures by name, in the order to print them in. Raises CheckpointError as loading does."""
    quantisation.check(setting.quantize, setting.dtype)
    torch.manual_seed(0)
    model = shapes.build(setting.shape, setting.device, setting.dtype)
    roofline = rivals.Roofline.of(model.language_model, PROMPT + setting.tokens // 2, setting.quantize)
    generate = rivals.Generate(model.language_model)
    if setting.quantize:
        quantisation.quantise(model.language_model, setting.quantize)
    kept, window = kept_dtype(model.dtype, model.device), min(model.window, Limits().capacity)
    fits = memory.conversations(model.config.text, kept, window, memory.available(model.device))
    together = Limits(conversations=max(setting.conversations), capacity=PROMPT + max(setting.conversations) + 100)
    bench = Bench(Engine(model, Limits(conversations=min(setting.talking, fits))), setting.rounds, setting.tokens)
    report = bench.stages()
    report |= Bench(Engine(model, together), setting.rounds, setting.tokens).speeds(generate, setting.conversations)
    speed = report["tokens_per_s_1"].values
    report["per_token_ms"] = Figure(tuple(1000 / value for value in speed))
    report["roofline_per_token_ms"] = Figure((1000 * roofline.seconds,))
    report["roofline_share"] = Figure(tuple(value * roofline.seconds for value in speed))
    report["bandwidth_gb_s"] = Figure((roofline.bytes_per_s / 1e9,))
    report["peak_tflop_s"] = Figure((roofline.operations_per_s / 1e12,))
    report |= bench.first_tokens()
    return report | bench.talking(min(setting.talking, fits))


class Bench:
    """One engine, measured."""

    def __init__(self, engine: Engine, rounds: int, tokens: int) -> None:
        self._engine = engine
        self._rounds = rounds
        self._tokens = tokens
        self._numbers = np.random.default_rng(0)

    def stages(self) -> Report:
        """Time what happens to 5 s of audio, and to 1000 tokens."""
        model, rounds = self._engine.model, self._rounds
        device = model.device
        wave = torch.from_numpy(noise(self._numbers, 5)).float().to(model.device) / 32768
        mels, held = model.config.audio.mels, int(HEARD * RATE)
        mel, heard = log_mel(wave, mels), log_energies(wave[:held], mels)
        tower, windows = model.audio_tower, mel[None].to(model.dtype)
        frames = tower.convolve(windows)
        encoded, known = tower.attend(frames)[0], frames[:, : convolved(heard.shape[1] - 1)]
        return {
            "mel_ms": timed(lambda: log_mel(wave, mels), rounds, device),
            "mel_more_ms": timed(lambda: compress(log_energies(wave, mels, heard, held)), rounds, device),
            "convolutions_ms": timed(lambda: tower.convolve(windows), rounds, device),
            "convolutions_more_ms": timed(lambda: tower.convolve(windows, known), rounds, device),
            "encoder_layers_ms": timed(lambda: tower.attend(frames), rounds, device),
            "projector_ms": timed(lambda: model.project(encoded), rounds, device),
            "prefill_1000_ms": Figure(tuple(self._first_token(self._chat(1000)) for _ in range(rounds))),
            "memory_mb": Figure((used(device) / 1e6,)),
        }

    def speeds(self, generate: rivals.Generate, conversations: Sequence[int]) -> Report:
        """Measure tokens per second of so many answers in flight, and of transformers in between; then the ratios."""
        generate.seconds(1, PROMPT, 2)
        ours: dict[int, list[float]] = {count: [] for count in conversations}
        theirs: dict[int, list[float]] = {1: [], 8: []}
        for _ in range(self._rounds):
            for count in conversations:
                ours[count].append(self._speed(count))
                if count in theirs:
                    theirs[count].append(generate.tokens_per_s(count, PROMPT, self._tokens))
        report = {f"tokens_per_s_{count}": Figure(tuple(values)) for count, values in ours.items()}
        report |= {f"transformers_tokens_per_s_{n}": Figure(tuple(values)) for n, values in theirs.items() if values}
        pairs = {"1": (1, 1), "8": (8, 1), "8_batched": (8, 8)}
        for name, (mine, other) in pairs.items():
            if mine in ours and theirs[other]:
                quotients = [a / b for a, b in zip(ours[mine], theirs[other], strict=True)]
                report[f"tokens_per_s_ratio_{name}"] = Figure(tuple(quotients))
        return report

    def first_tokens(self) -> Report:
        """Time a turn of so much audio on a history of so many tokens: computed from nothing, on its tape, and speculated."""
        report: Report = {}
        room = self._engine.window * 3 // 4
        for history in (held for held in HISTORIES if held + 100 <= room):
            for seconds in SECONDS:
                times = list(zip(*(self._turn(history, seconds) for _ in range(self._rounds)), strict=True))
                name = f"{seconds}s_{history}"
                for kind, values in zip(("ttft_nothing", "ttft_tape", "ttft_speculated"), times, strict=True):
                    report[f"{kind}_{name}_ms"] = Figure(values)
        report |= self._growing()
        with_tape, without = (report[f"ttft_{kind}_5s_1000_ms"].values for kind in ("tape", "nothing"))
        report["ttft_tape_ratio"] = Figure(tuple(a / b for a, b in zip(with_tape, without, strict=True)))
        report["rewind_ms"] = self._rewind()
        return report

    def talking(self, count: int) -> Report:
        """Time first tokens while so many conversations talk in turn: 5 s each, on 300 tokens, every `TURN` seconds."""
        chats = [self._chat(300) for _ in range(count)]
        for chat in chats:
            self._run(self._engine.ask([*chat, {"role": "user", "content": "b"}], (), Options(0)))
        due = [TURN * number / count for number in range(count * self._rounds)]
        asked: dict[Request, float] = {}
        times: list[float] = []
        started = perf_counter()
        while due or not self._engine.idle:
            now = perf_counter() - started
            while due and due[0] <= now:
                turn = [*chats[len(due) % count], {"role": "user", "content": "<|audio|>"}]
                asked[self._engine.ask(turn, (noise(self._numbers, 5),), Options(ANSWER))] = due.pop(0)
            self._engine.step()
            begun = [request for request in asked if request.made]
            times += [1000 * (perf_counter() - started - asked.pop(request)) for request in begun]
        ordered = sorted(times)
        name = f"ttft_{count}_talking"
        return {
            f"{name}_ms": Figure(tuple(ordered)),
            f"{name}_p95_ms": Figure((ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],)),
        }

    def _growing(self) -> Report:
        """Time hearing 5 s of a turn that is not over, for the first time and after most of it was heard."""
        figures: dict[str, list[float]] = {"hear_5s_ms": [], "hear_more_5s_ms": []}
        for _ in range(self._rounds):
            turn, audio = [{"role": "user", "content": "<|audio|>"}], noise(self._numbers, 5)
            figures["hear_5s_ms"].append(self._first_token(turn, noise(self._numbers, 5), tokens=0))
            self._first_token(turn, audio[: int(HEARD * RATE)], tokens=0)
            figures["hear_more_5s_ms"].append(self._first_token(turn, audio, tokens=0))
        return {name: Figure(tuple(values)) for name, values in figures.items()}

    def _turn(self, history: int, seconds: float) -> tuple[float, float, float]:
        """Time the same turn three times, each knowing more."""
        turn = {"role": "user", "content": "<|audio|>"}
        nothing = self._first_token([*self._chat(history), turn], noise(self._numbers, seconds))
        known = self._chat(history)
        if history:
            self._run(self._engine.ask([*known, {"role": "user", "content": "b"}], (), Options(0)))
        audio = noise(self._numbers, seconds)
        tape = self._first_token([*known, turn], audio)
        speculated = self._first_token([*known, turn], audio)
        return nothing, tape, speculated

    def _chat(self, tokens: int) -> list[dict[str, str]]:
        """Text of so many tokens that no tape holds."""
        letters = "".join(map(chr, self._numbers.integers(97, 123, tokens)))
        return [{"role": "user", "content": letters}, {"role": "assistant", "content": "b"}][: 2 if tokens else 0]

    def _first_token(self, messages: list[dict[str, str]], *audios: Any, tokens: int = 1) -> float:
        """Milliseconds from the request to its first token, or with none to the end of its prefill."""
        if messages[-1]["role"] == "assistant":
            messages = [*messages, {"role": "user", "content": "b"}]
        started = perf_counter()
        self._run(self._engine.ask(messages, audios, Options(tokens)))
        return 1000 * (perf_counter() - started)

    def _run(self, request: Request) -> None:
        while not self._engine.idle:
            self._engine.step()
        assert request.tape

    def _speed(self, count: int) -> float:
        """Tokens per second of all answers together, once all have begun."""
        chats = [[{"role": "user", "content": self._chat(PROMPT - 3)[0]["content"]}] for _ in range(count)]
        requests = [self._engine.ask(chat, (), Options(4096)) for chat in chats]
        while not all(request.made for request in requests):
            self._engine.step()
        started = perf_counter()
        for _ in range(self._tokens):
            self._engine.step()
        spent = perf_counter() - started
        for request in requests:
            self._engine.cancel(request)
        return count * self._tokens / spent

    def _rewind(self) -> Figure:
        """Time going back to the middle of a tape of 1000 positions."""
        times = []
        for _ in range(self._rounds):
            request = self._engine.ask([*self._chat(1000), {"role": "user", "content": "b"}], (), Options(1))
            self._run(request)
            assert request.tape
            started = perf_counter()
            request.tape.rewind(500)
            times.append(1000 * (perf_counter() - started))
        return Figure(tuple(times))


def noise(numbers: np.random.Generator, seconds: float) -> Any:
    """Audio that no tape holds, as 16-bit samples at 16 kHz."""
    return numbers.integers(-9000, 9000, int(seconds * RATE)).astype(np.int16)


def timed(work: Callable[[], object], rounds: int, device: torch.device) -> Figure:
    """Time some work so many times, after once for the first time."""
    times = []
    for _ in range(rounds + 1):
        started = perf_counter()
        work()
        rivals.synchronize(device)
        times.append(1000 * (perf_counter() - started))
    return Figure(tuple(times[1:]))


def used(device: torch.device) -> int:
    """Count the bytes that the process holds, on a GPU the most that it held."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss


def as_json(setting: Setting, report: Report) -> dict[str, object]:
    """Give the medians, with the figures that are asked for most under short names, and what was measured."""
    values: dict[str, object] = {name: figure.median for name, figure in report.items()}
    return {
        "shape": setting.shape,
        "device": torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else "cpu",
        "dtype": str(setting.dtype).removeprefix("torch."),
        "quantize": setting.quantize,
        "threads": torch.get_num_threads(),
        "ttft_ms": report["ttft_tape_5s_1000_ms"].median,
        "tokens_per_s": report["tokens_per_s_1"].median,
        **values,
    }
