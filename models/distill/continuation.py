"""The language model's own continuations of transcripts, which the model that hears is then trained to give.

Takes a manifest; gives it again with `continuation` filled in. Answers are greedy, and each part of the manifest is
answered by an engine that has seen nothing before, so the result does not depend on where a run was stopped. What is
done stands in OUTPUT.partial, and how far that is in OUTPUT.progress; OUTPUT appears when everything is done.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.distill.forms import instruction
from models.distill.records import BadSampleError
from models.distill.settings import SettingsError
from models.distill.sources import Manifest
from models.distill.tally import Tally
from models.engine import Engine, Limits
from models.inputs import PLACEHOLDER, InputError
from models.model import Model
from models.request import Delta, Failed, Options

_CAPACITY = 1024  # positions of one transcript with its continuation
_PART = 4  # batches that are answered before the file is written


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be continued, and how; all but the paths decides the result."""

    model: str  # its name
    manifest: Path
    output: Path
    max_new_tokens: int = 50  # v0.6 cuts answers to this
    batch: int = 32  # answers at a time

    def path(self, suffix: str) -> Path:
        return self.output.with_name(self.output.name + suffix)

    def told(self) -> dict[str, Any]:
        """What must be the same when a job goes on."""
        return {key: str(value) for key, value in asdict(self).items() if key != "output"}


def continue_manifest(model: Model, job: Job) -> Tally:
    """Write the continued manifest, or go on with it; gives what was left out. Raises SettingsError."""
    if job.output.exists():
        raise SettingsError(f"{job.output} is there already")
    manifest = Manifest(job.manifest, seed=0)
    tally = Tally(job.path(".bad"))
    done = _resume(job)
    part = _PART * job.batch
    with tqdm(total=manifest.size, initial=done, desc="continuing", unit="line") as bar:
        for start in range(done, manifest.size, part):
            end = min(start + part, manifest.size)
            _append(job, _continued(model, job, manifest, range(start, end), tally), end)
            bar.update(end - start)
    job.path(".partial").replace(job.output)
    job.path(".progress").unlink()
    return tally


def _resume(job: Job) -> int:
    """Cut off what was written after the progress was last noted; give how many lines of the manifest are done."""
    partial, progress = job.path(".partial"), job.path(".progress")
    if not progress.is_file():
        job.output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(b"")
        return 0
    noted = json.loads(progress.read_text(encoding="utf-8"))
    if noted["job"] != (told := job.told()):
        changed = ", ".join(key for key in told if noted["job"].get(key) != told[key])
        raise SettingsError(
            f"{partial} was begun otherwise ({changed}): delete it and {progress.name}, or change it back"
        )
    os.truncate(partial, noted["bytes"])
    return int(noted["lines"])


def _append(job: Job, rows: Sequence[dict[str, Any]], lines: int) -> None:
    with job.path(".partial").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    noted = {"lines": lines, "bytes": job.path(".partial").stat().st_size, "job": job.told()}
    fresh = job.path(".progress.new")
    fresh.write_text(json.dumps(noted), encoding="utf-8")
    fresh.replace(job.path(".progress"))


def _continued(model: Model, job: Job, manifest: Manifest, lines: Sequence[int], tally: Tally) -> list[dict[str, Any]]:
    """Give the rows of some lines, continued; a row that is continued already stays as it is."""
    rows, prompts = dict[int, dict[str, Any]](), dict[int, str]()
    for line in lines:
        try:
            row, record = manifest.row(line), manifest.at(line)
            if not record.transcript:
                raise BadSampleError("empty transcript")
        except BadSampleError as error:
            tally.add(manifest.place(line), str(error))
            continue
        if isinstance(record.audio, Path):
            row["audio"] = os.path.relpath(record.audio, job.output.parent)
        rows[line] = row
        if not record.continuation:
            prompts[line] = instruction("continuation").replace(PLACEHOLDER, record.transcript)
    for line, answer in zip(prompts, _answers(model, job, list(prompts.values())), strict=True):
        if isinstance(answer, str) and answer.strip():
            rows[line]["continuation"] = answer.strip()
        else:
            tally.add(manifest.place(line), f"no continuation: {answer or 'it is empty'}")
            del rows[line]
    return list(rows.values())


def _answers(model: Model, job: Job, prompts: Sequence[str]) -> Iterator[str | Exception]:
    """Give the answer to each prompt, or why there is none."""
    limits = Limits(conversations=job.batch, waiting=len(prompts), capacity=_CAPACITY)
    engine = Engine(model, limits)
    answers: list[str | Exception] = [""] * len(prompts)
    asked = {}
    for index, prompt in enumerate(prompts):
        try:
            messages = [{"role": "user", "content": prompt}]
            asked[engine.ask(messages, options=Options(max_new_tokens=job.max_new_tokens))] = index
        except InputError as error:
            answers[index] = error
    while not engine.idle:
        for request, output in engine.step():
            before = answers[asked[request]]
            if isinstance(output, Delta) and isinstance(before, str):
                answers[asked[request]] = before + output.text
            elif isinstance(output, Failed):
                answers[asked[request]] = output.error
    return iter(answers)
