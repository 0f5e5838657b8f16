"""The loss against sums written out, on numbers and on a whole model that is asked as at inference."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("soxr", reason="the extra 'train' is not installed")

from models import Model, load
from models.distill.examples import Composer, Drawn, Example, collate
from models.distill.loss import broken, cross_entropy, divergence, predicting, turns
from models.distill.records import Earlier, Record, read_audio
from models.distill.settings import DataSettings, LossSettings
from models.distill.student import PROJECTOR, Student
from tests.models import checkpoints
from tests.models.distill import corpus

TEMPERATURE = 2.0


def softened(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) / TEMPERATURE)
    return powers / powers.sum()


def by_hand(teacher: np.ndarray, student: np.ndarray) -> float:
    """KL of one position, term by term."""
    p, q = softened(teacher), softened(student)
    return sum(p[i] * (math.log(p[i]) - math.log(q[i])) for i in range(len(p)))


def test_divergence_is_the_sum_written_out() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(5, 7, generator=generator) * 3 for _ in range(2))
    each = [by_hand(t, s) for t, s in zip(teacher.numpy(), student.numpy(), strict=True)]
    loss = divergence(student, teacher, torch.tensor([2, 3]), TEMPERATURE, end_weight=0.7)
    assert loss.total.item() == pytest.approx(sum(each) / 5 + 0.7 * (each[1] + each[4]) / 2, rel=1e-5)
    assert loss.each.tolist() == pytest.approx(each, rel=1e-4)
    assert divergence(teacher, teacher, torch.tensor([5]), TEMPERATURE, 1.0).total.item() == pytest.approx(0, abs=1e-6)


def test_cross_entropy_is_minus_the_log_of_the_label() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    expected = [-math.log(math.exp(2) / (math.e + math.exp(2) + math.exp(0.5))), -math.log(1 / (2 + math.exp(3)))]
    assert cross_entropy(logits, torch.tensor([1, 0])).total.item() == pytest.approx(sum(expected) / 2)


def test_positions_just_before_or_at_the_labels() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 1, 0]]).bool()
    assert predicting(labels, "shifted").int().tolist() == [[0, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert predicting(labels, "unshifted") is labels


def test_the_example_whose_loss_is_no_number_is_told() -> None:
    each = torch.tensor([1.0, 2.0, float("nan"), 3.0, float("inf")])
    assert broken(each, torch.tensor([2, 1, 1, 1])).tolist() == [False, True, False, True]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp("whole"), "whole")[0]


def examples(folder: Path, form: str = "continuation") -> tuple[list[Example], list[Record]]:
    tokenizer, config = corpus.read_model(folder)
    settings = corpus.settings(folder)
    composer = Composer(tokenizer, config, settings)
    records = [
        Record("a", folder / "1.wav", "hello", "what do you hear", translation="hallo", target="German"),
        Record("b", folder / "4.wav", "please translate it to German", "there", translation="bitte", target="German"),
    ]
    data = DataSettings.model_validate({"manifest": "m", "form": form})
    return [composer(record, data) for record in records], records


def network_of(model: Model) -> torch.nn.Module:
    return model._network


@pytest.mark.parametrize("positions", ["shifted", "unshifted"])
@pytest.mark.parametrize("form", ["continuation", "transcription", "translation", "noise"])
def test_the_loss_of_a_batch_is_that_of_its_examples_asked_as_at_inference(
    folder: Path, whole: Path, form: str, positions: str
) -> None:
    """Each clip alone through `Model.logits`, against the padded batch: same rows, same positions, same mean."""
    model = load(whole, dtype="float32")
    made, records = examples(folder, form)
    each, ends = [], []
    for example, record in zip(made, records, strict=True):
        audio = read_audio(record.audio, 16)
        audio = torch.nn.functional.pad(audio, (0, -len(audio) % 320))
        inputs = model.prepare("<|audio|>", [audio.numpy()])
        heard = inputs.__class__(
            torch.tensor(example.heard + example.answer),
            inputs.mel,
            inputs.audio_lens,
            inputs.audio_token_len,
            [example.sounds[0].start],
        )
        read = model.prepare("x")
        read = read.__class__(torch.tensor(example.read + example.answer), [], [], [], [])
        back = 1 if positions == "shifted" else 0
        count = len(example.answer)
        student = model.logits(heard)[len(example.heard) - back :][:count].numpy()
        teacher = model.logits(read)[len(example.read) - back :][:count].numpy()
        each += [by_hand(t, s) for t, s in zip(teacher, student, strict=True)]
        ends.append(each[-1])
    loss = LossSettings.model_validate({"positions": positions, "end_of_turn_weight": 0.5})
    student = Student(network_of(load(whole, dtype="float32")), loss)
    told = student(collate([Drawn(example, []) for example in made]))
    assert told["loss"].item() == pytest.approx(np.mean(each) + 0.5 * np.mean(ends), rel=1e-3)
    assert not told["broken"].any()


def test_ends_of_turns_are_told_by_the_token_that_ends_them() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 5.0, 0.0]])
    shares = [math.exp(value) / (math.exp(value) + 2) for value in (0.0, 1.0, 5.0)]
    shares[0] = 1 / (math.exp(2) + 2)
    over = torch.tensor([True, True, False])
    expected = -(math.log(shares[0]) + math.log(shares[1]) + math.log(1 - shares[2])) / 3
    assert turns(logits, over, end=1).item() == pytest.approx(expected, rel=1e-5)
    sure = torch.tensor([[0.0, 200.0, 0.0]])
    assert turns(sure, torch.tensor([False]), end=1).isfinite()
    assert turns(logits[:0], over[:0], end=1).item() == 0


def test_a_conversation_with_two_sounds_has_the_loss_that_it_has_at_inference(folder: Path, whole: Path) -> None:
    """With an unfinished clip beside it, of which only the end of the turn counts."""
    tokenizer, config = corpus.read_model(folder)
    composer = Composer(tokenizer, config, corpus.settings(folder))
    data = DataSettings.model_validate({"manifest": "m", "form": "answer"})
    spoken = Earlier({"role": "user", "content": "<|audio|>"}, folder / "5.wav", "what is that")
    records = [
        Record(
            "a",
            folder / "1.wav",
            "hello",
            answer="there",
            earlier=(spoken, Earlier({"role": "assistant", "content": "it"})),
        ),
        Record("b", folder / "3.wav", "what is", unfinished=True),
    ]
    made = [composer(record, data) for record in records]
    model = load(whole, dtype="float32")
    asked = []
    for example in made:
        names = ("5.wav", "1.wav") if len(example.sounds) == 2 else ("3.wav",)
        heard = [read_audio(folder / name, 16) for name in names]
        padded = [torch.nn.functional.pad(audio, (0, -len(audio) % 320)).numpy() for audio in heard]
        inputs = model.prepare("<|audio|>" * len(padded), padded)
        starts = [sound.start for sound in example.sounds]
        ids = torch.tensor(example.heard + example.answer)
        asked.append(model.logits(inputs.__class__(ids, inputs.mel, inputs.audio_lens, inputs.audio_token_len, starts)))
    read = model.prepare("x").__class__(torch.tensor(made[0].read + made[0].answer), [], [], [], [])
    count = len(made[0].answer)
    student = asked[0][len(made[0].heard) - 1 :][:count].numpy()
    teacher = model.logits(read)[len(made[0].read) - 1 :][:count].numpy()
    each = [by_hand(t, s) for t, s in zip(teacher, student, strict=True)]
    places = [example.sounds[-1].start + example.sounds[-1].count - 1 for example in made]
    ends = [float(logits[at].softmax(-1)[checkpoints.EOT]) for logits, at in zip(asked, places, strict=True)]
    expected = np.mean(each) + each[-1] + 0.3 * (-math.log(ends[0]) - math.log(1 - ends[1])) / 2
    loss = LossSettings.model_validate({"turn_weight": 0.3})
    told = Student(network_of(load(whole, dtype="float32")), loss)(collate([Drawn(example, []) for example in made]))
    assert told["loss"].item() == pytest.approx(expected, rel=1e-3)


def test_a_whole_audio_tower_is_trained_but_for_its_positions(folder: Path, whole: Path) -> None:
    made, _ = examples(folder)
    student = Student(network_of(load(whole, dtype="float32")), LossSettings(), train_audio=True)
    student(collate([Drawn(example, []) for example in made]))["loss"].backward()
    for name, parameter in student.network.named_parameters():
        heard = name.startswith(("audio_tower.", PROJECTOR)) and "embed_positions" not in name
        assert (parameter.grad is not None) == heard, name


def test_the_gradient_reaches_the_projector_only(folder: Path, whole: Path) -> None:
    made, _ = examples(folder)
    network = network_of(load(whole, dtype="float32"))
    student = Student(network, LossSettings())
    student(collate([Drawn(example, []) for example in made]))["loss"].backward()
    for name, parameter in network.named_parameters():
        if name.startswith(PROJECTOR):
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name


def test_low_rank_additions_begin_as_nothing_and_are_trained_too(folder: Path, whole: Path) -> None:
    pytest.importorskip("peft", reason="the extra 'train' is not installed")
    made, _ = examples(folder)
    batch = collate([Drawn(example, []) for example in made])
    plain = Student(network_of(load(whole, dtype="float32")), LossSettings())(batch)["loss"]
    settings = corpus.settings(folder, model={"checkpoint": "x", "lora": {"rank": 2, "targets": ["k_proj", "q_proj"]}})
    student = Student(network_of(load(whole, dtype="float32")), LossSettings(), settings.model.lora)
    loss = student(batch)["loss"]
    assert loss.item() == pytest.approx(plain.item())
    loss.backward()
    trained = {name for name, parameter in student.named_parameters() if parameter.requires_grad}
    added = {name for name in trained if "lora_" in name}
    assert len(added) == 2 * 2 * 2  # layers, targets, halves
    assert all(PROJECTOR in name for name in trained - added)
    assert all(parameter.grad is not None for name, parameter in student.named_parameters() if name in trained)
    assert all(parameter.grad is None for name, parameter in student.named_parameters() if name not in trained)


def test_the_gradient_is_the_difference_of_the_distributions() -> None:
    """Of KL(p || softmax(x / T)) by x it is (q - p) / T, here as part of a mean over labels."""
    generator = torch.Generator().manual_seed(2)
    student, teacher = (torch.randn(4, 6, generator=generator) * 2 for _ in range(2))
    student.requires_grad_()
    divergence(student, teacher, torch.tensor([4]), TEMPERATURE, end_weight=0.0).total.backward()
    q, p = ((logits / TEMPERATURE).softmax(-1) for logits in (student.detach(), teacher))
    assert torch.allclose(student.grad, (q - p) / TEMPERATURE / 4, atol=1e-6)


@given(st.integers(0, 1000), st.floats(0.5, 8), st.floats(0, 3))
def test_divergence_is_never_negative_and_nothing_only_for_equals(seed: int, temperature: float, weight: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(3, 5, generator=generator) * 3 for _ in range(2))
    loss = divergence(student, teacher, torch.tensor([1, 2]), temperature, weight)
    assert loss.each.min() > 0
    assert loss.total >= loss.each.mean()
    shifted = divergence(teacher + 7.0, teacher, torch.tensor([1, 2]), temperature, weight)  # the same distribution
    assert shifted.total.item() == pytest.approx(0, abs=1e-5)


def test_rows_in_a_padded_batch_are_those_that_inference_computes(folder: Path, whole: Path) -> None:
    """The longest clip is six times as long as the shortest; each is also heard alone, as in a call."""
    tokenizer, config = corpus.read_model(folder)
    data = DataSettings.model_validate({"manifest": "m", "form": "noise"})
    composer = Composer(tokenizer, config, corpus.settings(folder))
    made = [composer(Record(str(index), folder / f"{index}.wav"), data) for index in range(6)]
    made = [made[index] for index in (3, 0, 5, 1, 4, 2)]
    model = load(whole, dtype="float32")
    student = Student(network_of(load(whole, dtype="float32")), LossSettings())
    batch = collate([Drawn(example, []) for example in made])
    assert [index for group in batch.alike for index in group] == [1, 3, 5, 0, 4, 2]  # by length
    assert len(batch.alike) == 4
    with torch.no_grad():
        together = student._hear(batch)
    alone = [model.project(model.encode(example.sounds[0].mel)) for example in made]
    assert [len(rows) for rows in alone] == [example.sounds[0].count for example in made]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_mixed_precision_comes_near_the_loss_and_keeps_what_is_trained_in_float32(folder: Path, whole: Path) -> None:
    made, _ = examples(folder)
    batch = collate([Drawn(example, []) for example in made])
    students = [Student(network_of(load(whole, dtype=dtype)), LossSettings()) for dtype in ("float32", "bfloat16")]
    precise, mixed = (student(batch)["loss"] for student in students)
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(precise.item(), rel=0.2)
    mixed.backward()
    assert {p.dtype for p in students[1].trained()} == {torch.float32}
    assert {p.grad.dtype for p in students[1].trained()} == {torch.float32}
    frozen = [p for p in students[1].parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}


def test_a_broken_example_is_told_apart_from_its_neighbours(folder: Path, whole: Path) -> None:
    made, _ = examples(folder)
    batch = collate([Drawn(example, []) for example in made])
    batch.mel[0] = float("nan")
    told = Student(network_of(load(whole, dtype="float32")), LossSettings())(batch)
    assert told["broken"].tolist() == [True, False]
    assert not told["loss"].isfinite()
