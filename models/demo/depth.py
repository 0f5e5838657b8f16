"""Stage 8, third part: whether answers stay right as a conversation grows. `parley.json` beside a checkpoint says how far they do.

Conversations are held by held-out voices, each turn by voice. Every answer is judged after the right ones before it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from random import Random

from models.demo.augment import CLEAN
from models.demo.conversation import TALK, Mix, converse, draw_setting, draw_utterances
from models.demo.judge import Asked, Judge
from models.demo.pool import hear
from models.demo.speech import by_espeak
from models.demo.utterances import WORDLESS
from models.demo.voices import HELD_OUT

TURNS = 20
STEP = 128  # tokens of conversation that are counted together


def measure_depth(judge: Judge, conversations: int = 48) -> dict[int, list[bool]]:
    """Hold so many conversations; gives right or wrong by the tokens before an answer, in steps, the system message left out."""
    right = defaultdict[int, list[bool]](list)
    for index in range(conversations):
        rng = Random(f"depth {index}")
        drawn = draw_utterances(Mix(), TALK, TURNS, rng)
        utterances = [utterance for utterance in drawn if utterance.kind not in WORDLESS]
        samples = [hear(by_espeak(utterance, HELD_OUT, rng), CLEAN, None, rng).sample for utterance in utterances]
        setting = draw_setting(TALK, utterances, rng)
        for before, is_right in judge.hears_all(Asked(converse(utterances, setting, rng), setting), samples):
            right[before // STEP * STEP].append(is_right)
    return dict(sorted(right.items()))


def depth_lines(right: Mapping[int, list[bool]]) -> Iterator[str]:
    """Write the result as a Markdown table."""
    yield "| tokens of conversation before an answer | right |"
    yield "| --- | ---: |"
    for start, answers in right.items():
        yield f"| {start} to {start + STEP - 1} | {100 * sum(answers) / len(answers):.0f} % of {len(answers)} |"
