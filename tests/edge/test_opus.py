"""libopus through ctypes: what is decoded, concealed and recovered, and what the encoder does about losses and silence."""

import contextlib

import numpy as np
import pytest

from agent.audio import dbfs
from agent.edge import codecs, opus
from agent.edge.codecs import BY_NAME, OPUS, FFmpegDecoder, FFmpegEncoder
from agent.edge.opus import OpusDecoder, OpusEncoder, OpusError
from tests.edge.speech import error, protected, vowel

pytestmark = pytest.mark.skipif(opus.library is None, reason="libopus is not there")


def test_the_library_inside_the_wheel_is_used():
    assert "av.libs" in opus.library._name or ".dylibs" in opus.library._name


def test_packets_are_decoded_to_16_khz():
    decoder = OpusDecoder()
    frames = [decoder.decode(packet.payload) for packet in protected(vowel(0.5))]
    assert {frame.shape for frame in frames} == {(320,)}
    reference = vowel(0.5, 16_000)
    assert dbfs(np.concatenate(frames)[1600:]) == pytest.approx(dbfs(reference[1600:]), abs=1.5)


def test_a_copy_is_better_than_a_guess():
    packets = [packet.payload for packet in protected(vowel(2.0))]
    plain = OpusDecoder()
    whole = np.concatenate([plain.decode(payload) for payload in packets])
    lost = list(range(22, 95, 4))

    def decoded(recover: bool):
        decoder, out = OpusDecoder(), []
        for number, payload in enumerate(packets):
            if number in lost:
                copy = decoder.recover(packets[number + 1], 320) if recover else None
                out.append(decoder.conceal(320) if copy is None else copy)
            else:
                out.append(decoder.decode(payload))
        return np.concatenate(out)

    assert error(decoded(recover=True), whole, lost) < 0.7 * error(decoded(recover=False), whole, lost)


def test_concealment_fades_out():
    decoder = OpusDecoder()
    for packet in protected(vowel(0.5)):
        last = decoder.decode(packet.payload)
    made_up = [dbfs(decoder.conceal(320)) for _ in range(30)]
    assert made_up[0] == pytest.approx(dbfs(last), abs=8)
    assert made_up[-1] < -60


def test_copies_are_made_once_losses_are_reported_and_kept_on():
    encoder, decoder = OpusEncoder(32_000), OpusDecoder()
    frames = np.split(vowel(1.0), 50)

    def copies() -> int:
        return sum(decoder.recover(encoder.encode(frame), 320) is not None for frame in frames)

    assert copies() == 0
    encoder.expect_loss(0.0)
    assert copies() == 0
    encoder.expect_loss(0.01)
    assert copies() >= 40, "after the few frames that it takes to find speech"
    encoder.expect_loss(0.0)
    assert copies() >= 40


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_what_is_encoded_in_a_hurry_is_other_packets_that_are_heard_and_protected_all_the_same(loss):
    hurried, well, decoder = OpusEncoder(32_000), OpusEncoder(32_000), OpusDecoder()
    for encoder in (hurried, well):
        encoder.expect_loss(loss)
    hurried.hurry(True)
    hurried.hurry(False)
    frames = np.split(vowel(1.0), 50)
    assert [hurried.encode(frame) for frame in frames] == [well.encode(frame) for frame in frames]
    hurried.hurry(True)
    packets = [hurried.encode(frame) for frame in frames]
    assert packets != [well.encode(frame) for frame in frames]
    assert sum(bool(loss) == (decoder.recover(packet, 320) is not None) for packet in packets) >= 40
    listener = OpusDecoder()
    heard = np.concatenate([listener.decode(packet) for packet in packets])
    assert dbfs(heard) == pytest.approx(dbfs(np.concatenate(frames)), abs=1.5)


@pytest.mark.parametrize("payload", [b"\xff" * 3, b"\x03", bytes(range(256)) * 5])
def test_what_is_no_opus_is_refused(payload):
    with pytest.raises(OpusError):
        OpusDecoder().decode(payload)


def test_random_bytes_never_do_more_than_that():
    chance, decoder = np.random.default_rng(3), OpusDecoder()
    for size in chance.integers(1, 1300, 2000):
        payload = chance.bytes(size)
        with contextlib.suppress(OpusError):
            assert decoder.decode(payload).size <= opus.LONGEST
        copy = decoder.recover(payload, 320)
        assert copy is None or copy.size == 320


def test_the_bit_rate_is_kept():
    encoder = OpusEncoder(32_000)
    assert sum(len(encoder.encode(frame)) for frame in np.split(vowel(2.0), 100)) * 8 / 2 < 34_000


@pytest.mark.parametrize("name", BY_NAME)
def test_ffmpegs_codecs_have_the_same_interface(name):
    codec = BY_NAME[name]
    encoder, decoder = FFmpegEncoder(codec), FFmpegDecoder(codec)
    encoder.expect_loss(0.1)
    out = []
    for frame in np.split(vowel(0.5), 25):
        payload = encoder.encode(frame)
        assert decoder.recover(payload, 320) is None
        out.append(decoder.decode(payload))
    assert {frame.shape for frame in out} == {(320,)}
    assert dbfs(np.concatenate(out)[1600:]) == pytest.approx(dbfs(vowel(0.5, 16_000)[1600:]), abs=1.5)
    assert dbfs(decoder.conceal(320)) == pytest.approx(dbfs(out[-1]) - 6, abs=1)
    assert decoder.conceal(1000).shape == (1000,)


def test_what_is_no_opus_is_refused_by_ffmpeg_too():
    with pytest.raises(codecs.CodecError):
        FFmpegDecoder(OPUS).decode(b"\xff" * 3)


def test_without_libopus_ffmpegs_codec_takes_its_place(monkeypatch):
    assert isinstance(OPUS.decoder(), OpusDecoder)
    monkeypatch.setattr(opus, "library", None)
    assert isinstance(OPUS.decoder(), FFmpegDecoder)
    encoder = OPUS.encoder()
    assert isinstance(encoder, FFmpegEncoder)
    assert len(encoder.encode(vowel(0.02))) > 20
