"""The training loop: AdamW on what `Student` trains, on one device or, started with `accelerate launch`, on many.

Everything random is drawn from the seed and the number of a draw, so the state of a run is its step, the trained weights
and the optimiser's moments. A run that was killed goes on from the last state that it saved, with the losses that it
would have had. (A chat template that writes the date makes two days differ.)
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.checkpoint import state_dict as states
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.checkpoint import Checkpoint, choose_dtype, fill, read_tokenizer
from models.distill import export
from models.distill.examples import Batch, Composer, Examples, collate
from models.distill.settings import OptimizerSettings, Settings, SettingsError
from models.distill.sources import open_source
from models.distill.start import start
from models.distill.student import Student
from models.distill.tally import Tally

RESULT, STATE, LOG, BAD = "model", "state.pt", "log", "bad.jsonl"  # in the output folder
_WHOLE = states.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_GIVEN = states.StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)
_FREE: dict[str, Any] = {
    "output": True,
    "run": {"steps", "save_every", "log_every", "workers"},
}  # may change when a run goes on
_NETWORK = "network."  # what `Student` puts before a network's names


def learning_rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Rise linearly, then fall by half a cosine to the final share after the last step."""
    if step < settings.warm_up_steps:
        return settings.learning_rate * (step + 1) / settings.warm_up_steps
    done = (step - settings.warm_up_steps) / max(1, steps - settings.warm_up_steps)
    share = settings.final_share + (1 - settings.final_share) * 0.5 * (1 + math.cos(math.pi * done))
    return settings.learning_rate * share


def train(settings: Settings) -> Path:
    """Train, or go on where a run was stopped; gives the folder of the result. Raises SettingsError, CheckpointError."""
    # Mixed precision is the student's own: accelerate's would also reduce gradients and give the loss in bfloat16.
    accelerator = Accelerator(gradient_accumulation_steps=settings.run.accumulation, mixed_precision="no")
    settings.output.mkdir(parents=True, exist_ok=True)
    with accelerator.main_process_first():
        checkpoint = start(settings.model, settings.output / "start", settings.seed)
    torch.manual_seed(settings.seed)  # of LoRA's first weights
    run = Run(settings, accelerator, checkpoint)
    run.resume()
    steps, silent = settings.run.steps, not accelerator.is_main_process
    with tqdm(total=steps, initial=run.step, desc="training", unit="step", disable=silent) as bar:
        for figures in run.steps():
            bar.set_postfix(figures, refresh=False)
            bar.update()
    return run.finish()


