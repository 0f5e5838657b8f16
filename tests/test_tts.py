"""Voices: real synthesis, exact word ends, and texts that are no prose."""

import asyncio
import contextlib
import itertools
import json
import re
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import tts
from agent.audio import Samples, Word, onset
from agent.tts import TTS, TTSError, plain, spoken_until
from tests.piper_voice import HOP, HOPS, RATE, make_voice


async def say(voice: TTS, text: str, speed: float = 1.0) -> tuple[Samples, list[Word]]:
    """The whole speech of a text; word ends counted from its start."""
    pieces: list[Samples] = []
    words: list[Word] = []
    length = 0
    async for speech in voice.synthesize(text, speed):
        assert speech.rate == voice.rate
        assert speech.samples.dtype == np.int16
        assert speech.samples.size
        assert all(0 <= word.sample <= speech.samples.size for word in speech.words)
        words += [Word(length + word.sample, word.text) for word in speech.words]
        pieces.append(speech.samples)
        length += speech.samples.size
    return (np.concatenate(pieces) if pieces else np.zeros(0, np.int16)), words


@pytest.fixture(scope="module")
def espeak() -> TTS:
    return tts.load("en-us")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="module")
def piper(folder: Path) -> TTS:
    return tts.load(str(make_voice(folder / "tones.onnx")))


@pytest.fixture(params=["espeak", "piper"])
def voice(request: pytest.FixtureRequest) -> TTS:
    found: TTS = request.getfixturevalue(request.param)
    return found


def heard(text: str, words: list[Word]) -> list[str]:
    return [text[: word.text] for word in words]


# every voice


async def test_every_word_ends_once_in_order_and_the_last_one_ends_the_text(voice: TTS) -> None:
    text = "Hello world. How are you, my friend?"
    samples, words = await say(voice, text)
    assert heard(text, words) == [text[:end] for end in (5, 12, 16, 20, 25, 28, 36)]
    assert all(earlier.sample < later.sample for earlier, later in itertools.pairwise(words))
    assert words[-1].sample <= samples.size


async def test_positions_are_those_of_python_whatever_the_alphabet(voice: TTS) -> None:
    text = "  Größe naïve café — 😀 end 😀"
    _, words = await say(voice, text)
    assert heard(text, words) == ["  Größe", "  Größe naïve", "  Größe naïve café —", text]


async def test_a_number_is_one_word(voice: TTS) -> None:
    text = "I have 1200 apples"
    _, words = await say(voice, text)
    assert heard(text, words) == ["I", "I have", "I have 1200", text]


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "...", "!!!", "🙂", "***", "\x00", "\ud800", '" '])
async def test_what_cannot_be_said_is_silent(voice: TTS, text: str) -> None:
    samples, words = await say(voice, text)
    assert samples.size == 0
    assert words == []


def alike(first: Samples, second: Samples) -> bool:
    """Equal but for what espeak leaves to chance, which is the flutter of its pitch and with it a little of the length."""
    return abs(first.size - second.size) <= 0.02 * first.size


async def test_markup_is_no_command(voice: TTS) -> None:
    async def samples(text: str) -> Samples:
        return (await say(voice, text))[0]

    assert alike(await samples("**stop** now"), await samples("  stop   now"))
    assert alike(await samples("[[h@l'oU]] now"), await samples("  h@l'oU   now"))
    assert alike(await samples("stop\x01+99S now"), await samples("stop +99S now"))
    assert alike(await samples("stop\x00 now"), await samples("stop  now"))
    read = await samples('yes <prosody volume="silent">this</prosody>')
    assert read.size > 2 * (await samples("yes this")).size  # not obeyed


async def test_speech_begins_with_sound(voice: TTS) -> None:
    for text in ("please", "two", "hello", "yes"):
        assert onset((await say(voice, text))[0]) < voice.rate // 1000


@pytest.mark.parametrize("speed", [0.5, 1.5])
async def test_a_voice_speaks_faster_and_slower_and_then_as_usual(voice: TTS, speed: float) -> None:
    text = "One two three four five six."
    usual, ends = await say(voice, text)
    changed, words = await say(voice, text, speed)
    assert usual.size / changed.size == pytest.approx(speed, rel=0.12)
    assert heard(text, words) == heard(text, ends)
    assert (await say(voice, text))[0].size == pytest.approx(usual.size, rel=0.02)


