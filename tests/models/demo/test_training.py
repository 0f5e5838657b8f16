"""The demo recipe's speech and training: labels, the channel, losses, the optimiser, resuming; seconds of work."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from models.demo import augment
from models.demo.adapter import SLOT, align_loss, borderline, place_sample, settle, slots
from models.demo.encoder import BATCH, BLOCK, Listener, collate, draw_batch, sinusoids
from models.demo.espeak import Voice, speak
from models.demo.evaluate import table
from models.demo.phones import PHONES, SILENCE, UNLABELLED, from_arpabet, from_espeak
from models.demo.pool import Sample, frame_labels, hear, load_shard, save_shard, stop_after, stretch
from models.demo.speech import Clip, by_espeak, by_people, group_borders, no_speech, punctuated, with_pauses
from models.demo.training import Run, device, orthogonal, train
from models.demo.utterances import Utterance
from models.demo.voices import HELD_OUT, invent

RATE = 16_000


def a_clip(words="one two", numbers=(1, 2), seconds=0.8, ends=(0.35, 0.8)) -> Clip:
    samples = np.sin(np.arange(int(seconds * RATE)) * 0.1).astype(np.float32)
    phones = [
        (PHONES.index("w"), 0.0),
        (PHONES.index("V"), 0.1),
        (PHONES.index("n"), 0.25),
        (PHONES.index("t"), 0.4),
        (PHONES.index("u:"), 0.6),
    ]
    return Clip(
        Utterance("digits", words, numbers), "test", samples, phones, [label for label, _ in phones], list(ends)
    )


# labels and channel


@pytest.mark.parametrize(("name", "phone"), [("'i:", "i:"), (",aI2", "aI"), ("t[", "t"), ("_:", "_"), ("A@", "A:")])
def test_espeak_phones_fold(name, phone):
    assert PHONES[from_espeak(name)] == phone


def test_unknown_phones_are_not_labels():
    assert from_espeak("R2") == UNLABELLED
    assert PHONES[from_arpabet("dh")] == "D"
    assert from_arpabet("pau") == SILENCE


def test_frame_labels_follow_the_lead():
    labels = frame_labels(a_clip(), lead=0.2, frames=60)
    assert PHONES[labels[9]] == "_"
    assert PHONES[labels[10]] == "w"
    assert PHONES[labels[45]] == "u:"
    assert PHONES[labels[55]] == "_"


def test_espeak_speaks_every_word_in_order():
    utterance = Utterance("sum", "what is three plus four", (3, 4))
    clip = by_espeak(utterance, HELD_OUT, Random(2))
    assert len(clip.ends) == 5
    assert clip.ends == sorted(clip.ends)
    assert clip.ends[-1] <= len(clip.samples) / RATE + 0.01
    assert clip.sequence
    assert 0.5 < len(clip.samples) / RATE < 4


def test_invented_voices_differ_from_clip_to_clip():
    utterance, rng = Utterance("sum", "what is three plus four", (3, 4)), Random(3)
    clips = [by_espeak(utterance, replace(HELD_OUT, invented=1.0), rng) for _ in range(8)]
    assert all("+invented " in clip.source and len(clip.ends) == 5 for clip in clips)
    assert all(float(np.abs(clip.samples).max()) > 0.05 for clip in clips)
    voice = Voice("en+invented", invented=invent(Random(0)))
    assert not np.array_equal(speak("four", voice).samples, speak("four", replace(voice, invented=invent(rng))).samples)


def test_recorded_digits_are_strung_together():
    recordings = Path("../shared/data/spoken-digits")
    if not recordings.is_dir():
        pytest.skip(f"{recordings} is not there")
    clip = by_people(Utterance("digits", "my number is one four", (1, 4)), recordings, HELD_OUT.people, Random(0))
    assert clip is not None
    assert clip.utterance.words == "one four"
    assert len(clip.ends) == 2
    assert by_people(Utterance("digits", "one", (1,)), Path("nowhere"), HELD_OUT.people, Random(0)) is None


PHONE = Utterance(
    "phone", "my number is one two three four five six seven eight nine zero", (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)
)


def test_numbers_are_spoken_in_groups_with_pauses_between_them():
    borders = {tuple(group_borders(PHONE, Random(seed))) for seed in range(50)}
    assert borders == {(), (3, 6, 9)}
    assert punctuated(PHONE, [3, 6, 9], Random(1)).startswith("my number is, one two three, four five six, seven eight")
    assert group_borders(Utterance("sum", "one plus one", (1, 1)), Random(0)) == []


def test_a_pause_moves_what_comes_after_it():
    clip = with_pauses(a_clip(), {1: 0.5})
    assert clip.ends == [0.35, 1.3]
    assert len(clip.samples) == len(a_clip().samples) + RATE // 2
    assert not clip.samples[round(0.36 * RATE) : round(0.84 * RATE)].any()
    assert [PHONES[label] for label, _ in clip.phones] == ["w", "V", "n", "_", "t", "u:"]
    assert [start for _, start in clip.phones] == sorted(start for _, start in clip.phones)
    assert clip.phones[-1][1] == pytest.approx(1.1)


def test_sounds_without_words_are_many_and_silence_is_one():
    babble = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    clips = [no_speech(babble, HELD_OUT, Random(seed)) for seed in range(60)]
    assert {clip.source.split()[0] for clip in clips} == {"silence", "noise", "babble", "cough", "backchannel"}
    for clip in clips:
        silent = clip.utterance.kind == "silence"
        assert clip.utterance.words == ""
        assert np.isfinite(clip.samples).all()
        assert (not clip.ends) == silent
        assert all(0 < end < len(clip.samples) / RATE + 0.16 for end in clip.ends)
        assert clip.samples.any() != silent


SHAPED = {
    "room": augment.room,
    "microphone": augment.microphone,
    "g711": lambda x, _: augment.g711(x),
    "opus": lambda x, _: augment.opus(x, 24_000),
    "noise": lambda x, rng: augment.add_noise(x, augment.noise(len(x), None, rng), 10.0),
    "all": lambda x, rng: augment.disturb(x, augment.Channel(1, 1, (5, 5), 1, 0, 1, 1), x, rng),
}


@pytest.mark.parametrize("name", SHAPED)
@pytest.mark.parametrize("count", [4_000, 16_001])
def test_disturbances_keep_length_and_are_finite(name, count):
    speech = np.random.default_rng(0).standard_normal(count).astype(np.float32) * 0.1
    out = SHAPED[name](speech, np.random.default_rng(1))
    assert out.dtype == np.float32
    assert out.shape == speech.shape
    assert np.isfinite(out).all()
    assert np.abs(out).max() > 0.001


def test_opus_does_not_move_speech():
    speech = by_espeak(Utterance("count", "count to ten"), HELD_OUT, Random(0)).samples
    out = augment.opus(speech, 64_000)
    lags = range(-64, 65)
    best = max(lags, key=lambda lag: float(np.dot(speech[500:-500], np.roll(out, -lag)[500:-500])))
    assert abs(best) <= 16  # 1 ms


def test_noise_is_as_far_below_speech_as_asked():
    speech = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    added = augment.add_noise(speech, augment.noise(8000, None, np.random.default_rng(1)), 15.0) - speech
    assert 10 * np.log10(np.square(speech).mean() / np.square(added).mean()) == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize(("slope", "falls"), [(0.0, 0), (0.5, 3), (1.0, 6)], ids=["white", "pink", "brown"])
def test_coloured_noise_falls_by_so_many_decibels_an_octave(slope, falls):
    power = np.square(np.abs(np.fft.rfft(augment.coloured(RATE, slope, np.random.default_rng(0)))))
    octaves = [10 * np.log10(power[hertz : 2 * hertz].mean()) for hertz in (250, 500, 1000, 2000)]
    assert np.diff(octaves) == pytest.approx([-falls] * 3, abs=0.6)


@pytest.mark.parametrize("sound", ["babble", "pink"])
def test_a_channel_says_what_noise_there_is(sound):
    """Babble is the other speech that is given, somewhere in it; pink noise is none of it."""
    channel = replace(augment.CLEAN, noise=1, snr=(0, 0), sound=sound)
    tone, silence = np.sin(np.arange(RATE, dtype=np.float32)), np.full(RATE, 1e-3, np.float32)
    spectrum = np.abs(np.fft.rfft(augment.disturb(silence, channel, tone, np.random.default_rng(0))))
    assert (spectrum[1:].argmax() + 1 == round(RATE / (2 * np.pi))) == (sound == "babble")


def test_hear_gives_a_shard_that_reads_back(tmp_path):
    samples = [hear(a_clip(), augment.CLEAN, None, Random(seed)).sample for seed in range(3)]
    save_shard(tmp_path / "000.npz", samples)
    for before, after in zip(samples, load_shard(tmp_path / "000.npz"), strict=True):
        assert before.utterance == after.utterance
        assert before.source == after.source
        assert np.array_equal(before.mel, after.mel)
        assert np.array_equal(before.labels, after.labels)
        assert np.array_equal(before.sequence, after.sequence)
        assert np.allclose(before.ends, after.ends, atol=1e-3)
        assert len(before.labels) == -(-len(before.mel) // 2)


# training


def samples_(count=4) -> list[Sample]:
    return [hear(a_clip(seconds=0.8 + 0.1 * seed), augment.CLEAN, None, Random(seed)).sample for seed in range(count)]


def test_padding_does_not_change_what_a_clip_gives():
    listener = Listener().to(device()).eval()
    together = collate(samples_(), None)
    with torch.inference_mode():
        encoded = listener.encode(together)
        for index, length in enumerate(together.lengths.tolist()):
            alone = listener.audio_tower(together.mel[index : index + 1, :, :length])
            assert torch.allclose(encoded[index, : alone.shape[1]], alone[0], atol=1e-4)
            assert not encoded[index, alone.shape[1] :].any()


def test_losses_are_finite_and_reach_encoder_and_rows(chat):
    batch = collate(samples_(), torch.Generator().manual_seed(0))
    listener = Listener().to(device())
    encoded = listener.encode(batch)
    rows = torch.randn(4, max(map(slots, batch.samples)), 256, requires_grad=True)
    aligned, tokens = align_loss(rows, batch, torch.randn(chat.tokenizer.get_vocab_size(), 256), chat)
    assert len(tokens) == sum(map(slots, batch.samples))
    terms = listener.loss(encoded, batch) | aligned
    sum(terms.values()).backward()
    assert all(torch.isfinite(value) for value in terms.values())
    assert rows.grad.abs().sum() > 0
    assert listener.audio_tower.conv1.weight.grad.abs().sum() > 0


def test_a_batch_of_people_only_whose_phones_have_no_times_has_a_loss():
    unlabelled = [replace(sample, labels=np.full_like(sample.labels, UNLABELLED)) for sample in samples_()]
    listener = Listener().to(device())
    batch = collate(unlabelled, None)
    terms = listener.loss(listener.encode(batch), batch)
    assert terms["frames"].item() == 0
    assert torch.isfinite(terms["ctc"])


def test_rows_are_drawn_to_words_and_to_marks_for_what_is_no_word(chat):
    sample = samples_(1)[0]
    placed = place_sample(sample, chat)
    assert len(placed) == slots(sample)
    assert [token for token in placed if token != chat.pause] == [chat.word("one"), chat.word("two")]
    for kind, token in (("noise", chat.noise), ("foreign", chat.unknown_word)):
        placed = place_sample(replace(sample, utterance=Utterance(kind, "")), chat)
        assert placed.count(token) == 2


def test_a_clip_that_is_stopped_has_the_words_before_the_pause():
    sample = next(s for s in samples_(9) if len(s.mel) * 0.01 - s.ends[-1] > 0.2)
    stopped = stop_after(sample, 1, Random(0))
    assert (stopped.utterance.kind, stopped.utterance.words) == ("unfinished", "one")
    assert stopped.ends == sample.ends[:1]
    assert len(stopped.labels) == -(-len(stopped.mel) // 2)


@pytest.mark.parametrize(
    ("ends", "pairs"),
    [
        ((1.5, 3.5), []),
        ((1.9, 4.5), [(1, 2)]),
        ((1.5, 4.1), [(4, 3)]),
        ((1.9, 3.1), [(1, 2)]),  # one empty slot takes one word
        ((1.9, 2.5), []),  # the slot across the border is taken
        ((0.1, 1.5), []),  # there is none
    ],
)
def test_words_that_end_near_a_border_may_be_on_either_side(ends, pairs, chat):
    sample = replace(samples_(1)[0], ends=[end * SLOT for end in ends])
    assert borderline(sample, place_sample(sample, chat), chat.pause) == pairs


@pytest.mark.parametrize(("named", "settled"), [(1, [0, 5, 0, 6]), (2, [0, 0, 5, 6])])
def test_a_word_settles_where_the_rows_name_it(named, settled):
    names = torch.zeros(4, 8).index_put((torch.tensor(named), torch.tensor(5)), torch.tensor(9.0)).log_softmax(-1)
    assert settle(torch.tensor([0, 5, 0, 6]), torch.tensor([(1, 2)]), names, 0).tolist() == settled


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.18])
def test_a_stretched_clip_has_the_same_words_at_other_times(factor, chat):
    sample = samples_(1)[0]
    stretched = stretch(sample, factor)
    assert len(stretched.mel) == round(len(sample.mel) * factor)
    assert len(stretched.labels) == -(-len(stretched.mel) // 2)
    assert stretched.ends == pytest.approx([end * factor for end in sample.ends])
    assert set(stretched.labels) == set(sample.labels)
    assert [token for token in place_sample(stretched, chat) if token != chat.pause] == [
        token for token in place_sample(sample, chat) if token != chat.pause
    ]


def test_batches_hold_each_clip_once_per_block_and_last_about_as_long():
    short, long = samples_(1)[0], hear(a_clip(seconds=4.0), augment.CLEAN, None, Random(0)).sample
    pool = [short] * (BLOCK * BATCH // 2) + [long] * (BLOCK * BATCH // 2)
    batches = [draw_batch(pool, step, BATCH, "test") for step in range(BLOCK)]
    assert sum(map(len, batches)) == BLOCK * BATCH
    frames = [sum(len(sample.mel) for sample in batch) for batch in batches]
    assert max(frames) - min(frames) <= 2 * len(long.mel)
    assert max(map(len, batches)) > 2 * min(map(len, batches))


def test_sinusoids_begin_with_zero_and_one():
    table_ = sinusoids(1500, 192)
    assert table_[0, :96].abs().max() == 0
    assert (table_[0, 96:] == 1).all()
    assert table_.shape == (1500, 192)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8)])
def test_orthogonal_brings_singular_values_near_one(shape):
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(0))).float())
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    def make():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))

    def loss_of(module):
        return lambda step: {"loss": module(torch.full((2, 4), float(step))).square().mean()}

    whole, halves = make(), make()
    train(Run(tmp_path / "whole.pt", 8, warm_up=2), whole, loss_of(whole))
    monkeypatch.setattr("models.demo.training.SAVE_EVERY_S", 0.0)

    def killed(step):
        if step == 4:
            raise KeyboardInterrupt
        return loss_of(halves)(step)

    with pytest.raises(KeyboardInterrupt):
        train(Run(tmp_path / "halves.pt", 8, warm_up=2), halves, killed)
    again = make()
    train(Run(tmp_path / "halves.pt", 8, warm_up=2), again, loss_of(again))
    for first, second in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_table_counts_by_kind_and_in_all():
    lines = list(table({"clean": {"yes": [True, False], "no": [True]}, "nothing": {}}))
    assert lines == ["| | clean |", "| --- | ---: |", "| yes | 50 |", "| no | 100 |", "| **all** | **67** of 3 |"]
