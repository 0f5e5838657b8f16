"""The calls of one reply: whose function it is, what is wrong with a call, and what the model is told of it.

A client's function is shown to the client, which runs it and asks for the next response itself. The server's own are run here and
the reply goes on with their results. A call that nobody can make is answered with what is wrong, and the model may try again.
"""

import asyncio
from dataclasses import dataclass, field, replace

from agent.conversation import FunctionCall
from agent.engine import Options
from agent.replies.output import Output
from agent.replies.parts import Call
from agent.tools import Remind, Toolbox, arguments_of, failure
from agent.tools.recognise import CallArguments, CallBroken, CallEnded, CallStarted

ROUNDS = 5
"""How often in one reply the model may go on after a result; the last time it is not told of the functions."""


@dataclass
class Calling:
    """What is called in one round of a reply."""

    toolbox: Toolbox
    offered: Options
    """As the client wants the answer: with the client's functions."""
    output: Output
    remind: Remind
    """For functions whose caller is told something later."""
    asks_client: bool = False
    """The client has a call to answer, so it also asks for what follows."""
    _call: Call | None = None
    _refused: dict[str, str] = field(default_factory=dict)
    """What is wrong with calls, by their ids."""

    def options(self, number: int) -> Options:
        """What the engine is told in a round."""
        own = {tool.name for tool in self.offered.tools}
        tools = (*self.offered.tools, *(tool for tool in self.toolbox.functions if tool.name not in own))
        if number == 0:
            return replace(self.offered, tools=tools)
        return replace(self.offered, tools=tools, tool_choice="auto" if number < ROUNDS - 1 else "none")

    def take(self, piece: CallStarted | CallArguments | CallEnded | CallBroken) -> None:
        """A part of a call."""
        match piece:
            case CallStarted(name=name):
                self._call = self.output.begin_call(name, shown=self._is_clients(name))
            case CallArguments(delta=delta):
                assert self._call
                self._call.add(delta)
            case CallEnded(arguments=arguments):
                assert self._call
                self._end(self._call, arguments, self._wrong(self._call.name, arguments))
            case CallBroken(text=text, reason=reason):
                self._end(self._call or self.output.begin_call("unknown", shown=False), text, reason)

    async def run(self) -> list[str]:
        """Make the calls that wait for the server, all at the same time; returns their results."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._run(call)) for call in self.output.waiting]
        return [task.result() for task in running]

    def tell(self, results: list[str]) -> None:
        """Give the calls that waited their results."""
        for call, result in zip(list(self.output.waiting), results, strict=True):
            self.output.result(call, result)

    async def _run(self, call: FunctionCall) -> str:
        if reason := self._refused.pop(call.call_id, None):
            return failure(reason)
        return await self.toolbox.run(call.name, call.arguments, self.remind)

    def _is_clients(self, name: str) -> bool:
        return any(tool.name == name for tool in self.offered.tools)

    def _wrong(self, name: str, arguments: str) -> str:
        """What is wrong with a call; empty: nothing."""
        if not self._is_clients(name) and name not in self.toolbox.tools:
            names = [tool.name for tool in self.options(0).tools]
            return f"there is no function {name!r}; there are: {', '.join(names) or 'none'}"
        try:
            arguments_of(arguments)
        except ValueError as error:
            return str(error)
        return ""

    def _end(self, call: Call, arguments: str, wrong: str) -> None:
        made, self._call = self.output.end_call(call, arguments, complete=not wrong), None
        if self._is_clients(made.name) and not wrong:
            self.asks_client = True
        else:
            self.output.waiting.append(made)
        if wrong:
            self._refused[made.call_id] = wrong
