"""How much the holder of one key may do: calls at a time, and calls and requests begun in a minute.

Whoever calls without a key, on the server's own machine, is not limited here: the server's own limit of calls holds for all.
"""

import asyncio
import math
from collections.abc import Container
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Bucket:
    """Requests that may be made at once; it fills again in a minute."""

    left: float
    filled: float
    """The loop's time until which it was filled up."""


@dataclass
class Limits:
    """What the holders of keys have begun."""

    calls: int
    """At a time, of one key."""
    per_minute: int
    """Calls and requests that one key may begin."""
    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _calls: dict[str, list[str]] = field(default_factory=dict)

    def take(self, holder: str) -> None:
        """Count a request. Raises HTTPTooManyRequests, which says when to try again."""
        if not holder:
            return
        now = asyncio.get_running_loop().time()
        bucket = self._buckets.setdefault(holder, Bucket(self.per_minute, now))
        rate = self.per_minute / 60
        bucket.left, bucket.filled = min(self.per_minute, bucket.left + rate * (now - bucket.filled)), now
        if bucket.left < 1:
            raise _too_many(f"This key may begin {self.per_minute} requests in a minute.", (1 - bucket.left) / rate)
        bucket.left -= 1

    def begin(self, holder: str, call_id: str, going_on: Container[str]) -> None:
        """Count a call that is about to begin; `going_on` are those that have not ended. Raises HTTPTooManyRequests."""
        if not holder:
            return
        calls = self._calls[holder] = [call for call in self._calls.get(holder, ()) if call in going_on]
        if len(calls) >= self.calls:
            raise _too_many(f"This key has {len(calls)} calls, as many as it may.", 5)
        calls.append(call_id)


def _too_many(text: str, seconds: float) -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(text=text, headers={"Retry-After": str(math.ceil(seconds))})
