"""The media benchmark measures what it says: its tones by themselves, then a short run of everything."""

import asyncio
import json

import numpy as np
import pytest

from agent.audio import Resampler
from agent.bench import calls, media
from agent.bench.calls import endless
from agent.bench.media import TONES, Tones, main
from agent.edge import opus
from agent.edge.codecs import BIT_RATE
from agent.edge.opus import OpusDecoder, OpusEncoder
from agent.simulation.loop import run


def test_each_frame_is_recognised_with_its_delay():
    async def link() -> Tones:
        tones, resample = Tones(), Resampler(48_000, 16_000)
        for _ in range(3 * TONES):
            said = resample(tones.say())
            await asyncio.sleep(0.005)
            if said.size == 320:
                tones.hear(said, 16_000)
            await asyncio.sleep(0.015)
        return tones

    tones = run(link())
    assert tones.lost(0.0) <= 1 / (2 * TONES), "the first may be cut by the resampler"
    assert tones.delays(0.0) == pytest.approx([5.0] * len(tones.heard))


def test_what_never_comes_out_is_lost_and_what_comes_late_is_late():
    async def link() -> Tones:
        tones = Tones()
        said = []
        for n in range(3 * TONES):
            said.append(tones.say())
            if n >= 10 and n % 4:
                tones.hear(said[n - 10], 48_000)
            tones.hear(np.zeros(960, np.int16), 48_000)
            await asyncio.sleep(0.02)
        return tones

    tones = run(link())
    assert tones.lost(0.0) == pytest.approx(0.25, abs=0.03)
    assert tones.delays(0.0) == pytest.approx([200.0] * len(tones.heard))


def test_speech_without_end_has_no_clicks():
    pull = endless()
    said = np.concatenate([pull() for _ in range(150)])
    assert np.abs(np.diff(said.astype(int))).max() < 500


@pytest.mark.skipif(opus.library is None, reason="libopus is not there")
def test_no_tone_is_taken_for_the_one_before_in_the_codecs_speech_mode():
    async def link() -> Tones:
        tones, encoder, decoder = Tones(), OpusEncoder(BIT_RATE), OpusDecoder()
        encoder.expect_loss(0.01)
        for _ in range(20 * TONES):
            tones.hear(decoder.decode(encoder.encode(tones.say())), 16_000)
            await asyncio.sleep(0.02)
        return tones

    tones = run(link())
    assert tones.lost(0.0) == 0
    assert tones.delays(0.0) == pytest.approx([0.0] * len(tones.heard))


@pytest.mark.slow
def test_a_short_run_gives_every_figure_with_its_twin(capsys, monkeypatch):
    monkeypatch.setattr(media, "SETTLE_SECONDS", 1.0)
    monkeypatch.setattr(calls, "SETTLE_SECONDS", 0.5)
    monkeypatch.setattr(calls, "COUNT_SECONDS", 1.0)
    options = ["--seconds", "2", "--calls", "1", "--most", "1", "--tries", "1", "--hearing", "1", "--json"]
    assert main(options) == 0
    figures = json.loads(capsys.readouterr().out)
    for name in ("delay_ms", "delay_ms_p95_loss1", "lost_speech_share_loss1", "mcore_per_call_1", "calls_held"):
        assert name in figures
        assert f"stock_{name}" in figures
    assert figures["frames_share_1"] > 0.5
    assert figures["mcore_per_call_1_least"] <= figures["mcore_per_call_1"] <= figures["mcore_per_call_1_greatest"]
    assert figures["hearing_gap_share_1"] < 0.5
    assert figures["lost_speech_share_clean"] < 0.5
