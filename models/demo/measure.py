"""Stage 8, whole, and by itself for a checkpoint that is made: `python -m models.demo.measure [CHECKPOINT] [--draw NAME]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from models.demo.depth import depth_lines, measure_depth
from models.demo.evaluate import DRAW, evaluate, write_report
from models.demo.export import CHECKPOINT, read_network
from models.demo.judge import Judge
from models.demo.over import measure_separation, over_lines
from models.demo.tokens import Chat
from models.demo.voices import HELD_OUT, Cast
from models.demo.words import measure_words, word_lines


def measure(judge: Judge, folder: Path, cast: Cast, draw: str = DRAW, known: Path | None = None) -> None:
    """Take all measurements, print them, and keep them in a folder; `known` is a shard of clips that were trained on."""
    more = (
        over_lines(measure_separation(judge)),
        depth_lines(measure_depth(judge)),
        word_lines(measure_words(judge, known)),
    )
    write_report(folder, evaluate(judge, cast, draw=draw), *more)


def main(arguments: Sequence[str]) -> None:
    """Measure a checkpoint with the voices that were held out of the one that ships."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.measure", description="Measure a demo checkpoint.")
    parser.add_argument("checkpoint", type=Path, nargs="?", default=CHECKPOINT, help="default: the one that ships")
    parser.add_argument("--draw", default=DRAW, help="any name: other questions and voices than the card's")
    parser.add_argument("--out", type=Path, default=Path("build/demo-measured"), help="where the results are kept")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    chat = Chat(Tokenizer.from_file(str(options.checkpoint / "tokenizer.json")))
    measure(Judge(read_network(options.checkpoint), chat), options.out, HELD_OUT, options.draw)


if __name__ == "__main__":
    main(sys.argv[1:])
