import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import InputError, Model, load
from models.cache import Cache
from tests.models import checkpoints, reference
from tests.models.checkpoints import EOT, parts

PROMPT = "<|begin_of_text|>hello, what is <|audio|>?"


def sound(rng: np.random.Generator, samples: int) -> np.ndarray:
    return (rng.standard_normal(samples) * 0.1).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 320, 2561, 20_800, 99_251, 480_000])
def test_one_audio_equals_the_reference_throughout(model: Model, rng: np.random.Generator, samples: int) -> None:
    audio = sound(rng, samples)
    inputs = model.prepare(PROMPT, [audio])
    mel = reference.features(audio)
    torch.testing.assert_close(inputs.mel[0], mel, atol=1e-4, rtol=0)
    encoded = model.encode(inputs.mel[0])
    torch.testing.assert_close(encoded, reference.encode(parts(), mel).detach(), atol=1e-4, rtol=0)
    rows = model.project(encoded)
    assert inputs.audio_token_len == [len(rows)] == [math.ceil(math.ceil(max(samples, 320) / 160) / 16)]
    assert inputs.input_ids.tolist() == reference.input_ids(PROMPT, inputs.audio_token_len)
    logits = model.logits(inputs)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, reference.logits(parts(), PROMPT, [audio]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("mels", [80, 128])
def test_greedy_answers_equal_the_references(tmp_path: Path, rng: np.random.Generator, mels: int) -> None:
    made = checkpoints.parts(norm_mid=True, mels=mels)
    model = load(checkpoints.write(tmp_path, "whole", made)[0], dtype="float32")
    for samples in (5000, 40_000, 170_000):
        audio = sound(rng, samples)
        messages = [{"role": "user", "content": "what is <|audio|>?"}]
        answer = "".join(model.generate(messages, [audio], max_new_tokens=40))
        ids = reference.greedy(made, model.prompt(messages), [audio], 40, set(model.stop))
        assert ids
        assert answer == model.tokenizer.decode(ids)


def test_several_audios_each_stand_at_their_placeholder(model: Model, rng: np.random.Generator) -> None:
    audios = [sound(rng, 8000), (sound(rng, 24_000) * 32767).astype(np.int16)]
    prompt = "compare <|audio|> with <|audio|> please"
    inputs = model.prepare(prompt, audios)
    assert inputs.audio_lens == [50, 150]
    assert inputs.audio_token_len == [4, 10]
    starts = inputs.audio_token_start_idx
    assert [
        inputs.input_ids[start : start + n].unique().tolist() for start, n in zip(starts, [4, 10], strict=True)
    ] == [[EOT]] * 2
    floats = [audios[0], audios[1].astype(np.float32) / 32768]
    expected = reference.logits(parts(), prompt, floats)
    torch.testing.assert_close(model.logits(inputs), expected, atol=1e-3, rtol=0)


def test_an_audio_does_not_depend_on_its_company(model: Model, rng: np.random.Generator) -> None:
    short, long = sound(rng, 8050), sound(rng, 31 * 16_000)
    together = model.prepare("<|audio|> and <|audio|>", [short, long])
    for inputs, offset in ((model.prepare("<|audio|>", [short]), 0), (model.prepare("<|audio|>", [long]), 1)):
        for window, mel in enumerate(inputs.mel):
            assert torch.equal(together.mel[offset + window], mel)


def test_a_second_audio_in_a_later_turn_is_heard(model: Model, rng: np.random.Generator) -> None:
    first, one, other = (sound(rng, 16_000) for _ in range(3))
    messages = [
        {"role": "user", "content": "<|audio|>"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "<|audio|>"},
    ]
    prompt = model.prompt(messages)
    logits = [
        model.logits(model.prepare(prompt, audios))[-1] for audios in ([first, one], [first, other], [one, other])
    ]
    assert not torch.allclose(logits[0], logits[1], atol=1e-2)
    assert not torch.allclose(logits[1], logits[2], atol=1e-2)


def test_long_audio_is_cut_after_the_mel(model: Model, rng: np.random.Generator) -> None:
    """31 s are a window of 30 s and one of 1 s, each encoded by itself, with one clamp over the whole."""
    audio = sound(rng, 31 * 16_000)
    audio[: 30 * 16_000] *= 0.001
    inputs = model.prepare(PROMPT, [audio])
    assert inputs.audio_lens == [3000, 100]
    assert inputs.audio_token_len == [188, 7]
    whole = reference.features(audio)
    torch.testing.assert_close(torch.cat(inputs.mel, -1), whole, atol=1e-4, rtol=0)
    assert inputs.audio_token_start_idx[1] == inputs.audio_token_start_idx[0] + 188
    encoded = reference.encode(parts(), whole[:, 3000:]).detach()
    torch.testing.assert_close(model.encode(inputs.mel[1]), encoded, atol=1e-4, rtol=0)
    assert model.logits(inputs).shape == (len(inputs.input_ids), checkpoints.VOCABULARY)


@pytest.mark.parametrize(("samples", "counts"), [(480_000, [188]), (480_001, [188, 1]), (496_000, [188, 7])])
def test_token_counts_of_windows(model: Model, samples: int, counts: list[int]) -> None:
    assert model.prepare("<|audio|>", [np.zeros(samples, np.int16)]).audio_token_len == counts


def test_bfloat16_is_close(whole: Path, model: Model, rng: np.random.Generator) -> None:
    audio = sound(rng, 20_000)
    half = load(whole, dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    logits = half.logits(half.prepare(PROMPT, [audio]))
    assert logits.dtype == torch.float32
    exact = model.logits(model.prepare(PROMPT, [audio]))
    assert torch.nn.functional.cosine_similarity(logits, exact).min() > 0.95


class Endless(Model):
    """The model with no token that ends an answer, counting its steps."""

    def __init__(self, model: Model) -> None:
        super().__init__(model._network, model.tokenizer, frozenset())
        self.steps = 0

    def _step(self, rows: torch.Tensor, cache: Cache) -> torch.Tensor:
        self.steps += 1
        return super()._step(rows, cache)


def test_generation_stops_at_the_limit_and_at_the_windows_end(model: Model) -> None:
    messages = [{"role": "user", "content": "a " * 470}]
    room = model.config.text.max_positions - len(model.prepare(model.prompt(messages)).input_ids) + 1
    for limit, made in ((1000, room), (7, 7), (0, 0)):
        endless = Endless(model)
        list(endless.generate(messages, max_new_tokens=limit))
        assert endless.steps == made


def test_closing_the_generator_stops_within_one_token(model: Model) -> None:
    endless = Endless(model)
    stream = endless.generate([{"role": "user", "content": "hello"}], max_new_tokens=200)
    next(stream)
    made = endless.steps
    stream.close()
    assert list(stream) == []
    assert endless.steps == made < 200


def test_temperature_draws(model: Model) -> None:
    messages = [{"role": "user", "content": "hello"}]
    torch.manual_seed(1)
    answers = {"".join(model.generate(messages, max_new_tokens=12, temperature=1.5)) for _ in range(6)}
    assert len(answers) > 1
    torch.manual_seed(0)
    once = "".join(model.generate(messages, max_new_tokens=12, temperature=1.5))
    torch.manual_seed(0)
    assert once == "".join(model.generate(messages, max_new_tokens=12, temperature=1.5))


def test_end_tokens_end_an_answer_unseen(model: Model) -> None:
    greedy = list(model.generate([{"role": "user", "content": "hello"}], max_new_tokens=30))
    assert not any(special in "".join(greedy) for special in checkpoints.SPECIAL)
    prompt = model.prompt([{"role": "user", "content": "hello"}])
    first = int(model.logits(model.prepare(prompt))[-1].argmax())
    stopped = Model(model._network, model.tokenizer, model.stop | {first})
    assert list(stopped.generate([{"role": "user", "content": "hello"}])) == []
    assert model.stop == {checkpoints.tokenizer().token_to_id(token) for token in checkpoints.SPECIAL[1:3]}


def test_generating_leaves_gradients_as_they_were(model: Model) -> None:
    stream = Endless(model).generate([{"role": "user", "content": "hello"}])
    next(stream)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    stream.close()


@pytest.mark.parametrize(
    ("prompt", "audios", "message"),
    [
        ("hello", [np.zeros(400)], r"has 0 <\|audio\|> but there are 1 audios"),
        ("<|audio|><|audio|>", [np.zeros(400)], "has 2 .* but there are 1"),
        ("<|audio|>", [], "has 1 .* but there are 0"),
        ("a " * 1100, [], r"the prompt takes 2200 tokens \(0 of them audio\); the model's window holds 1024"),
        ("<|audio|>", [np.zeros(200 * 16000)], r"takes 1253 tokens \(1253 of them audio\)"),
    ],
)
def test_a_prompt_that_does_not_fit(model: Model, prompt: str, audios: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.prepare(prompt, audios)


def test_generate_complains_at_once(model: Model) -> None:
    user = [{"role": "user", "content": "hello <|audio|>"}]
    with pytest.raises(InputError, match=r"1 .* but there are 0"):
        model.generate(user)
    with pytest.raises(InputError, match="temperature -1 is negative"):
        model.generate([{"role": "user", "content": "hello"}], temperature=-1)
