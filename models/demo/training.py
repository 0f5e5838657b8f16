"""What the training stages share: the optimiser, the learning rate, and a loop that survives being killed.

A step's data is drawn from the seed and the step's number alone, so a run that resumes from its last saved state
continues as if it had not stopped.
"""

import ctypes
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.checkpoint import choose_dtype

SAVE_EVERY_S = 60.0
LOG_EVERY = 50  # steps


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for weight matrices (Jordan et al. 2024); Newton-Schulz coefficients are theirs."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                moving = state.setdefault("momentum", torch.zeros_like(param))
                moving.lerp_(param.grad, 1 - group["momentum"])
                update = orthogonal(param.grad.lerp(moving, group["momentum"]).flatten(1))
                scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                param.add_(update.view_as(param), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values of a matrix near 1."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    x = (wide / (wide.norm() + 1e-7)).to(short())
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    out: Tensor = (x if wide is matrix else x.mT).to(matrix.dtype)
    return out


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: where its state is kept, its length and its learning rates."""

    state: Path
    steps: int
    muon: float = 0.02
    adamw: float = 2e-3
    warm_up: int = 50


def device() -> torch.device:
    """Where to train: on a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def short() -> torch.dtype:
    """Give the type for what bears fewer bits: bfloat16, but float32 on a CPU that only emulates that, which takes longer."""
    return choose_dtype(None, device())


def mixed() -> torch.autocast:
    """Compute in fewer bits what bears it."""
    return torch.autocast(device().type, torch.bfloat16, enabled=short() == torch.bfloat16)


def attention() -> AbstractContextManager[None]:
    """Choose the kernel of attention: on a CPU that computes in bfloat16 plain products in that, forth and back.

    On one core with AMX, 28 clips of 100, 170, 300 and 450 frames took 30, 52, 177, 348 ms a layer so; 48, 105, 328, 753 ms
    in float32, to which torch would go; 91, 128, 182, 413 ms in the fused kernel. In float32 throughout the fused one, which
    torch takes, is the faster: 1.8 s for an encoder's batch, 2.3 s with plain products (one core with AVX2).
    """
    if device().type != "cpu" or short() != torch.bfloat16:
        return nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(enabled=True)  # the CPU's, too, whatever the name says
    return sdpa_kernel(SDPBackend.MATH)


def train(run: Run, module: nn.Module, loss: Callable[[int], dict[str, Tensor]]) -> None:
    """Train all of a module's parameters that need gradients; `loss(step)` gives named terms whose sum is minimised.

    The module is moved to `device`. The state is saved about every minute and removed by nobody: a finished run
    returns at once with its result.
    """
    module.to(device())
    optimisers = _optimisers(run, module)
    start = _resume(run, module, optimisers)
    begun = saved = perf_counter()
    means: dict[str, float] = {}
    for step in range(start, run.steps):
        rate = _schedule(step, run)
        with attention():
            terms = loss(step)
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["initial"] * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        for name, value in terms.items():
            means[name] = 0.95 * means.get(name, value.item()) + 0.05 * value.item()
        if step % LOG_EVERY == 0 or step == run.steps - 1:
            told = " ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"{run.state.stem} step {step}/{run.steps} {told} ({perf_counter() - begun:.0f} s)", flush=True)
        if perf_counter() - saved > SAVE_EVERY_S or step == run.steps - 1:
            _save(run, module, optimisers, step + 1)
            _give_back_memory()
            saved = perf_counter()


def _optimisers(run: Run, module: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for weight matrices, AdamW for embeddings, norms, biases and convolutions."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    params = [p for p in module.parameters() if p.requires_grad]
    matrices = [p for p in params if p.ndim == 2 and id(p) not in tables]
    others = [p for p in params if p.ndim != 2 or id(p) in tables]
    optimisers: list[torch.optim.Optimizer] = [Muon(matrices, run.muon)]
    if others:
        optimisers.append(torch.optim.AdamW(others, run.adamw, betas=(0.9, 0.98), weight_decay=0.0))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["initial"] = group["lr"]
    return optimisers


def _schedule(step: int, run: Run) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    if step < run.warm_up:
        return (step + 1) / run.warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - run.warm_up) / max(1, run.steps - run.warm_up)))


def _resume(run: Run, module: nn.Module, optimisers: list[torch.optim.Optimizer]) -> int:
    if not run.state.exists():
        return 0
    state = torch.load(run.state, map_location=device(), weights_only=True)
    module.load_state_dict(state["module"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    print(f"{run.state.stem} continues at step {state['step']} of {run.steps}", flush=True)
    return int(state["step"])


def _save(run: Run, module: nn.Module, optimisers: list[torch.optim.Optimizer], step: int) -> None:
    state = {"module": module.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "step": step}
    partial = run.state.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(run.state)


def _give_back_memory() -> None:
    """Return freed memory to the system: after batches of many sizes glibc holds gaps of gigabytes."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
