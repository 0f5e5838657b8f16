"""Who may call: keys, secrets and their ends, pages and host names. Pure but for the requests, which are aiohttp's own."""

import base64
import json
import zlib

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from agent.http.keys import Grant, Keys

SETTINGS = {"instructions": "Sing. " * 100, "audio": {"output": {"voice": "alloy"}}}


class Clock:
    """Seconds since 1970, as a test wants them."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def keys(key="master", origins=(), clock=None):
    return Keys({"default": SecretStr(key)} if key else {}, origins, clock or Clock())


def request(host="localhost:8080", **headers):
    return make_mocked_request(
        "GET", "/v1/models", {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def bearer(token, **headers):
    return request(Authorization=f"Bearer {token}", **headers)


def test_the_key_may_do_everything():
    grant = keys().check(bearer("master", host="parley.example"))
    assert (grant.session, grant.whole) == ({}, True)


@pytest.mark.parametrize("token", ["", "wrong", "masterr", "mäster", "ek_", "ek_x.y", "ek_."])
def test_other_tokens_are_refused(token):
    with pytest.raises(web.HTTPUnauthorized):
        keys().check(bearer(token))


def test_a_browser_shows_its_key_as_a_subprotocol():
    offered = "realtime, openai-insecure-api-key.master, openai-agents-sdk.0.20.0"
    assert keys().check(request(Sec_WebSocket_Protocol=offered)).whole
    with pytest.raises(web.HTTPUnauthorized):
        keys().check(request(Sec_WebSocket_Protocol="realtime, openai-insecure-api-key.wrong"))


def test_a_secret_brings_its_settings_until_its_end():
    clock = Clock()
    here = keys(clock=clock)
    secret, end = here.mint(SETTINGS, 60)
    assert end == 1_000_060
    assert set(secret) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")  # fits a subprotocol
    clock.now += 59.9
    assert here.check(bearer(secret)).session == SETTINGS
    assert not here.check(bearer(secret)).whole
    clock.now += 0.1
    with pytest.raises(web.HTTPUnauthorized, match="Unauthorized") as caught:
        here.check(bearer(secret))
    assert "expired" in caught.value.text


def test_a_server_with_the_same_key_knows_the_secret_and_no_other_does():
    secret, _ = keys().mint({}, 60)
    assert keys().check(bearer(secret)).session == {}
    for other in (keys("other"), keys(None), keys(None)):
        with pytest.raises(web.HTTPUnauthorized):
            other.check(bearer(secret))


def test_a_secret_cannot_be_changed():
    here = keys()
    secret, end = here.mint({}, 60)
    content, signature = secret.removeprefix("ek_").split(".")
    forged = base64.urlsafe_b64encode(zlib.compress(json.dumps([end + 9999, {}]).encode())).decode().rstrip("=")
    for wrong in (
        f"ek_{forged}.{signature}",
        f"ek_{content}.{signature[:-1]}",
        f"ek_{content}",
        f"ek_{content[:-2]}.{signature}",
    ):
        with pytest.raises(web.HTTPUnauthorized):
            here.check(bearer(wrong))


def test_settings_that_no_header_can_hold_are_refused():
    noise = "".join(chr(0x4E00 + number * number % 20_000) for number in range(10_000))
    with pytest.raises(web.HTTPBadRequest):
        keys().mint({"instructions": noise}, 60)


def test_without_a_key_everyone_on_this_machine_may_call():
    for host in ("localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "127.9.9.9"):
        assert keys(None).check(request(host)).whole
    for host in ("evil.example", "localhost.evil.example", "10.0.0.1:8080", "", "[::1", "127.0.0.1.evil.example"):
        with pytest.raises(web.HTTPForbidden):
            keys(None).check(request(host))


@pytest.mark.parametrize(
    ("key", "origins", "origin", "trusted"),
    [
        (None, (), "http://localhost:3000", True),
        (None, (), "http://127.0.0.1:8080", True),
        (None, (), "https://evil.example", False),
        (None, (), "http://localhost.evil.example", False),
        (None, (), "null", False),
        (None, (), "", False),
        (None, ("https://app.example",), "https://app.example", True),
        (None, ("https://app.example",), "http://localhost:8080", True),
        (None, ("https://app.example",), "http://localhost:3000", False),
        ("k", (), "https://any.example", True),
        ("k", ("https://app.example",), "https://app.example", True),
        ("k", ("https://app.example",), "https://other.example", False),
        ("k", ("https://app.example",), "http://app.example", False),
    ],
)
def test_pages_are_trusted(key, origins, origin, trusted):
    here = keys(key, origins)
    assert here.trusts(origin, "localhost:8080") == trusted
    if trusted:
        here.check(bearer(key or "", Origin=origin))
    else:
        with pytest.raises(web.HTTPForbidden):
            here.check(bearer(key or "", Origin=origin))


def test_each_key_has_its_holder_and_so_have_its_secrets():
    several = Keys({"alice": SecretStr("a-key"), "bob": SecretStr("b-key")}, (), Clock())
    assert several.check(bearer("b-key")) == Grant({}, whole=True, holder="bob")
    secret, _ = several.mint(SETTINGS, 60, "alice")
    assert several.check(bearer(secret)) == Grant(SETTINGS, whole=False, holder="alice")
    with pytest.raises(web.HTTPUnauthorized):
        several.check(bearer("c-key"))
    with pytest.raises(web.HTTPUnauthorized):
        keys("a-key").check(bearer(secret))
