"""Make the demo checkpoint from nothing: `python -m models.demo [--build build/demo] [--out models/demo/checkpoint]`.

Stages, each kept in the build folder and skipped when done: the language model, speech, the encoder, the adapter, reading,
the checkpoint, the evaluation. A stage that was killed continues where it last saved. To run a stage again, remove its
file from the build folder.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.demo.adapter import train_adapter
from models.demo.encoder import train_encoder
from models.demo.evaluate import Judge, evaluate, write_report
from models.demo.export import CHECKPOINT, assemble, write_checkpoint
from models.demo.language import build_tokenizer, train_language_model
from models.demo.over import lines, measure_separation
from models.demo.pool import build_pool, load_shard
from models.demo.reading import train_reading
from models.demo.tokens import Chat


def main(arguments: Sequence[str]) -> None:
    """Run all stages that are not done."""
    parser = argparse.ArgumentParser(prog="python -m models.demo", description="Make the demo checkpoint from nothing.")
    parser.add_argument("--build", type=Path, default=Path("build/demo"), help="where stages keep their results")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="where the checkpoint goes")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.build.mkdir(parents=True, exist_ok=True)
    chat = Chat(build_tokenizer(options.build))
    language = train_language_model(options.build)
    pool = [sample for path in build_pool(options.build) for sample in load_shard(path)]
    listener = train_encoder(options.build, pool)
    hearing = train_adapter(options.build, pool, listener, language, chat)
    train_reading(options.build, pool, hearing, language, chat)
    model = assemble(hearing, language)
    write_checkpoint(options.out, model, chat)
    judge = Judge(model.bfloat16().float(), chat)  # what was written is rounded
    write_report(options.build, evaluate(judge), lines(measure_separation(judge)))


if __name__ == "__main__":
    main(sys.argv[1:])