async def test_calls_at_once_do_not_disturb_one_another(voice: TTS) -> None:
    texts = [" ".join(["word"] * count) for count in range(1, 7)]
    alone = [await say(voice, text) for text in texts]
    async with asyncio.TaskGroup() as group:
        together = [group.create_task(say(voice, text)) for text in texts]
    for text, expected, task in zip(texts, alone, together, strict=True):
        assert alike(task.result()[0], expected[0])
        assert heard(text, task.result()[1]) == heard(text, expected[1])


async def test_a_voice_that_was_stopped_speaks_again(voice: TTS) -> None:
    expected = await say(voice, "hello again")
    for _ in range(10):
        async with contextlib.aclosing(voice.synthesize("One two three. " * 10)) as speech:
            await anext(speech)
    assert alike((await say(voice, "hello again"))[0], expected[0])


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_a_voice(text: str) -> None:
    voice = tts.load("en-us")
    _, words = asyncio.run(say(voice, text))
    ends = [word.text for word in words]
    assert ends == sorted(set(ends))
    assert not ends or ends[-1] == len(text.rstrip())


# the text that voices read


@given(st.text())
def test_what_is_read_has_the_characters_of_the_text(text: str) -> None:
    read = plain(text)
    assert len(read) == len(text)
    assert plain(read) == read


def test_prose_is_read_as_it_is() -> None:
    text = "It's 20° (75 %), naïve & 3.5€ — “yes”…\nOK?"
    assert plain(text) == text
    assert plain("a😀b\x07c\U0001f3fdd") == "a b c d"


def test_words_end_at_white_space() -> None:
    text = "so *very* 1200"
    read = plain(text)
    assert spoken_until(text, read, 3) == 2
    assert spoken_until(text, read, 10) == 9  # with the asterisk
    assert spoken_until(text, read, 12) is None
    assert spoken_until(text, read, 99) == len(text)
    assert spoken_until("**so", "  so", 2) == 0


# espeak


async def test_espeak_names_what_it_has_when_a_voice_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"'nonsense'.*en-us.*f3") as refused:
        tts.load("nonsense")
    for name in re.findall(r"\ben[\w-]*", str(refused.value).partition("; and variants")[0]):
        assert tts.load(name).name == name
    with pytest.raises(ValueError, match=r"'en-us\+nobody'.*f3"):
        tts.load("en-us+nobody")
    assert tts.load("en-gb-x-rp+f3").name == "en-gb-x-rp+f3"


async def test_espeak_voices_differ_and_do_not_disturb_one_another(espeak: TTS) -> None:
    other = tts.load("es")
    american = (await say(espeak, "my bath"))[0]
    spanish = (await say(other, "my bath"))[0]
    assert not alike(american, spanish)
    assert alike((await say(espeak, "my bath"))[0], american)


async def test_a_word_ends_where_its_pause_begins(espeak: TTS) -> None:
    samples, words = await say(espeak, "Stop. Go.")
    for word in words:
        assert onset(samples[word.sample + 200 :]) > espeak.rate // 5  # at least 0.2 s of silence follow
        assert onset(samples[word.sample - 1000 :]) < 1000


async def test_a_part_of_a_clause_has_no_pause_behind_it(espeak: TTS) -> None:
    def silence_after(samples: Samples) -> float:
        return onset(samples[::-1]) / espeak.rate

    assert silence_after((await say(espeak, "once upon a time there"))[0]) < 0.02
    assert 0.1 < silence_after((await say(espeak, "Yes,"))[0]) < silence_after((await say(espeak, "Yes."))[0]) < 0.4


async def test_closing_stops_espeak_in_the_middle_of_a_text(espeak: TTS) -> None:
    async with contextlib.aclosing(espeak.synthesize("word " * 50_000)) as speech:  # 12 s of work
        await anext(speech)
    async with asyncio.timeout(3):
        assert (await say(espeak, "Yes."))[0].size


async def test_all_espeak_voices_share_one_thread(espeak: TTS) -> None:
    for name in ("en-us", "de", "fr"):
        await say(tts.load(name), "eins, two, trois")
    assert sum(thread.name.startswith("espeak") for thread in threading.enumerate()) == 1


