"""`python -m tests.clients.server`: Parley as it ships on a free port, for clients that are given its address; ends with its standard input.

The demo checkpoint calls few functions, and writes down only the words that it knows. So that clients are seen to run any function and
to show transcripts, these alone are scripted: the call that answers the typed question for the time, where functions are offered, the
answer to its result, and what the caller is said to have said. All questions are heard and answered by the checkpoint.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from agent.config import Settings
from agent.conversation import FunctionOutput, Message
from agent.engine import DEFAULTS, Engine, Options, Prefill, Usage
from agent.engine.scripted import ScriptedEngine
from agent.serve import load
from agent.transcribing import PROMPT, SENTENCE
from tests.serving import running

SAID = "Something was said."
CALL = '{"name": "get_time", "parameters": {"city": "Paris"}}'


class Calling:
    """Implements `Engine`: another one, and what is scripted."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._script = ScriptedEngine(_answer, first_token=0, per_token=0)

    def reply(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> AsyncGenerator[str]:
        asked = messages[-1]
        if asked.role == "tool" or options.off_path or (options.tools and "time" in asked.text):
            return self._script.reply(messages, options, usage)
        return self._engine.reply(messages, replace(options, tools=(), tool_choice="auto"), usage)

    async def prefill(
        self, messages: Sequence[Message], options: Options = DEFAULTS, usage: Usage | None = None
    ) -> Prefill:
        return await self._engine.prefill(messages, replace(options, tools=(), tool_choice="auto"), usage)


def _answer(messages: Sequence[Message]) -> str:
    if messages[-1].text.startswith(PROMPT):
        return SENTENCE if messages[-1].id == "sentence" else SAID
    [result, *_] = messages[-1].content
    return f"It is {result.output}." if isinstance(result, FunctionOutput) else CALL


async def main() -> None:
    server = load(Settings(port=0))
    server.stages = replace(server.stages, engine=Calling(server.stages.engine))
    async with running(server) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
