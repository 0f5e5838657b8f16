"""A voice that has said its fixed phrases before: a greeting or a filler leaves at once, however slow the voice is.

Phrases are made once for a voice, when the server starts, and kept; everything else is made when it is said. Their samples are kept, not
their Opus packets: a packet continues the ones before it (RFC 6716, section 2.1.8), so that kept ones are right only after silence and
without error correction. Spliced into speech they miss by -12 dB in the first 60 ms, and a phrase may be ducked, taken back, said faster
or protected against losses. Encoding it again costs 38 µs for each 20 ms.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from agent.audio import Speech
from agent.chunk import Chunker
from agent.tts import TTS


class Rehearsed:
    """Implements `TTS` over a voice; `rehearse` it before the first call."""

    def __init__(self, voice: TTS, phrases: Iterable[str]) -> None:
        """`phrases` are what is said without a model; empty ones are none."""
        self.name = voice.name
        self.rate = voice.rate
        self._voice = voice
        self._kept: dict[str, tuple[Speech, ...]] = {piece: () for phrase in phrases for piece in _pieces(phrase)}

    async def rehearse(self) -> None:
        """Make all phrases. Raises TTSError."""
        for text in self._kept:
            async with aclosing(self._voice.synthesize(text)) as speeches:
                self._kept[text] = tuple([speech async for speech in speeches])

    async def synthesize(self, text: str, speed: float = 1.0) -> AsyncGenerator[Speech]:
        """Stream the speech of a text. Raises TTSError."""
        if speed == 1 and (kept := self._kept.get(text)):
            for speech in kept:
                yield speech
            return
        async with aclosing(self._voice.synthesize(text, speed)) as speeches:
            async for speech in speeches:
                yield speech


def _pieces(phrase: str) -> list[str]:
    """A phrase as a reply gives it to the voice: in chunks, or, where it is said inside an answer, as a whole."""
    chunker = Chunker()
    return [piece for piece in (phrase, *chunker.push(phrase), *chunker.flush()) if piece.strip()]
