"""Conversations made of clips, as `models train` reads them, and the stage that trains on them; a model of random weights."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("accelerate", reason="the extra 'train' is not installed")

from models.checkpoint import open_checkpoint, read_tokenizer
from models.demo import dialogues
from models.demo.__main__ import distil
from models.demo.adapter import Hearing
from models.demo.conversation import Setting, Turn
from models.demo.dialogues import ANSWERED, NOISE, Clips, stop_sound, voiced, write_dialogues
from models.demo.encoder import Listener
from models.demo.export import assemble, read_network, write_checkpoint
from models.demo.judge import Asked, Judge, reads
from models.demo.language import build_language_model
from models.demo.pool import load_shard, make_shard
from models.demo.tokens import Chat
from models.demo.utterances import UNFINISHED, Utterance
from models.demo.voices import TRAINED
from models.distill.examples import Composer
from models.distill.settings import DataSettings, Settings, read
from models.distill.sources import Manifest
from models.features import RATE
from tests.models.distill.corpus import forget_accelerator

CLIPS, CONVERSATIONS = 120, 250


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, chat: Chat) -> Path:
    """A build folder with a small pool, a start of random weights, and manifests."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "speech").mkdir()
    make_shard(folder / "speech" / "000.npz", "test", TRAINED, CLIPS)
    torch.manual_seed(0)
    write_checkpoint(folder / "start", assemble(Hearing(Listener(), 0.05), build_language_model()), chat)
    write_dialogues(folder, [folder / "speech" / "000.npz"], CONVERSATIONS)
    return folder


def lines(build: Path, name: str = ANSWERED) -> list[dict]:
    return [json.loads(line) for line in (build / name).read_text().splitlines()]


def test_a_pause_is_the_silence_of_the_clip_drawn_out():
    pcm = np.concatenate((np.full(RATE, 900), np.full(RATE // 4, 7))).astype(np.int16)
    for seed in range(20):
        stopped = stop_sound(pcm, [0.4, 0.97], 1, Random(seed))
        assert 0.4 + 0.08 <= len(stopped) / RATE <= 0.44 + 0.6 + 1e-3
        assert (stopped[-round(0.07 * RATE) :] == 7).all()
        assert (stopped[: round(0.4 * RATE)] == 900).all()
    assert stop_sound(pcm[:RATE], [0.4, 0.97], 1, Random(0)) is not None


def test_clips_of_a_kind_stand_for_one_another(build: Path):
    pool = list(voiced([build / "speech" / "000.npz"]))
    clips, said = Clips(pool), pool[0].utterance
    found = clips.like(said, Random(0))
    assert found.utterance.kind == said.kind
    assert soundfile.info(found.path).samplerate == RATE
    assert clips.like(Utterance("nothing", ""), Random(0)) is None


def test_sounds_of_the_pool_are_those_of_its_spectra(build: Path):
    shard = build / "speech" / "000.npz"
    for index, sample in enumerate(load_shard(shard)[:10]):
        frames = soundfile.info(dialogues.sound_path(shard, index)).frames
        assert -(-frames // 160) == len(sample.mel)


def test_lines_tell_what_training_needs(build: Path):
    rows = lines(build)
    assert 0.7 * CONVERSATIONS < len(rows) + len(lines(build, NOISE)) <= CONVERSATIONS
    for row in rows:
        assert (build / row["audio"]).is_file()
        assert ("answer" in row) or row["unfinished"]
        assert row["transcript"] or row["answer"] == ""
        assert (row["kind"] == UNFINISHED) <= row.get("unfinished", False)
    assert any(row["messages"] for row in rows)
    assert any(row["tools"] for row in rows)
    assert any("audio" in message for row in rows for message in row["messages"])
    assert any(row["audio"].startswith("cut/") for row in rows)


def test_every_line_can_be_trained_on(build: Path, chat: Chat):
    settings = read(_settings(build))
    checkpoint = open_checkpoint(build / "start", {})
    composer = Composer(read_tokenizer(checkpoint), checkpoint.config, settings)
    for name, form in ((ANSWERED, "answer"), (NOISE, "noise")):
        manifest, data = Manifest(build / name, 0), DataSettings.model_validate({"manifest": name, "form": form})
        for index in range(manifest.size):
            example = composer(manifest.at(index), data)
            row = manifest.row(index)
            assert row.get("answer", "")[:100] in chat.tokenizer.decode(example.answer)
            assert example.over == (None if not row["transcript"] else not row.get("unfinished", False))


def _settings(build: Path, **run: object) -> Path:
    text = Path(dialogues.__file__).with_name("distil.toml").read_text()
    for name, value in run.items():
        text = "\n".join(f"{name} = {value}" if line.startswith(f"{name} =") else line for line in text.splitlines())
    (build / "distil.toml").write_text(text)
    return build / "distil.toml"


@pytest.mark.timeout(120)
def test_the_stage_trains_encoder_and_projector_and_leaves_the_language_model(build: Path):
    _settings(build, steps=2, batch=2, save_every=1, workers=0)
    distil(build, [build / "speech" / "000.npz"])
    forget_accelerator()
    before, after = (dict(read_network(build / name).named_parameters()) for name in ("start", "distil/model"))
    changed = {name for name in before if not before[name].equal(after[name])}  # rounded to bfloat16, so not all are
    assert not any(name.startswith("language_model.") or "embed_positions" in name for name in changed)
    assert {"audio_tower.conv2.weight", "multi_modal_projector.linear_1.weight"} <= changed


def test_the_shipped_settings_are_read(build: Path):
    settings = read(Path(dialogues.__file__).with_name("distil.toml"))
    assert isinstance(settings, Settings)
    assert settings.model.train_audio
    assert settings.loss.turn_weight > 0


def test_an_answer_is_right_when_every_token_is_the_likeliest(build: Path, chat: Chat):
    """Against what the model gives of itself, token by token."""
    network = read_network(build / "start")
    judge = Judge(network, chat)
    sample = next(s for s in load_shard(build / "speech" / "000.npz") if s.utterance.kind == "digits")
    turn, setting = Turn(sample.utterance, "One two."), Setting()
    row, embedded = judge._heard(Asked([turn], setting), [sample])
    prompt = row.ids.index(chat.encode("One two.")[0], row.spoken[-1][1])
    with torch.inference_mode():
        given = int(network.language_model.head(network.language_model(embedded[None, :prompt]))[0, -1].argmax())
    assert not judge.hears(Asked([turn], setting), [sample])
    assert 0 <= judge.over(Asked([turn], setting), [sample]) <= 1
    expected = given == chat.end
    assert judge.hears(Asked([Turn(sample.utterance, "")], setting), [sample]) == expected
    assert not reads(network.language_model, chat, Asked([turn], setting), Random(0), spoken=0)
