"""What becomes of an offer's codecs."""

import pytest
from aiortc.sdp import SessionDescription

from agent.edge.sdp import OfferError, audio, checked

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF {numbers}
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:sha-256 00:11
a=setup:actpass
{about}"""

ABOUT = {
    111: "a=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\na=fmtp:111 minptime=10;useinbandfec=1\n",
    0: "a=rtpmap:0 PCMU/8000\n",
    8: "a=rtpmap:8 PCMA/8000\n",
    110: "a=rtpmap:110 telephone-event/48000\n",
    126: "a=rtpmap:126 telephone-event/8000\na=fmtp:126 0-16\n",
    63: "a=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n",
}


def offer(*numbers, explained=True):
    about = "".join(ABOUT[number] for number in ABOUT) if explained else ""
    return OFFER.format(numbers=" ".join(map(str, numbers)), about=about)


def codecs(text):
    return [codec.payloadType for codec in audio(SessionDescription.parse(text)).rtp.codecs]


ALL = {"audio/opus", "audio/pcmu", "audio/pcma", "audio/g722"}


def test_the_callers_order_is_kept_and_what_we_lack_is_left_out():
    assert codecs(checked(offer(8, 63, 111, 0))) == [8, 111, 0]
    assert codecs(checked(offer(0, 111))) == [0, 111], "also where the explanations have another order"


def test_only_what_may_be_used_is_left():
    assert codecs(checked(offer(111, 0, 8), {"audio/pcmu"})) == [0]
    with pytest.raises(OfferError, match="audio/pcmu"):
        checked(offer(111, 8, 126), {"audio/pcmu"})


def test_telephone_events_come_last():
    assert codecs(checked(offer(126, 110, 111))) == [111, 126, 110]


def test_what_every_phone_knows_need_not_be_explained():
    text = checked(offer(0, 8, explained=False))
    assert codecs(text) == [0, 8]
    assert "a=rtpmap:8 PCMA/8000" in text


def test_nothing_else_is_changed():
    text = checked(offer(111, 110))
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in text
    assert "63" not in text.split("a=setup")[1]
    assert text.split("m=audio")[0].splitlines() == offer(111).split("m=audio", maxsplit=1)[0].splitlines()
