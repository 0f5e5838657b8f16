"""Command line: `python -m models ask` puts a question to a checkpoint, `inspect` tells what one is, `bench` measures the engine.

`train` teaches a projector to make a language model hear, `continue` makes that model's own answers to learn from, and
`evaluate` tells how well it hears: see distill/README.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from models import CheckpointError, InputError, Model, load, memory, quantize, shapes
from models.checkpoint import Checkpoint, choose_dtype, open_checkpoint, read_tokenizer
from models.distill.settings import SettingsError
from models.features import HOP, RATE
from models.inputs import PLACEHOLDER, read_wav


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 1 and one line on stderr when checkpoint or input are not as they must be."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "ask":
                _ask(options)
            case "inspect":
                _inspect(open_checkpoint(options.model, dict(options.tower)))
            case "train":
                _train(options)
            case "continue":
                _continue(options)
            case "evaluate":
                _evaluate(options)
            case _:
                _bench(options)
    except (CheckpointError, InputError, SettingsError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{options.command}: {error.name} is not installed: pip install 'parley[train]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    towers = argparse.ArgumentParser(add_help=False)
    towers.add_argument(
        "--tower", type=_tower, action="append", default=[], metavar="ID=DIR", help="take a hub id from a folder"
    )
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    place.add_argument("--dtype", help="float32, bfloat16 or float16; by default what suits the device")
    ask = commands.add_parser("ask", parents=[towers, place], help="answer text and audio")
    ask.add_argument("text", nargs="?", help=f"the question, with {PLACEHOLDER} where each audio goes; none: chat")
    ask.add_argument("--model", required=True, help="folder or hub id")
    ask.add_argument("--audio", type=Path, action="append", default=[], help="mono sound file at 16 kHz; repeatable")
    ask.add_argument("--system", help="the system message")
    ask.add_argument("--temperature", type=float, default=0.0, help="0 (default): always the likeliest token")
    ask.add_argument("--max-new-tokens", type=int, default=256)
    ask.add_argument("--quantize", choices=quantize.CHOICES, help="weight-only, for the language model")
    inspect = commands.add_parser("inspect", parents=[towers], help="tell what a checkpoint is and needs")
    inspect.add_argument("model", help="folder or hub id")
    bench = commands.add_parser("bench", parents=[place], help="measure the engine with random weights")
    bench.add_argument("--shape", choices=shapes.SHAPES, default="medium")
    bench.add_argument("--threads", type=int, help="of the CPU; by default torch's own choice")
    bench.add_argument("--rounds", type=int, default=3, help="measurements of each figure")
    bench.add_argument("--conversations", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="in flight")
    bench.add_argument("--talking", type=int, help="conversations that talk in turn; by default 32, on a CPU 4")
    bench.add_argument("--quantize", choices=quantize.CHOICES, help="weight-only, for the language model")
    bench.add_argument("--json", action="store_true", help="one object, of medians")
    train = commands.add_parser("train", parents=[towers], help="distil a language model into a projector that hears")
    train.add_argument("config", type=Path, help="TOML file; models/distill holds some")
    more = commands.add_parser("continue", parents=[towers, place], help="let a language model continue transcripts")
    more.add_argument("--model", required=True, help="folder or hub id of a language model, or of an Ultravox with one")
    more.add_argument("--manifest", type=Path, required=True, help="JSON lines with audio and transcript")
    more.add_argument("--output", type=Path, required=True, help="the same with continuation")
    more.add_argument("--max-new-tokens", type=int, default=50)
    more.add_argument("--batch", type=int, default=32, help="answers at a time")
    judge = commands.add_parser("evaluate", parents=[towers, place], help="tell how well and how fast a model hears")
    judge.add_argument("--model", required=True, help="folder or hub id")
    judge.add_argument("--manifest", type=Path, required=True, help="JSON lines with audio and what is expected")
    judge.add_argument("--task", choices=("transcribe", "translate", "answer"), default="transcribe")
    judge.add_argument("--prompt", help=f"the question, with {PLACEHOLDER}; by default as in training")
    judge.add_argument("--system", help="the system message")
    judge.add_argument("--language", default="English", help="of the speech, where clips do not tell it")
    judge.add_argument("--target", default="English", help="of translations, where clips do not tell it")
    judge.add_argument("--max-new-tokens", type=int, default=256)
    judge.add_argument("--quantize", choices=quantize.CHOICES, help="weight-only, for the language model")
    judge.add_argument("--json", type=Path, help="where everything is written; by default beside the manifest")
    return parser


def _tower(value: str) -> tuple[str, str]:
    name, separator, folder = value.partition("=")
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form ID=DIR")
    return name, folder


def _ask(options: argparse.Namespace) -> None:
    """Answer one question; without question and audio, each line of standard input in turn."""
    audios = [read_wav(path) for path in options.audio]
    model = load(options.model, dict(options.tower), options.device, options.dtype, options.quantize)
    messages = [{"role": "system", "content": options.system}] if options.system else []
    for question in _questions(options.text, len(audios)):
        messages.append({"role": "user", "content": question})
        stream = model.generate(messages, audios, options.max_new_tokens, options.temperature)
        messages.append({"role": "assistant", "content": _show(model, stream)})


def _questions(text: str | None, audios: int) -> Iterator[str]:
    if text is not None:
        yield text
    elif audios:
        yield PLACEHOLDER * audios
    else:
        yield from (line for line in map(str.strip, sys.stdin) if line)


def _show(model: Model, stream: Iterator[str]) -> str:
    """Print an answer as it comes, then its times on stderr; give the whole of it."""
    started, first, answer = perf_counter(), 0.0, ""
    for delta in stream:
        first = first or perf_counter()
        answer += delta
        print(delta, end="", flush=True)
    ended, tokens = perf_counter(), len(model.tokenizer.encode(answer))
    print()
    if tokens > 1:
        speed = (tokens - 1) / (ended - first)
        print(f"first token after {1000 * (first - started):.0f} ms, then {speed:.1f} tokens/s", file=sys.stderr)
    return answer


def _inspect(checkpoint: Checkpoint) -> None:
    """Print layout, architecture, sizes, memory by dtype, audio tokens per second, and the chat template."""
    network, config = checkpoint.network, checkpoint.config
    audio, projector, text = config.audio, config.projector, config.text
    per_token = memory.cache_bytes(text, torch.bfloat16, 1)
    kv = f"{text.heads} heads, {text.kv_heads} of keys and values, {text.head_size} each"
    where = "in the middle" if projector.norm_mid else "last"
    rows: list[tuple[str, Any]] = [
        ("layout", checkpoint.layout),
        ("audio tower", f"{_size(network.audio_tower)}: whisper, {audio.layers} layers of {audio.width}"),
        ("", f"{audio.heads} heads, {audio.mels} mel bins, windows of {audio.max_mel_frames * HOP / RATE:.0f} s"),
        ("projector", f"{_size(network.multi_modal_projector)}: {projector.activation}, {projector.hidden} wide"),
        ("", f"stack of {projector.stack}, norm {where}"),
        ("language model", f"{_size(network.language_model)}: {text.family}, {text.layers} layers of {text.width}"),
        ("", f"{kv}, vocabulary {text.vocabulary}{', tied' if text.tied else ''}"),
        ("", f"window of {text.max_positions} tokens, rope {text.rope.kind}"),
        ("audio tokens/s", f"{RATE / HOP / 2 / projector.stack:g}"),
        ("weights", ", ".join(_weights(checkpoint))),
        ("KV cache", f"{memory.gigabytes(1000 * per_token)} per 1000 tokens in bfloat16"),
    ]
    for name, value in rows:
        print(f"{name:15} {value}")
    template = read_tokenizer(checkpoint).template
    print("chat template", f"\n{template.source}" if template else "  none")


def _bench(options: argparse.Namespace) -> None:
    """Measure, and print medians with the smallest and largest, or one object."""
    from models import bench

    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    setting = bench.Setting(
        options.shape,
        device,
        choose_dtype(options.dtype, device, options.quantize),
        options.rounds,
        conversations=tuple(options.conversations),
        talking=options.talking or (4 if device.type == "cpu" else 32),
        quantize=options.quantize,
    )
    report = bench.measure(setting)
    if options.json:
        print(json.dumps(bench.as_json(setting, report)))
        return
    for name, figure in report.items():
        print(f"{name:28} {figure}")


def _train(options: argparse.Namespace) -> None:
    """Train, or go on with a run that was stopped."""
    from models.distill import settings
    from models.distill.train import train

    told = settings.read(options.config)
    model = told.model.model_copy(update={"towers": told.model.towers | {n: Path(f) for n, f in options.tower}})
    train(told.model_copy(update={"model": model}))


def _continue(options: argparse.Namespace) -> None:
    """Continue a manifest, or go on with that."""
    from models.distill.backbone import load_backbone
    from models.distill.continuation import Job, continue_manifest

    job = Job(options.model, options.manifest, options.output, options.max_new_tokens, options.batch)
    model = load_backbone(options.model, dict(options.tower), options.device, options.dtype)
    if (tally := continue_manifest(model, job)).total:
        print(f"left out: {tally}; see {job.path('.bad')}", file=sys.stderr)


def _evaluate(options: argparse.Namespace) -> None:
    """Print a table, and write every answer to a file."""
    from models.distill.sources import Manifest
    from models.distill.tally import Tally
    from models.evaluate import Setting, evaluate

    manifest = Manifest(options.manifest, seed=0)
    names = ("task", "prompt", "system", "language", "target", "max_new_tokens")
    setting = Setting(**{name: getattr(options, name) for name in names})
    model = load(options.model, dict(options.tower), options.device, options.dtype, options.quantize)
    report = evaluate(model, manifest, setting, Tally())
    path = options.json or options.manifest.with_suffix(f".{options.task}.json")
    told = {"model": options.model, "manifest": str(options.manifest), **asdict(setting), **report.as_json()}
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{report.table()}\neverything: {path}")


def _weights(checkpoint: Checkpoint) -> Iterator[str]:
    """Tell what the weights take in each dtype; quantised, all but the language model's layers is bfloat16."""
    for dtype in (torch.float32, torch.bfloat16):
        yield f"{memory.gigabytes(memory.weight_bytes(checkpoint.network, dtype))} {str(dtype).removeprefix('torch.')}"
    for choice in quantize.CHOICES:
        yield f"{memory.gigabytes(memory.weight_bytes(checkpoint.network, torch.bfloat16, choice))} {choice}"


def _size(module: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:,.1f} M"


if __name__ == "__main__":
    sys.exit(main())
