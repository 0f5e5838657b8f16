"""Settings: where they come from, and what is refused."""

import base64
import hmac

import pytest
from pydantic import ValidationError

from agent.config import CREDENTIAL_SECONDS, Settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_flags_beat_the_environment_which_beats_the_file(tmp_path, monkeypatch):
    (tmp_path / "parley.toml").write_text('voice = "en-gb"\nport = 1\n[turn]\nsilence = 0.7\npadding = 0.1\n')
    monkeypatch.setenv("PARLEY_PORT", "2")
    monkeypatch.setenv("PARLEY_TURN__PADDING", "0.2")
    settings = Settings(_cli_parse_args=["--turn.silence", "0.9"])
    assert (settings.voice, settings.port, settings.turn.padding, settings.turn.silence) == ("en-gb", 2, 0.2, 0.9)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org"])
def test_an_open_host_needs_a_key(host):
    with pytest.raises(ValidationError, match="PARLEY_KEY"):
        Settings(host=host)
    assert Settings(host=host, key="secret").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert Settings(host=host).key is None


def test_a_key_is_never_printed():
    assert "secret" not in repr(Settings(key="secret"))


@pytest.mark.parametrize(
    "bad", [{"port": 70_000}, {"max_calls": 0}, {"vad": "ears"}, {"turn": {"silence": -1}}, {"voise": "en"}]
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValidationError):
        Settings(**bad)


def test_an_ice_server_in_the_file(tmp_path):
    (tmp_path / "parley.toml").write_text(
        '[[ice_servers]]\nurls = "turn:turn.example.org"\nusername = "u"\ncredential = "c"\n'
    )
    [server] = Settings().ice_servers
    assert (server.urls, server.credential.get_secret_value()) == ("turn:turn.example.org", "c")


@pytest.mark.parametrize(
    "urls",
    [
        "stun:host",
        "stun:127.0.0.1:3478",
        "stuns:host:5349",
        "turn:[::1]:3478?transport=tcp",
        "turns:host?transport=udp",
    ],
)
def test_addresses_of_ice_servers(urls):
    Settings(ice_servers=[{"urls": urls, "username": "u", "credential": "c"}])


@pytest.mark.parametrize(
    "urls",
    [
        "host",
        "http://host",
        "stun://host",
        "stun:",
        "stun:host:99999",
        "turn:host?transport=sctp",
        "stun:h?transport=udp",
    ],
)
def test_an_address_that_is_none_is_refused(urls):
    with pytest.raises(ValidationError, match="STUN or TURN"):
        Settings(ice_servers=[{"urls": urls, "username": "u", "credential": "c"}])


def test_a_turn_server_needs_a_credential():
    with pytest.raises(ValidationError, match="credential"):
        Settings(ice_servers=[{"urls": "turn:host"}])


def test_a_turn_servers_secret_makes_credentials_that_end():
    [server] = Settings(ice_servers=[{"urls": "turn:host", "secret": "north"}]).ice_servers
    given = server.for_client(1_000_000)
    assert given["username"] == f"{1_000_000 + CREDENTIAL_SECONDS}:parley"
    # As coturn checks it: openssl dgst -sha1 -hmac north -binary | base64
    assert (
        given["credential"]
        == base64.b64encode(hmac.new(b"north", given["username"].encode(), "sha1").digest()).decode()
    )
    assert given.keys() == {"urls", "username", "credential"}
    assert "north" not in repr(server)
    [named] = Settings(ice_servers=[{"urls": "turn:host", "secret": "north", "username": "ada"}]).ice_servers
    assert named.for_client(0)["username"].endswith(":ada")


def test_media_ports():
    assert Settings().media_port_range is None
    assert Settings(media_ports="40000-40010").media_port_range == range(40_000, 40_011)
    for bad in ("40000", "5-4", "0-10", "60000-70000", "a-b"):
        with pytest.raises(ValidationError):
            Settings(media_ports=bad)


def test_media_stay_on_the_machine_while_http_does():
    assert Settings().host_candidates == ("127.0.0.1",)
    assert Settings(host="0.0.0.0", key="secret").host_candidates is None
    assert Settings(media_addresses=["192.0.2.1", "2001:db8::1"]).host_candidates == ("192.0.2.1", "2001:db8::1")
    with pytest.raises(ValidationError):
        Settings(media_addresses=["example.org"])


def test_the_key_has_a_longer_name_too(monkeypatch):
    monkeypatch.setenv("PARLEY_API_KEY", "secret")
    assert Settings(host="0.0.0.0").key.get_secret_value() == "secret"
    monkeypatch.setenv("PARLEY_KEY", "other")
    assert Settings().key.get_secret_value() == "other"
