"""The last turns of all calls, and those who follow them live. Never waits: a follower that does not keep up is dropped, not the server.

Takes traces as they begin to be heard, change and end; gives them in order of their end, and to each follower as they change.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.traces.trace import Trace

MOST = 5000
"""Turns that are kept: a day of one line, 10 MB."""

MAX_FOLLOWERS = 16

BEHIND = 256
"""Changes that may wait for one follower: minutes of a full server."""

Follower = asyncio.Queue[Trace | None]


class TooManyFollowersError(RuntimeError):
    """As many follow already as there may be."""


class Traces:
    """The turns of one server."""

    def __init__(self, most: int = MOST) -> None:
        self.on_end: list[Callable[[Trace], None]] = []
        """Called with each turn that ended, before it is kept and told."""
        self._kept: deque[Trace] = deque(maxlen=most)
        self._followers: set[Follower] = set()

    def __iter__(self) -> Iterator[Trace]:
        """Those that ended, oldest first."""
        return iter(self._kept)

    def append(self, trace: Trace) -> None:
        """Keep a turn that ended."""
        for take in self.on_end:
            take(trace)
        self._kept.append(trace)
        self.tell(trace)

    def tell(self, trace: Trace) -> None:
        """Pass on a turn that is new or has changed."""
        for follower in list(self._followers):
            try:
                follower.put_nowait(trace)
            except asyncio.QueueFull:
                self._drop(follower)

    def find(self, call: str, response: str) -> Trace | None:
        """A turn that ended, if it is still kept."""
        return next((trace for trace in reversed(self._kept) if (trace.call, trace.response) == (call, response)), None)

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """All changes from now on; None in the end, when the follower fell behind or the server stops. Raises TooManyFollowersError."""
        if len(self._followers) >= MAX_FOLLOWERS:
            raise TooManyFollowersError(f"{MAX_FOLLOWERS} connections follow the turns already; close one of them.")
        follower: Follower = asyncio.Queue(BEHIND)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """End all following: the server stops."""
        for follower in list(self._followers):
            self._drop(follower)

    def _drop(self, follower: Follower) -> None:
        self._followers.discard(follower)
        while not follower.empty():
            follower.get_nowait()
        follower.put_nowait(None)
