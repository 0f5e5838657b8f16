"""The command line: `parley serve`, `parley call`, `parley simulate`, `parley bench`."""

import importlib
import sys
from collections.abc import Callable, Sequence

COMMANDS = {
    "serve": "agent.serve",
    "call": "agent.caller.command",
    "simulate": "agent.simulation.command",
    "bench": "agent.bench.command",
}
USAGE = """usage: parley COMMAND [options]

  serve    start the server; the page and the calls are on http://127.0.0.1:8080
  call     call a server from the command line: play recorded questions, hear the answers
  simulate run a call that a TOML file describes, in virtual time, and check what the file expects
  bench    measure real calls over loopback; bench media: the media path alone, beside stock aiortc

parley COMMAND --help tells the options of each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 success, 1 failure, 2 wrong usage."""
    command, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    match command:
        case name if name in COMMANDS:
            run: Callable[[Sequence[str]], int] = importlib.import_module(COMMANDS[name]).main
            return run(rest)
        case "-h" | "--help" | "help":
            print(USAGE)
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
