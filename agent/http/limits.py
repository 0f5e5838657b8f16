"""What the holder of one key may do: see and control that key's calls; so many at a time; so many requests, and events, in a minute.

Whoever calls without a key, on the server's own machine, is not limited here: the server's own limit of calls holds for all, and what
waits in a call is bounded for everybody.
"""

import asyncio
import math
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from agent.http.keys import Grant
from agent.realtime.objects import EventError

REMEMBERED = 10_000
"""Calls of which it is known who began them: more than have turns that are kept (`agent.traces.recent`), or go on."""


@dataclass
class Bucket:
    """What may be done at once; it fills again in a minute."""

    most: int
    left: float
    filled: float
    """The loop's time until which it was filled up."""

    def take(self, now: float, *, only_look: bool = False) -> float:
        """Take one. Returns 0, or else the seconds until there is one again."""
        rate = self.most / 60
        self.left, self.filled = min(self.most, self.left + rate * (now - self.filled)), now
        if self.left < 1:
            return (1 - self.left) / rate
        self.left -= not only_look
        return 0.0


@dataclass
class Limits:
    """What the holders of keys have begun."""

    calls: int
    """At a time, of one key."""
    per_minute: int
    """Calls and requests that one key may begin."""
    events_per_minute: int
    """Events, but for those with audio, that all calls of one key may send."""
    _requests: dict[str, Bucket] = field(default_factory=dict)
    _events: dict[str, Bucket] = field(default_factory=dict)
    _holders: dict[str, str] = field(default_factory=dict)
    """By call, of those that go on and the last of those that are over."""
    _beginning: set[str] = field(default_factory=set)
    """Calls whose offers are being answered: they are not going on yet."""

    def take(self, holder: str) -> None:
        """Count a request. Raises HTTPTooManyRequests, which says when to try again, also while the holder's calls send too many events."""
        if not holder:
            return
        now = asyncio.get_running_loop().time()
        if seconds := self._bucket(self._events, holder, self.events_per_minute).take(now, only_look=True):
            raise _too_many(f"The calls of this key may send {self.events_per_minute} events in a minute.", seconds)
        if seconds := self._bucket(self._requests, holder, self.per_minute).take(now):
            raise _too_many(f"This key may begin {self.per_minute} requests in a minute.", seconds)

    def take_event(self, holder: str) -> None:
        """Count an event. Raises EventError, which says when to try again."""
        if not holder:
            return
        now = asyncio.get_running_loop().time()
        if seconds := self._bucket(self._events, holder, self.events_per_minute).take(now):
            raise EventError(
                "rate_limit_exceeded",
                f"The calls of this key may send {self.events_per_minute} events in a minute; this one was dropped. "
                f"Try again in {math.ceil(seconds)} s.",
            )

    def _bucket(self, buckets: dict[str, Bucket], holder: str, most: int) -> Bucket:
        return buckets.setdefault(holder, Bucket(most, most, asyncio.get_running_loop().time()))

    @contextmanager
    def begin(self, holder: str, call_id: str, going_on: Container[str]) -> Iterator[None]:
        """Count a call that begins in this block; `going_on` are those that have not ended. Raises HTTPTooManyRequests."""
        if not holder:
            yield
            return
        current = {call for call in self._holders if call in going_on or call in self._beginning}
        if sum(self._holders[call] == holder for call in current) >= self.calls:
            raise _too_many(f"This key has {self.calls} calls, as many as it may.", 5)
        if len(self._holders) >= REMEMBERED and (
            over := next((call for call in self._holders if call not in current), None)
        ):
            del self._holders[over]
        self._holders[call_id] = holder
        self._beginning.add(call_id)
        try:
            yield
        finally:
            self._beginning.remove(call_id)

    def reaches(self, grant: Grant, call_id: str) -> bool:
        """Whether a call, also one that is over, is a request's business: it was begun with the same key, or a secret made with that."""
        return grant.all_calls or self._holders.get(call_id) == grant.holder


def _too_many(text: str, seconds: float) -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(text=text, headers={"Retry-After": str(math.ceil(seconds))})