# Piper


async def test_aligned_word_ends_are_exact(piper: TTS) -> None:
    samples, words = await say(piper, "Hello.")
    phonemes = "həlˈoʊ."  # noqa: RUF001  # each has an id and a pad, and so have the start and the stop of the sentence, less a pad
    assert samples.size == (2 * len(phonemes) + 3) * HOPS * HOP - 1  # the sine starts with a zero, which is dropped
    assert words == [Word((2 * (len(phonemes) - 1) + 2) * HOPS * HOP - 1, 6)]


async def test_word_ends_without_alignments_are_near(piper: TTS, folder: Path) -> None:
    plain_voice = tts.load(str(make_voice(folder / "unaligned.onnx", alignments=False)))
    text = "Hello world. How are you, my friend? The end of the story."
    samples, exact = await say(piper, text)
    same_samples, estimated = await say(plain_voice, text)
    assert np.array_equal(samples, same_samples)
    assert heard(text, estimated) == heard(text, exact)
    assert all(abs(a.sample - b.sample) < 3 * 2 * HOPS * HOP for a, b in zip(exact, estimated, strict=True))


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Hello, I am Parley. How are you?", [6, 11, 19, 23, 27, 32]),  # "I am" is spoken as one word
        ("Turn on the light in the kitchen. It is one of the best of them. Done.", [4, 11, 17, 24, 33, 36, 39, 43, 50, 55, 58, 64, 70]),
        ("Ok, I am off. I am 5.", [3, 8, 13, 18, 21]),
    ],
)  # fmt: skip
async def test_words_that_are_joined_end_together_and_those_after_them_in_their_place(
    piper: TTS, text: str, ends: list[int]
) -> None:
    _, words = await say(piper, text)
    assert [word.text for word in words] == ends
    assert [word.sample for word in words] == sorted({word.sample for word in words})


async def test_piper_streams_by_sentence(piper: TTS) -> None:
    pieces = [speech async for speech in piper.synthesize("Hello world. How are you?")]
    assert len(pieces) == 2
    assert [word.text for word in pieces[0].words] == [5, 12]
    assert piper.name == "tones"
    assert piper.rate == RATE


def test_a_missing_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.onnx\.json: No such file"):
        tts.load(str(tmp_path / "gone.onnx"))
    make_voice(tmp_path / "half.onnx").unlink()
    with pytest.raises(ValueError, match=r"half\.onnx: .*doesn't exist"):
        tts.load(str(tmp_path / "half.onnx"))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
def test_a_broken_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = make_voice(tmp_path / "voice.onnx")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"voice\.onnx: "):
        tts.load(str(path))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"audio": 3}', "\udcff"])
def test_a_broken_configuration_is_named(tmp_path: Path, content: str) -> None:
    path = make_voice(tmp_path / "voice.onnx")
    Path(f"{path}.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"voice\.onnx\.json: "):
        tts.load(str(path))


@pytest.mark.parametrize(
    "change",
    [
        {"espeak": {"voice": "nonsense"}},
        {"audio": {"sample_rate": "fast"}},
        {"phoneme_type": "unheard-of"},
        {"phoneme_id_map": {}},
        {"num_speakers": 2},
    ],
)
def test_a_configuration_that_does_not_fit_is_an_error_at_load(tmp_path: Path, change: dict[str, object]) -> None:
    path = make_voice(tmp_path / "voice.onnx")
    config = Path(f"{path}.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ValueError, match=r"voice\.onnx"):
        tts.load(str(path))


def test_another_model_is_no_voice(tmp_path: Path) -> None:
    path = make_voice(tmp_path / "voice.onnx")
    package = find_spec("silero_vad")
    assert package
    assert package.origin
    path.write_bytes((Path(package.origin).parent / "data" / "silero_vad_16k_op15.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"voice\.onnx: not a Piper voice"):
        tts.load(str(path))


async def test_a_failing_model_fails_the_synthesis(folder: Path) -> None:
    """A phoneme id that the model has no row for, which only some texts need."""
    voice = tts.load(str(make_voice(folder / "small.onnx", symbols=121)))
    await say(voice, "Hello.")
    with pytest.raises(TTSError, match="small"):
        await say(voice, "thing")
    await say(voice, "Hello.")
