"""What the recipe's last stage measures, on the checkpoint that ships."""

from random import Random

import pytest
from tokenizers import Tokenizer

from models.demo import depth, measure, words
from models.demo.augment import CLEAN
from models.demo.conversation import Setting, Turn, converse
from models.demo.depth import STEP, depth_lines, measure_depth
from models.demo.evaluate import REPORT, Case, heard
from models.demo.export import CHECKPOINT, read_network
from models.demo.judge import Asked, Judge
from models.demo.pool import hear, make_shard
from models.demo.speech import by_espeak
from models.demo.tokens import Chat
from models.demo.utterances import Utterance
from models.demo.voices import HELD_OUT, TRAINED
from models.demo.words import measure_words, word_lines


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(read_network(CHECKPOINT), Chat(Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))))


def test_every_turn_is_judged_after_the_right_ones_before_it(judge):
    said = [Utterance("identity", "who are you"), Utterance("story", "tell me a story")]
    clips = [hear(by_espeak(utterance, HELD_OUT, Random(5)), CLEAN, None, Random(5)).sample for utterance in said]
    right = converse(said, Setting(), Random(0), cut=0)
    (first, _), (second, _) = judged = judge.hears_all(Asked(right, Setting()), clips)
    assert [is_right for _, is_right in judged] == [True, True]
    assert 0 < first < second
    wrong = [right[0], Turn(said[1], "Goodbye.")]
    assert [is_right for _, is_right in judge.hears_all(Asked(wrong, Setting()), clips)] == [True, False]
    assert not judge.hears(Asked(wrong, Setting()), clips)


def test_answers_are_counted_by_what_stands_before_them(judge, monkeypatch):
    monkeypatch.setattr(depth, "TURNS", 6)
    right = measure_depth(judge, conversations=2)
    assert all(start % STEP == 0 for start in right)
    assert 6 <= sum(map(len, right.values())) <= 12
    assert sum(right[0]) > len(right[0]) / 2
    assert list(depth_lines({128: [True, False, True]}))[-1] == "| 128 to 255 | 67 % of 3 |"


def test_most_words_are_named_rightly(judge, monkeypatch, tmp_path):
    monkeypatch.setattr(words, "CLIPS", 20)
    make_shard(tmp_path / "000.npz", "test", TRAINED, 20)
    rates = measure_words(judge, tmp_path / "000.npz")
    assert all(rate < 0.5 for rate in rates.values()), rates
    assert rates["other voices"] < 0.3
    assert list(word_lines({"other voices": 0.0831}))[-1] == "| other voices | 8.3 % |"


def test_another_draw_has_other_voices(judge):
    voices = []

    def say(_utterance: Utterance, rng: Random) -> None:
        voices.append(rng.random())

    for draw in ("one", "one", "another"):
        heard(judge, [Case("story", (Utterance("story", "tell me a story"),))], say, CLEAN, draw)
    assert voices[0] == voices[1] != voices[2]


def test_a_checkpoint_that_is_made_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        measure, "evaluate", lambda judge, _, draw: {draw: {"thanks": [True, judge.chat.end > 0, False]}}
    )
    for measurement in ("measure_separation", "measure_depth"):
        monkeypatch.setattr(measure, measurement, lambda _: {})
    monkeypatch.setattr(measure, "measure_words", lambda _, known: {"other voices": 0.0 if known is None else 1.0})
    measure.main([str(CHECKPOINT), "--draw", "mine", "--out", str(tmp_path / "measured")])
    report = (tmp_path / "measured" / REPORT).read_text()
    assert "| | mine |" in report
    assert "| thanks | 67 |" in report
    assert "| other voices | 0.0 % |" in report
    assert report in capsys.readouterr().out
