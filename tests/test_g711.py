"""G.711 against FFmpeg's codecs, for every code and every sample."""

import av
import numpy as np
import pytest

from agent.g711 import decode, encode

LAWS = {"audio/pcmu": "pcm_mulaw", "audio/pcma": "pcm_alaw"}
EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(("law", "codec"), LAWS.items())
def test_every_code_is_the_sample_that_ffmpeg_makes_of_it(law, codec):
    context = av.CodecContext.create(codec, "r")
    context.format, context.layout, context.sample_rate = "s16", "mono", 8000
    [frame] = context.decode(av.Packet(EVERY_CODE))
    assert decode(EVERY_CODE, law).tolist() == frame.to_ndarray()[0].tolist()


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_becomes_the_nearest_code(law):
    errors = np.abs(decode(encode(EVERY_SAMPLE, law), law).astype(int) - EVERY_SAMPLE)
    levels = decode(EVERY_CODE, law).astype(int)
    assert errors.tolist() == np.abs(EVERY_SAMPLE[:, None] - np.unique(levels)[None]).min(axis=1).tolist()


@pytest.mark.parametrize("law", LAWS)
def test_codes_survive_a_round_trip(law):
    again = encode(decode(EVERY_CODE, law), law)
    assert decode(again, law).tolist() == decode(EVERY_CODE, law).tolist()
    assert sum(a != b for a, b in zip(again, EVERY_CODE, strict=True)) == (law == "audio/pcmu")  # its negative zero


def test_silence_is_the_codes_of_the_recommendation():
    assert encode(np.zeros(2, np.int16), "audio/pcmu") == b"\xff\xff"
    assert encode(np.zeros(2, np.int16), "audio/pcma") in {b"\xd5\xd5", b"\x55\x55"}
    assert encode(np.zeros(0, np.int16), "audio/pcmu") == b""
