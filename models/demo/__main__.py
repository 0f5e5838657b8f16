"""Make the demo checkpoint from nothing: `python -m models.demo [--build build/demo] [--out models/demo/checkpoint] [--until STAGE]`.

Stages, each kept in the build folder and skipped when done: the language model, speech, the encoder, the adapter's first
part, the language model again, now with what the adapter heard, all of them jointly, after which the language model is
frozen, distillation with `models train`, the checkpoint with its evaluation. A stage that was killed continues where it
last saved. To run a stage again, remove its file from the build folder.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from models.demo.adapter import train_adapter
from models.demo.dialogues import write_dialogues
from models.demo.encoder import train_encoder
from models.demo.evaluate import REPORT, cases, read, table
from models.demo.export import CHECKPOINT, assemble, read_network, write_checkpoint
from models.demo.joint import train_joint
from models.demo.judge import Judge
from models.demo.language import build_tokenizer, train_language_model
from models.demo.measure import measure
from models.demo.pool import RESERVED, build_pool, load_shards
from models.demo.reading import train_reading
from models.demo.tokens import Chat
from models.demo.voices import HELD_OUT, PEOPLE, Cast, hold_out

STAGES = ("language", "speech", "encoder", "adapter", "reading", "joint", "distil", "evaluate")


def main(arguments: Sequence[str]) -> None:
    """Run all stages that are not done."""
    parser = argparse.ArgumentParser(prog="python -m models.demo", description="Make the demo checkpoint from nothing.")
    parser.add_argument("--build", type=Path, default=Path("build/demo"), help="where stages keep their results")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="where the checkpoint goes")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to run")
    parser.add_argument(
        "--hold-out",
        choices=PEOPLE,
        default=HELD_OUT.people[0],
        help="who of those that recorded digits is not trained on; each wants a build folder of its own",
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.build.mkdir(parents=True, exist_ok=True)
    last = STAGES.index(options.until)
    chat = Chat(build_tokenizer(options.build))
    language = train_language_model(options.build)
    if last == 0:
        print("\n".join(table({"as heard": read(language, chat, cases(Random(0), 12), spoken=1)})))
        return
    trained, held_out = hold_out(options.hold_out)
    shards = build_pool(options.build, trained, processes=options.threads)
    if last == 1:
        return
    start = options.build / "start"
    if not (start / "config.json").exists():
        pool = load_shards(shards[:-RESERVED])
        listener = train_encoder(options.build, pool)
        if last == 2:
            return
        hearing = train_adapter(options.build, pool, listener, language, chat)
        if last == 3:
            return
        reserved = load_shards(shards[-RESERVED:])
        reader = train_reading(options.build, reserved, hearing, language, chat)
        if last == 4:
            return
        language = train_joint(options.build, [*pool, *reserved], hearing, reader)
        write_checkpoint(start, assemble(hearing, language), chat)
    if last > 5:
        distil(options.build, shards)
    if last > 6:
        finish(options.build, options.out, shards, held_out, chat)


def distil(build: Path, shards: Sequence[Path]) -> None:
    """Run `models train` on conversations made of the pool, or go on with it."""
    from models.distill.settings import read as read_settings
    from models.distill.train import train

    write_dialogues(build, shards)
    settings = build / "distil.toml"
    if not settings.exists():
        shutil.copy(Path(__file__).with_name("distil.toml"), settings)
    train(read_settings(settings))


def finish(build: Path, out: Path, shards: Sequence[Path], cast: Cast, chat: Chat) -> None:
    """Write the distilled model as the checkpoint, and measure what was written, unless it was measured already."""
    if (build / REPORT).exists():
        return
    write_checkpoint(out, read_network(build / "distil" / "model"), chat)
    measure(Judge(read_network(out), chat), build, cast, known=shards[0])


if __name__ == "__main__":
    main(sys.argv[1:])
