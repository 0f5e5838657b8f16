"""Who may call: API keys, the ephemeral secrets made with them, and the pages and host names that are trusted.

An ephemeral secret (`ek_…`) is for a browser that must not know the key. It holds its own end and the session settings that are bound
to it, compressed, and is signed with the key: nothing is stored, and a restart or a second server with the same key knows it too.
Without a key everyone on this machine may call, but no page from elsewhere that a browser on this machine shows.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import SecretStr

PREFIX = "ek_"
"""agents-js refuses, in a browser, keys that begin otherwise."""

OWNER = "*"
"""Who has the server's own key, `key` in the settings; no name of a further one is like it."""

MAX_SECRET = 16 * 1024
"""Characters of a secret: it travels in a header."""

SUBPROTOCOL = "openai-insecure-api-key."
"""Before the key among a WebSocket's subprotocols: browsers can send no other header."""


@dataclass(frozen=True)
class Grant:
    """What a request may do."""

    session: dict[str, Any]
    """Settings bound to its secret: a default for its sessions."""
    whole: bool
    """Whether it may do everything: it showed a key, or none is needed."""
    holder: str = ""
    """Whose key it showed, itself or by a secret that was made with it; empty: none is needed."""

    @property
    def all_calls(self) -> bool:
        """Whether the calls of everybody are its business: it showed the server's own key, or none is needed."""
        return self.whole and self.holder in {"", OWNER}


class Keys:
    """Checks requests and makes secrets."""

    def __init__(
        self,
        keys: Mapping[str, SecretStr],
        origins: tuple[str, ...],
        now: Callable[[], float] = time.time,  # noqa: TID251  an end is a date in the world
    ) -> None:
        """`keys` by who has them; none: none is needed. `origins` are the pages that may call; empty: this machine's, or all with a key."""
        self._keys = {holder: key.get_secret_value().encode() for holder, key in keys.items()}
        self._origins = origins
        self._now = now
        known = b"\0".join(self._keys.values()) or secrets.token_bytes()
        self._signing = hashlib.sha256(b"parley ek_" + known).digest()

    def check(self, request: web.Request) -> Grant:
        """What a request may do. Raises HTTPUnauthorized without a valid key, HTTPForbidden for a page that is not trusted."""
        origin = request.headers.get("Origin")
        if origin is not None and not self.trusts(origin, request.host):
            raise web.HTTPForbidden(
                text=f"Pages of {origin} may not call this server; its setting `origins` says which may."
            )
        if not self._keys and not _is_loopback(f"//{request.host}"):
            raise web.HTTPForbidden(text="Without a key this server answers only as localhost.")
        token = _token(request)
        if token.startswith(PREFIX):
            return self._read(token)
        holders = [holder for holder, key in self._keys.items() if hmac.compare_digest(_bytes(token), key)]
        if self._keys and not holders:
            raise web.HTTPUnauthorized(text="Send the server's key as 'Authorization: Bearer KEY'.")
        return Grant({}, whole=True, holder=holders[0] if holders else "")

    def check_key(self, request: web.Request) -> Grant:
        """As `check`, for what a secret does not open: other secrets, and what other calls went through. Raises HTTPForbidden."""
        grant = self.check(request)
        if not grant.whole:
            raise web.HTTPForbidden(text="An ephemeral secret opens calls and nothing else; send the server's key.")
        return grant

    def trusts(self, origin: str, host: str) -> bool:
        """Whether pages of an origin (scheme, name and port) may call us at `host`: our own may, and those of the list.

        Without a list, those of this machine may, and with a key all others, too: they must know it.
        """
        if urlsplit(origin).netloc == host or origin in self._origins:
            return True
        return not self._origins and (bool(self._keys) or _is_loopback(origin))

    def mint(self, session: dict[str, Any], seconds: int, holder: str = "") -> tuple[str, int]:
        """A secret with its settings, valid for so many seconds, and its end in seconds since 1970. Raises HTTPBadRequest if too long."""
        end = int(self._now()) + seconds
        content = base64.urlsafe_b64encode(zlib.compress(json.dumps([end, session, holder]).encode(), 9)).rstrip(b"=")
        secret = f"{PREFIX}{content.decode()}.{self._signature(content)}"
        if len(secret) > MAX_SECRET:
            raise web.HTTPBadRequest(
                text="These settings are too long to be bound to a secret; send their longest part in a session.update."
            )
        return secret, end

    def _read(self, secret: str) -> Grant:
        """What a secret opens. Raises HTTPUnauthorized if it is not ours, or over."""
        content, _, signature = secret.removeprefix(PREFIX).partition(".")
        if not hmac.compare_digest(_bytes(signature), self._signature(_bytes(content)).encode()):
            raise web.HTTPUnauthorized(text="This is no ephemeral secret of this server.")
        end, session, holder = json.loads(
            zlib.decompress(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
        )
        if self._now() >= end:
            raise web.HTTPUnauthorized(text="This ephemeral secret has expired.")
        return Grant(session, whole=False, holder=holder)

    def _signature(self, content: bytes) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._signing, content, "sha256")).decode().rstrip("=")


def _bytes(header: str) -> bytes:
    """A header as it came; aiohttp gives bytes that are no UTF-8 as surrogates."""
    return header.encode(errors="surrogateescape")


def _token(request: web.Request) -> str:
    """What a request shows: its Bearer token, else the subprotocol that holds one."""
    authorization = request.headers.get("Authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ")
    for name in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if name.strip().startswith(SUBPROTOCOL):
            return name.strip().removeprefix(SUBPROTOCOL)
    return ""


def _is_loopback(origin: str) -> bool:
    """Whether an origin's or a Host header's name means this machine: one that was made to resolve here (DNS rebinding) does not."""
    try:
        name = urlsplit(origin).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
