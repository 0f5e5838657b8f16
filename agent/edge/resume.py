"""A call that outlives its peer connection: who comes back to it, and how that is asked for and answered.

A page that was reloaded, or a phone that changed its network, goes on with the same call. The form is one header, `Parley-Resume`,
beside the offer and the answer of `POST /v1/realtime/calls` (application/sdp or a form, as always):

1. The first offer has `Parley-Resume: new`. Without it the call ends with its connection, as clients expect that know nothing of this.
2. The answer (201) has `Parley-Resume: TOKEN` beside `Location`. `GET /v1/parley` says in `resume_seconds` how long a call waits
   without a connection; 0: the server keeps none, and no token is given.
3. To come back, a client makes a new peer connection with its own `oai-events` channel and posts its offer with `Parley-Resume:
   TOKEN`, and its key or a secret as always. The answer is again 201 with the same `Location` and the next token; `session` settings
   beside the offer are not looked at.
4. When the new connection is up, the old one is closed, and on the new channel come `session.created` with the same id, then
   `conversation.item.added` and `conversation.item.done` of every message so far, of an answer that goes on `response.created` while
   it is made and `output_audio_buffer.started` while it is heard, then what goes on. So a client that begins its transcript anew at
   `session.created` is right after a reload and after a loss. Speech goes on from the last word that was heard.

While a connection is still up at the server, its client may also restart ICE on it (RFC 8829, section 4.1.18): the new offer of the same
peer connection, with the token, is answered on that connection, whose data channel and sound go on (`restart.py`); the token stays. 400 says
that the server has lost it already.

A token ends when the connection that came with a later one is up; until then it may be used again, should an answer be lost on
its way. A client may come back at any time, also while its old connection still seems to work. 404 says that the call is over or the
token is not, or no longer, its own: begin a new call. A client that asked for tokens hangs up by `DELETE` of the `Location`, or by
closing its data channel; its peer connection alone being closed is a loss. Seconds count from when the server knows of the loss:
at once when the connection was closed, within 9 s when it went silent.
"""

import hmac
import secrets

HEADER = "Parley-Resume"

NEW = "new"
"""In a first offer: the client wants to be able to come back."""


class Tokens:
    """Those of one call: of the connection that is or was last in use, and of the one that is to follow it."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._valid: list[str] = []

    @property
    def newest(self) -> str | None:
        """What the caller is to come back with; None when he may not."""
        return self._valid[-1] if self._valid else None

    def add(self) -> str:
        """A new one for the connection that is to follow, with the call's id before the dot; nobody can guess it."""
        token = f"{self._call_id}.{secrets.token_urlsafe(32)}"
        self._valid = [*self._valid[:1], token]
        return token

    def use(self, token: str) -> None:
        """Its connection is up: the others are void."""
        self._valid = [token]

    def end(self) -> None:
        """Nobody may come back."""
        self._valid = []

    def accepts(self, shown: str) -> bool:
        """Whether a caller may come back with this; how long that takes does not tell how much of it is right."""
        claimed = shown.encode(errors="surrogateescape")
        return any(hmac.compare_digest(token.encode(), claimed) for token in self._valid)


def call_of(token: str) -> str:
    """The id of the call that a token claims to be of."""
    return token.partition(".")[0]
