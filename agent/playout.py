"""What is about to be played, cut into frames of one length; knows which sample and which word was last heard.

Takes speech as samples with the ends of its words, gives one frame per call of `pull`. One reply at a time: `clear` ends it and the
next `push` begins another. What was pulled lately can be put back, should it have left for nobody. All positions are samples at the
output's rate, counted from the start of the reply. Pure: whoever pulls keeps the time.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from agent.audio import Samples, Word

KEPT_FRAMES = 200
"""How many of the frames pulled last can be put back: 4 s, longer than it takes to notice that nobody hears them."""


class Playout:
    """Samples in order, waiting for the ear."""

    def __init__(self, frame: int) -> None:
        """`frame` is the number of samples that `pull` gives at a time."""
        self.frame = frame
        self._ramp = frame // 4
        """Samples in which the voice fades out or in: 5 ms, enough that nobody hears a click."""
        self.buffered = 0
        """Samples that wait."""
        self.played = 0
        """Samples of this reply that were pulled."""
        self.text = 0
        """Characters of this reply's text whose words were pulled to their end."""
        self.underruns = 0
        """Gaps inside speech, over all replies: a frame was due, the reply was not over, and there were no samples for it."""
        self._pieces: deque[Samples] = deque()
        self._words: deque[Word] = deque()
        self._past: deque[Samples] = deque(maxlen=KEPT_FRAMES)
        """The frames pulled last, as they were pushed."""
        self._said: list[Word] = []
        """The words pulled to their end."""
        self._ended = False
        self._starved = False
        self._ducked = False
        self._gain = 1.0

    @property
    def pushed(self) -> int:
        """Samples of this reply so far, played or waiting."""
        return self.played + self.buffered

    def push(self, samples: Samples, words: Iterable[Word] = ()) -> None:
        """Queue [n] samples; words end at `Word.sample` counted from the first of them, which may be beyond the last."""
        self._words.extend(Word(self.pushed + word.sample, word.text) for word in words)
        if samples.size:
            self._pieces.append(samples)
            self.buffered += samples.size
        self._ended = False

    def end(self) -> None:
        """No more of this reply comes: its last samples need not fill a frame, and running dry is no underrun."""
        self._ended = True
        # Rounding while resampling may have put the last word's end just beyond the last sample.
        self._words = deque(Word(min(word.sample, self.pushed), word.text) for word in self._words)
        self._hear()

    def pull(self) -> Samples | None:
        """The next frame, padded with zeros at the end of the samples; None when nothing is to be played."""
        if self._ducked and not self._gain:
            return None
        enough = self.buffered >= self.frame
        starved = not enough and not self._ended and self.played > 0
        self.underruns += starved and not self._starved
        self._starved = starved
        # A reply begins with a whole frame, so that a slow first piece does not begin it with a click and a gap.
        if not self.buffered or not (enough or self.played or self._ended):
            return None
        falls = self._ducked and self._gain > 0
        frame = self._fade(self._take(min(self._ramp if falls else self.frame, self.buffered)))
        self._hear()
        return frame

    def duck(self, on: bool) -> None:
        """Fade out at the start of the next frame and hold there, or fade in again from the next sample."""
        self._ducked = on

    def put_back(self, frames: int) -> None:
        """Play the last so many frames again, as many as are kept and of this reply, before what waits."""
        for _ in range(min(frames, len(self._past))):
            piece = self._past.pop()
            self._pieces.appendleft(piece)
            self.buffered += piece.size
            self.played -= piece.size
        while self._said and self._said[-1].sample > self.played:
            self._words.appendleft(self._said.pop())
        self.text = max((word.text for word in self._said), default=0)

    def clear(self) -> None:
        """Drop what waits and end the reply; `played` and `text` count from zero again."""
        self._ducked, self._gain = False, 1.0
        self._pieces.clear()
        self._words.clear()
        self._past.clear()
        self._said.clear()
        self.buffered = self.played = self.text = 0
        self._ended = self._starved = False

    def _fade(self, frame: Samples) -> Samples:
        """The frame on its way to the gain that is wanted."""
        wanted = 0.0 if self._ducked else 1.0
        if self._gain == wanted:
            return frame
        ramp = np.linspace(self._gain, wanted, self._ramp, dtype=np.float32)
        self._gain = wanted
        faded = frame.copy()
        faded[: self._ramp] = frame[: self._ramp] * ramp
        return faded

    def _take(self, count: int) -> Samples:
        """Move the first `count` waiting samples into a frame."""
        frame = np.zeros(self.frame, dtype=np.int16)
        filled = 0
        while filled < count:
            piece = self._pieces.popleft()
            part = piece[: count - filled]
            frame[filled : filled + part.size] = part
            filled += part.size
            if part.size < piece.size:
                self._pieces.appendleft(piece[part.size :])
        self.buffered -= count
        self.played += count
        self._past.append(frame[:count])
        return frame

    def _hear(self) -> None:
        """Move the text position to the last word that ended."""
        while self._words and self._words[0].sample <= self.played:
            self._said.append(self._words.popleft())
            self.text = max(self.text, self._said[-1].text)
