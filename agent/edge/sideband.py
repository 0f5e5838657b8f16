"""A second connection to a call over WebRTC: a WebSocket with the same events both ways, for the server of an app that guides the call.

What the client is sent is sent here, too, after the session as it is; what is sent here is obeyed as the client's own events are.
Errors in what cannot be read go only to who sent it. The audio stays on the call.
"""

import asyncio
import itertools

from aiohttp import WSMsgType

from agent.edge.channel import EventChannel
from agent.edge.mailbox import Outbox, Socket
from agent.realtime.events import serialise

MAX_UNSENT_BYTES = 1024 * 1024
"""Unsent bytes beyond which whoever does not read is not waited for, and is cut off."""


async def control(socket: Socket, channel: EventChannel) -> None:
    """Carry events between a prepared socket and a call until either ends."""
    outbox, numbers = Outbox(MAX_UNSENT_BYTES), itertools.count(1)
    with channel.watched(outbox):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.send(socket))
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} and (error := channel.take(message.data)):
                    outbox.put(serialise(error, f"sideband_{next(numbers)}"))
                await asyncio.sleep(0)  # a flood must not keep the loop from other calls
            outbox.close()
