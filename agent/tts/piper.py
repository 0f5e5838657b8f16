"""Piper's neural voices: an ONNX file and its JSON, run by piper-tts and onnxruntime. One piece of speech for each sentence.

Where words end is exact for voices that tell the samples of each phoneme (a second output of the model, see Piper's
alignments); otherwise it is an estimate that gives all phonemes of a sentence the same length.
"""

import json
import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from piper import AudioChunk, PiperConfig, PiperVoice, SynthesisConfig

from agent.audio import Speech, Word, onset
from agent.threads import iterate
from agent.tts import TTSError, plain, spoken_until

_FAILURES = (
    RuntimeError,  # espeak-ng, which turns the text into phonemes
    onnx_errors.Fail,  # onnxruntime's exceptions have no base class of their own
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
)

_STRESSES = "ˈˌ"  # of the phonetic alphabet

_THREADS = 2
"""For one sentence; sentences of all calls queue for them."""


class PiperTTS:
    """One voice, shared by all calls."""

    def __init__(self, path: Path) -> None:
        """Load `path` and `path`.json and try them. Raises ValueError naming the file that is missing, broken or no voice."""
        config = _config(Path(f"{path}.json"))
        self._voice = PiperVoice(session=_session(path), config=config)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="piper")
        self.name = path.stem
        self.rate: int = config.sample_rate
        try:
            list(self._speak("Hello."))  # the first run is the slowest, and tells whether the files fit together
        except TTSError as error:
            raise ValueError(f"{path}: {error}") from error

    def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the speech of a text sentence by sentence, from its first audible sample; nothing if it has no letter or digit.

        Closing it lets the sentence in work end. Raises TTSError when the model or the phonemizer fails.
        """
        return iterate(self._executor, partial(self._speak, text, speed))

    def _speak(self, text: str, speed: float = 1.0) -> Iterator[Speech]:
        read = plain(text)
        if not any(character.isalnum() for character in read):
            return
        try:
            sentences = [phonemes for phonemes in self._voice.phonemize(read) if phonemes]
            ends = self._word_ends(text, read, sentences)
            begun = False
            manner = SynthesisConfig(length_scale=self._voice.config.length_scale / speed)
            chunks = self._voice.synthesize(read, manner, include_alignments=True)
            for chunk, words in zip(chunks, ends, strict=True):
                speech = _speech(chunk, words, trim=not begun)
                begun = begun or speech.samples.size > 0
                if begun:
                    yield speech
        except _FAILURES as error:
            raise TTSError(f"the voice {self.name} cannot say {text!r}: {error}") from error

    def _word_ends(self, text: str, read: str, sentences: list[list[str]]) -> list[dict[int, int]]:
        """For each sentence where words end: phonemes of the sentence → characters of the text.

        Words of the text are matched to the words of the phonemes by counting. The phonemizer may join words that are
        spoken together ("of the"): the counts then differ, and each is found by how it sounds alone.
        """
        spoken = [(index, *word) for index, phonemes in enumerate(sentences) for word in _words(phonemes)]
        tokens = list(re.finditer(r"\S+", read))
        alone = [
            [sounds for phonemes in self._voice.phonemize(token.group()) for _, sounds in _words(phonemes)]
            for token in tokens
        ]
        ends: list[dict[int, int]] = [{} for _ in sentences]
        for token, at in zip(tokens, _places(alone, [sounds for *_, sounds in spoken]), strict=True):
            characters = spoken_until(text, read, token.end())
            if at and characters:
                sentence, phonemes, _ = spoken[at - 1]
                ends[sentence][phonemes] = characters
        return ends


def _places(alone: Sequence[Sequence[str]], together: Sequence[str]) -> list[int]:
    """After how many of the words spoken together each of those spoken alone is over; a joined word is over at its end."""
    counts = list(accumulate(map(len, alone)))
    if counts and counts[-1] == len(together):
        return counts
    until = list(accumulate(map(len, together), initial=0))
    sounds = ["".join(words) for words in alone]
    changes = SequenceMatcher(None, "".join(sounds), "".join(together), autojunk=False).get_opcodes()
    places = []
    for end in accumulate(map(len, sounds)):
        found = 0
        for _, start, stop, start_together, stop_together in changes:
            if start < end <= stop:
                found = start_together + round((end - start) * (stop_together - start_together) / (stop - start))
        places.append(bisect_left(until, found))
    return places


def _words(phonemes: list[str]) -> list[tuple[int, str]]:
    """The words of a sentence: how many phonemes are spoken when each ends, pauses for punctuation come after; and its sounds."""
    words = []
    end = 0
    sounds = ""
    for count, phoneme in enumerate([*phonemes, " "], start=1):
        if phoneme == " " and end:
            words.append((end, sounds))
            end, sounds = 0, ""
        elif any(character.isalnum() for character in phoneme):
            end = count
            sounds += phoneme.strip(_STRESSES)
    return words


def _speech(chunk: AudioChunk, words: dict[int, int], *, trim: bool) -> Speech:
    """A sentence's samples, without the silence before the first if `trim`, and the ends of its words."""
    samples = chunk.audio_int16_array
    start = onset(samples) if trim else 0
    if chunk.phoneme_alignments:  # start of sentence, phonemes, end of sentence
        until = np.cumsum([alignment.num_samples for alignment in chunk.phoneme_alignments])[:-1]
    else:
        until = np.linspace(0, len(samples), len(chunk.phonemes) + 1)
    ends = tuple(
        Word(int(np.clip(round(until[phonemes]) - start, 0, len(samples) - start)), characters)
        for phonemes, characters in words.items()
    )
    return Speech(samples[start:], chunk.sample_rate, ends)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = _THREADS, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would burn a core
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise ValueError(f"{path}: {error}") from error
    inputs = {node.name for node in session.get_inputs()}
    if not {"input", "input_lengths", "scales"} <= inputs:
        raise ValueError(f"{path}: not a Piper voice; its inputs are {', '.join(sorted(inputs))}")
    return session


def _config(path: Path) -> PiperConfig:
    try:
        config = PiperConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; a Piper voice is an .onnx file with a .onnx.json beside it"
        ) from error
    except KeyError as error:
        raise ValueError(f"{path}: not the configuration of a Piper voice; it lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the configuration of a Piper voice; {error}") from error
    if not isinstance(config.sample_rate, int) or config.sample_rate <= 0:
        raise ValueError(f"{path}: audio.sample_rate is {config.sample_rate!r}, not a number of samples per second")
    if not config.phoneme_id_map:
        raise ValueError(f"{path}: phoneme_id_map is empty")
    return config
