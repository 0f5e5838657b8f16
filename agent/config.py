"""Every knob, read once: command line flags over `PARLEY_…` environment variables over `parley.toml` over these defaults."""

import base64
import hmac
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, IPvAnyAddress, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agent.replies.prompts import Prompts
from agent.stages import Speculation
from agent.tools import ToolSettings
from agent.traces.logs import Style
from agent.traces.trace import Budget
from agent.turns.turn import TurnSettings

AGENTS = Path(__file__).resolve().parent.parent / "agents"
"""The agents that ship with the repository."""

INSTRUCTIONS = "You are a friendly voice assistant. Answer briefly."


ICE_URL = re.compile(r"(stun|turn)s?:(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(\?transport=(udp|tcp))?", re.ASCII)
"""RFC 7064 and RFC 7065."""

CREDENTIAL_SECONDS = 6 * 3600
"""How long a TURN credential that was made for a caller lasts; a connection that is refreshed needs it all the time."""


class IceServer(BaseModel, frozen=True):
    """A STUN or TURN server, with the names of the W3C's RTCIceServer."""

    urls: str
    username: str | None = None
    credential: SecretStr | None = None
    secret: SecretStr | None = None
    """What the TURN server knows as `static-auth-secret`: credentials that end by themselves are made from it for each caller."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        match = ICE_URL.fullmatch(self.urls)
        if match is None or int((match[3] or ":0")[1:]) > 65_535 or (match[1] == "stun" and match[4]):
            raise ValueError(
                f"{self.urls!r} is no STUN or TURN address, such as stun:host:3478 or turn:host:3478?transport=tcp"
            )
        if match[1] == "turn" and not (self.secret or (self.username and self.credential)):
            raise ValueError(f"{self.urls} needs a username and a credential, or a secret")
        return self

    def for_client(self, now: float) -> dict[str, str]:
        """The server in the W3C's form, credential included: for callers that may call, and nobody else.

        From a secret, one that ends CREDENTIAL_SECONDS after `now`, seconds since 1970, is made as coturn's REST scheme has it
        (draft-uberti-behave-turn-rest-00).
        """
        username, credential = self.username, self.credential.get_secret_value() if self.credential else None
        if self.secret:
            username = f"{round(now) + CREDENTIAL_SECONDS}:{self.username or 'parley'}"
            digest = hmac.digest(self.secret.get_secret_value().encode(), username.encode(), "sha1")
            credential = base64.b64encode(digest).decode()
        fields = {"urls": self.urls, "username": username, "credential": credential}
        return {name: value for name, value in fields.items() if value is not None}


class Settings(BaseSettings):
    """What `parley serve` runs with."""

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_",
        env_nested_delimiter="__",
        toml_file="parley.toml",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="forbid",
    )

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback needs a key."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """TCP port; 0 takes a free one."""

    key: SecretStr | None = None
    """API key that callers must send as `Authorization: Bearer KEY`. Set it in the environment (PARLEY_API_KEY does, too), not on the
    command line."""

    keys: dict[Annotated[str, Field(pattern=r"^[\w.@-]+$")], Annotated[SecretStr, Field(min_length=1)]] = {}
    """Further API keys, by the names of those who have them: a table [keys] in parley.toml, or PARLEY_KEYS__NAME. Each sees and controls
    the calls that were begun with it; `key` all of them."""

    key_calls: Annotated[int, Field(ge=1)] = 100
    """Calls at a time with one key."""

    key_requests: Annotated[int, Field(ge=1)] = 300
    """Calls, secrets and completions that one key may ask for in a minute; more are told when to try again."""

    key_events: Annotated[int, Field(ge=1)] = 6000
    """Events, but for those with audio, that all calls of one key may send in a minute; more are answered with an error."""

    origins: tuple[str, ...] = ()
    """Web origins, such as https://app.example, whose pages may call; left empty: pages of this machine, or any that have the key."""

    model: str = "demo"
    """`demo`, a checkpoint folder, or a hub id such as fixie-ai/ultravox-v0_4."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, …"""

    quantize: Literal["int8", "int4"] | None = None
    """Round the language model's weights to 8 or 4 bits: less memory at about the same speed; int4 needs the extra `quantize`."""

    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 256
    """Longest answer, in tokens."""

    voice: str = "en-us"
    """An espeak-ng voice such as en-us or en-gb-x-rp+f3, or the path of a Piper voice (.onnx with its .onnx.json beside it)."""

    instructions: Annotated[str, Field(max_length=64 * 1024)] = INSTRUCTIONS
    """The system message of every call, unless the client sets its own."""

    agents: Path = AGENTS
    """A folder with a TOML file for each agent that callers can choose; agent/agents.py says what they hold."""

    vad: Literal["silero", "webrtc"] = "silero"
    """Voice activity detector."""

    turn: TurnSettings = TurnSettings()
    """How the end of a turn is found."""

    prompts: Prompts = Prompts()
    """What is said without the model."""

    speculation: Speculation = Speculation()
    """How far answers are prepared before it is."""

    tools: ToolSettings = ToolSettings()
    """Functions that the server runs for the model; a client's own need no setting."""

    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers; none are needed on one machine or one network."""

    media_addresses: tuple[IPvAnyAddress, ...] | None = None
    """Addresses at which calls receive audio; left out: 127.0.0.1 while `host` is loopback, else all of the machine's."""

    media_ports: Annotated[str, Field(pattern=r"^(\d{1,5}-\d{1,5})?$")] = ""
    """UDP ports for audio, such as 40000-40100: one per call and address; left out: any."""

    announced_address: IPvAnyAddress | None = None
    """Public address that reaches the media ports through an address translation (a container, a cloud machine), told to callers."""

    budget: Budget = Budget()
    """How long callers should wait; the latency page shows which stage broke it."""

    codecs: Annotated[tuple[Literal["opus", "g722", "pcmu", "pcma"], ...], Field(min_length=1)] = (
        "opus",
        "g722",
        "pcmu",
        "pcma",
    )
    """What calls over WebRTC may be spoken in; of these the caller's first is taken."""

    relay_only: bool = False
    """Receive calls at the TURN server of `ice_servers` and nowhere else: callers need not reach this machine, nor learn its address."""

    resume_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a call waits for a caller who lost the connection and said that he may come back; 0: not at all."""

    otlp_endpoint: str | None = None
    """Where turns are sent as OpenTelemetry spans, such as http://127.0.0.1:4318 (OTLP over HTTP); needs the extra `otel`."""

    log: Style = "text"
    """How the log is written: `text`, or `json`, one object a line."""

    max_calls: Annotated[int, Field(ge=1)] = 16
    """Calls at a time; the next one is refused."""

    call_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Longest call (OpenAI's limit is 60 minutes, too)."""

    record: Path | None = None
    """A folder, kept for its owner only, in which calls are recorded: both sides' sound, the events and the traces. Left out: nothing is.
    Tell your callers."""

    record_calls: Annotated[int, Field(ge=1)] = 100
    """Recordings that are kept, of 10 minutes at most; the oldest are dropped."""

    @model_validator(mode="after")
    def _guard(self) -> Self:
        if not (self.key or self.keys) and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so callers need a key: set PARLEY_KEY, or use host 127.0.0.1"
            )
        if self.relay_only and not any(server.urls.startswith("turn") for server in self.ice_servers):
            raise ValueError("relay_only needs a TURN server in ice_servers")
        if (ports := self.media_port_range) is not None and not 0 < ports.start < ports.stop <= 65_536:
            raise ValueError(f"media_ports {self.media_ports!r} is no range of UDP ports")
        return self

    @property
    def media_port_range(self) -> range | None:
        """The ports of `media_ports`; None: any."""
        if not self.media_ports:
            return None
        first, last = map(int, self.media_ports.split("-"))
        return range(first, last + 1)

    @property
    def host_candidates(self) -> tuple[str, ...] | None:
        """The addresses that calls offer; None: all of the machine's."""
        if self.media_addresses is not None:
            return tuple(map(str, self.media_addresses))
        return ("127.0.0.1",) if _is_loopback(self.host) else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the library passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of sources in this module's first line; the command line comes before them by itself."""
        key = {"key": os.environ["PARLEY_API_KEY"]} if "PARLEY_API_KEY" in os.environ else {}
        longer_name = InitSettingsSource(settings_cls, key)
        return init_settings, env_settings, longer_name, TomlConfigSettingsSource(settings_cls)


DEMO_MODEL = Path(__file__).resolve().parent.parent / "models" / "demo" / "checkpoint"
"""The checkpoint that ships with the repository."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
