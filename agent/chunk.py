"""Text deltas in, speakable chunks out: a short first one, so that the voice starts before the text is complete, then clauses.

Joined, the chunks are the text, character for character: an answer that was interrupted is cut by its characters.
"""

import re

FIRST_WORDS = 6
"""Words after which the first chunk ends where no boundary does: about 2 s of speech, in which the next chunk can arrive."""

SHORTEST = 3
"""Characters of the shortest chunk that a boundary may end, from its first letter or digit: "No," but not "I,"."""

CLAUSE = 24
"""Characters that make a clause a chunk after the first one, about 1.5 s of speech. The number doubles with every chunk up to
half of `LONGEST`: a voice twice as fast as speech keeps ahead, and the less a sentence is split the better it sounds."""

LONGEST = 240
"""Characters, from the first letter or digit, after which a chunk ends at a space or else inside a word; about 15 s of speech."""

# A chunk ends before white space, which opens the next: what was heard of a text then ends with a word, not with a space.
_CLOSING = r"""["'”’»)\]*]*"""  # noqa: RUF001
_BOUNDARY = re.compile(
    rf"(?P<sentence>(?<=\S)[.!?…]+{_CLOSING}(?=\s)|[。！？]+[」』）”]*|(?<=\S)(?=\s*\n))"  # noqa: RUF001
    rf"|[,;:]{_CLOSING}(?=\s)|[、，；：]|(?<!\d)—|(?<=[^\W\d]\s)[-–](?=\s)"  # noqa: RUF001
)
_CERTAIN = re.compile(r"(?:[^\W\d_],|[;!?])\Z")
"""A boundary whatever follows. Not a full stop, which may become "3.5", "..." or ".com", nor a colon or a digit's comma."""

_SPEAKABLE = re.compile(r"[^\W_]")
_SPACE = re.compile(r"(?<=\S)(?=\s)")
_ABBREVIATION = re.compile(
    r"(?:\A|[^\w.])(?:(?:\w\.)*[^\W\d_]"  # e.g., U.S., J. Smith
    r"|approx|apt|ave|blvd|capt|cf|co|col|corp|dept|dr|est|etc|fig|gen|gov|hon|inc|jr|lt|ltd|max|min|mr|mrs|ms|mt"
    r"|pp|prof|rev|sen|sgt|sr|st|vol|vs|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.\Z",
    re.IGNORECASE,
)
_ENUMERATOR = re.compile(r"(?:\A|\n)\s*\d+[.)]\Z")
_EXPECTS_DIGITS = re.compile(r"(?:\d|\bnos?\.)\Z", re.IGNORECASE)
_NO_DIGIT = re.compile(r"\s+[^\s\d]")


class Chunker:
    """The text that has arrived and has not left."""

    def __init__(self) -> None:
        self._text = ""
        self._chunks = 0

    def push(self, delta: str) -> list[str]:
        """Add text; returns the chunks that it completes."""
        self._text += delta
        chunks = []
        while end := self._end():
            chunks.append(self._text[:end])
            self._text = self._text[end:]
            self._chunks += 1
        return chunks

    def flush(self) -> list[str]:
        """The text is complete: return what is left. Only this last chunk may have nothing to say, such as a final line break."""
        rest, self._text = self._text, ""
        return [rest] if rest else []

    def _end(self) -> int | None:
        """Where the first chunk of the waiting text ends, if that is known."""
        text = self._text
        speakable = _SPEAKABLE.search(text)
        if speakable is None:
            return None
        begin = speakable.start()
        horizon = begin + LONGEST + 1
        clause = min(CLAUSE << self._chunks - 1, LONGEST // 2) if self._chunks else 0
        ends = [
            match.end()
            for match in _BOUNDARY.finditer(text, begin, horizon)
            if match.end() - begin >= (SHORTEST if match["sentence"] is not None else max(SHORTEST, clause))
        ]
        if not self._chunks and len(text) - begin >= SHORTEST and _CERTAIN.search(text):
            ends.append(len(text))  # the first chunk does not wait for the next character
        ends = [end for end in ends if not _joined(text, begin, end)]
        if not self._chunks or len(text) > begin + LONGEST:
            ends += self._spaces(begin, horizon)
        return min(ends, default=None)

    def _spaces(self, begin: int, horizon: int) -> list[int]:
        """Ends without a boundary: after the first words, and at the last space before the chunk would be too long."""
        text = self._text
        spaces = [match.end() for match in _SPACE.finditer(text, begin, horizon)]
        free = [end for end in spaces if not _joined(text, begin, end)]
        ends = free[FIRST_WORDS - 1 :][:1] if not self._chunks else []
        if len(text) > begin + LONGEST:
            ends.append((free or spaces or [begin + LONGEST])[-1])
        return ends


def _joined(text: str, begin: int, end: int) -> bool:
    """Whether the words before and after `end` are spoken as one: "Dr. Smith", "1. Bread", "No. 5", "20 000"."""
    head = text[begin:end]
    if _EXPECTS_DIGITS.search(head):
        return not _NO_DIGIT.match(text, end)
    return bool(_ABBREVIATION.search(head) or _ENUMERATOR.search(head))