class Run:
    """A training run in progress, on one of its processes."""

    def __init__(self, settings: Settings, accelerator: Accelerator, checkpoint: Checkpoint) -> None:
        self.step = 0  # steps done
        self.tally = Tally(settings.output / BAD)
        self._settings = settings
        self._accelerator = accelerator
        self._checkpoint = checkpoint
        self._kept = torch.float32 if settings.run.precision == "fp32" else torch.bfloat16  # by the whole result
        computed = self._kept if settings.run.precision else choose_dtype(None, accelerator.device)
        fill(checkpoint, torch.device("cpu"), computed)
        student = Student(checkpoint.network, settings.loss, settings.model.lora, settings.model.train_audio)
        optimizer = torch.optim.AdamW(student.trained(), weight_decay=settings.optimizer.weight_decay)
        self._student, self._optimizer = accelerator.prepare(student, optimizer)

    def resume(self) -> None:
        """Go on from the saved state, where there is one. Raises SettingsError when it is of another training."""
        path = self._settings.output / STATE
        if not path.is_file():
            return
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved["settings"] != (told := self._told()):
            changed = ", ".join(key for key in told if saved["settings"].get(key) != told[key])
            raise SettingsError(
                f"{path} was trained with other settings ({changed}): change them back, or choose another output"
            )
        states.set_model_state_dict(self._student, saved["trained"], options=_GIVEN)
        states.set_optimizer_state_dict(self._student, self._optimizer.optimizer, saved["optimizer"], options=_GIVEN)
        self.step = saved["step"]

    def steps(self) -> Iterator[Mapping[str, str]]:
        """Do the steps that are left, one by one; give what a progress bar shows."""
        run, count = self._settings.run, self._accelerator.num_processes
        batches = iter(self._batches())
        begun, tokens = perf_counter(), 0
        with self._log() as log:
            while self.step < run.steps:
                losses = list[Tensor]()
                for batch in islice(batches, run.accumulation):
                    tokens += batch.tokens * count
                    losses.append(self._pass(batch))
                norm = self._update()
                self.step += 1
                loss = self._accelerator.reduce(torch.stack(losses).mean(), "mean").item()
                speed = tokens / (perf_counter() - begun)
                rate = self._optimizer.param_groups[0]["lr"]
                figures = {"loss": loss, "gradient": norm, "learning rate": rate, "tokens/s": speed}
                figures["bad"] = float(self.tally.total)
                if log and self.step % run.log_every == 0:
                    for name, value in figures.items():
                        if math.isfinite(value):
                            log.add_scalar(name, value, self.step)
                if self.step % run.save_every == 0 or self.step == run.steps:
                    self._save()
                yield {"loss": f"{loss:.4f}", "tokens/s": f"{speed:.0f}", "bad": f"{self.tally.total}"}

    def finish(self) -> Path:
        """Write the result, and say where it is."""
        folder = self._settings.output / RESULT
        trained = self._trained()
        if self._accelerator.is_main_process:
            named = {name.removeprefix(_NETWORK): tensor.to(self._kept) for name, tensor in trained.items()}
            export.write(self._checkpoint, named, self._settings.model.lora, folder)
            left_out = f"; left out: {self.tally}; see {self._settings.output / BAD}" if self.tally.total else ""
            self._accelerator.print(f"{folder}{left_out}")
        self._accelerator.wait_for_everyone()
        self._accelerator.end_training()
        return folder

    def _log(self) -> AbstractContextManager[SummaryWriter | None]:
        """Open the log, on one process; what a killed run wrote after its last saved state is taken out."""
        if not self._accelerator.is_main_process:
            return nullcontext()
        writer: AbstractContextManager[SummaryWriter] = SummaryWriter(
            str(self._settings.output / LOG), purge_step=self.step + 1
        )
        return writer

    def _batches(self) -> Iterator[Batch]:
        """Give this process its share of the passes that are left."""
        settings, run = self._settings, self._settings.run
        composer = Composer(read_tokenizer(self._checkpoint), self._checkpoint.config, settings)
        sources = [open_source(data, settings.seed) for data in settings.data]
        per_step = run.batch * run.accumulation * self._accelerator.num_processes
        examples = Examples(sources, settings, composer, run.steps * per_step)
        loader = DataLoader(
            examples,
            batch_size=run.batch,
            sampler=range(self.step * per_step, len(examples)),
            collate_fn=collate,
            num_workers=run.workers,
        )
        batches: Iterator[Batch] = self._accelerator.prepare(loader)
        return batches

    def _pass(self, batch: Batch) -> Tensor:
        """Add the gradient of a batch; give its loss."""
        for name, reason in batch.bad:
            self.tally.add(name, reason)
        with self._accelerator.accumulate(self._student):
            told = self._student(batch)
            self._accelerator.backward(told["loss"])
        for name, broken in zip(batch.names, told["broken"].tolist(), strict=True):
            if broken:
                self.tally.add(name, "the loss is not a number")
        loss: Tensor = told["loss"].detach()
        return loss

    def _update(self) -> float:
        """Move the weights along the gradient, unless it is not a number; give its norm. All processes see the same."""
        settings = self._settings
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, settings.run.steps, settings.optimizer)
        norm = float(self._accelerator.clip_grad_norm_(self._student.parameters(), settings.optimizer.clip))
        if math.isfinite(norm):
            self._optimizer.step()
        else:
            self.tally.add(f"step {self.step + 1}", "left out, because the gradient is not a number")
        self._optimizer.zero_grad()
        return norm

    def _save(self) -> None:
        """Replace the saved state."""
        optimizer = states.get_optimizer_state_dict(self._student, self._optimizer.optimizer, options=_WHOLE)
        state = {"step": self.step, "settings": self._told(), "trained": self._trained(), "optimizer": optimizer}
        if self._accelerator.is_main_process:
            path = self._settings.output / STATE
            torch.save(state, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        self._accelerator.wait_for_everyone()

    def _trained(self) -> dict[str, Tensor]:
        state = states.get_model_state_dict(self._student, options=_WHOLE)
        return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}

    def _told(self) -> dict[str, object]:
        """What must not change when a run goes on."""
        return self._settings.model_dump(mode="json", exclude=_FREE) | {"processes": self._accelerator.num_processes}
