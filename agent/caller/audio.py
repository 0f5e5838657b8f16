"""What a caller says and hears, and when: the microphone and the loudspeaker of `agent/caller/peer.py`.

Times are the running loop's, as a person would have them: a sample is said when a microphone would capture it (the last of a frame
when the frame leaves), and heard when a loudspeaker that plays each packet as it arrives would play it. Audible is what is beyond
-45 dBFS: above the noise of a quiet recording, below speech.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from aiortc.rtp import RtpPacket

from agent.audio import INPUT_RATE, Samples
from agent.edge.jitter import Packet
from agent.edge.rtp import Depacketizer
from agent.edge.speaker import OUTPUT_RATE
from agent.edge.statistics import Reception
from agent.edge.track import FRAME
from agent.playout import Playout

AUDIBLE = round(32768 * 10 ** (-45 / 20))


def audible(samples: Samples) -> npt.NDArray[np.intp]:
    """Where [n] samples are audible."""
    return np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)


@dataclass
class Utterance:
    """Something that the caller says; the times are set as its samples leave."""

    first: int
    """Its first audible sample, counted at 48 kHz from the start of all that the caller says."""
    last: int
    """Its last audible sample."""
    began: float | None = None
    """When the first audible sample was said."""
    ended: float | None = None
    """When the last one was."""


class Mouth:
    """Says one utterance after another in real time, and silence between them."""

    def __init__(self, news: Callable[[], None]) -> None:
        """`news` is called when an utterance began or ended."""
        self._loop = asyncio.get_running_loop()
        self._news = news
        self.on_speech: Callable[[], None] = lambda: None
        """Called when there is something to pull."""
        self.room: Callable[[Samples | None], Samples | None] = lambda frame: frame
        """What the microphone makes of each frame that is said: a room adds its sounds."""
        self._playout = Playout(FRAME)
        self._saying: list[Utterance] = []

    def say(self, samples: Samples) -> Utterance:
        """Say [n] samples at 48 kHz after what is still being said. Raises ValueError when none is audible."""
        heard = audible(samples)
        if not heard.size:
            raise ValueError("nothing audible to say")
        start = self._playout.pushed
        utterance = Utterance(start + int(heard[0]), start + int(heard[-1]))
        self._saying.append(utterance)
        self._playout.push(samples)
        self._playout.end()
        self.on_speech()
        return utterance

    def pull(self) -> Samples | None:
        """The frame that leaves now; None for silence."""
        start, now = self._playout.played, self._loop.time()
        frame = self._playout.pull()
        for utterance in self._saying:
            if start <= utterance.first < self._playout.played:
                utterance.began = now - (start + FRAME - 1 - utterance.first) / OUTPUT_RATE
                self._news()
            if start <= utterance.last < self._playout.played:
                utterance.ended = now - (start + FRAME - 1 - utterance.last) / OUTPUT_RATE
                self._news()
        self._saying = [utterance for utterance in self._saying if utterance.ended is None]
        return self.room(frame)


@dataclass(frozen=True)
class Sound:
    """20 ms that were heard."""

    time: float
    """When they arrived."""
    samples: Samples
    """[320] at 16 kHz."""
    first: float | None = None
    """When the first audible sample was heard; None when none is audible."""
    last: float | None = None
    """When the last audible sample was heard."""


class Ear:
    """Hears packets as they arrive, and remembers."""

    def __init__(self, news: Callable[[], None]) -> None:
        """`news` is called after each frame."""
        self.sounds: list[Sound] = []
        self.last: float | None = None
        """When the last audible sample of all was heard."""
        self._loop = asyncio.get_running_loop()
        self._news = news
        self._stream = Depacketizer()

    @property
    def statistics(self) -> Reception:
        """What became of the packets so far."""
        return self._stream.statistics

    def take(self, packet: RtpPacket) -> None:
        """Hear a packet that arrived now."""
        now = self._loop.time()
        arrived = Packet(packet.sequence_number, packet.timestamp, packet.payload_type, packet.payload, now)
        for frame in self._stream.add(arrived):
            times = now + audible(frame.samples) / INPUT_RATE
            if times.size:
                self.last = float(times[-1])
                self.sounds.append(Sound(now, frame.samples, float(times[0]), self.last))
            else:
                self.sounds.append(Sound(now, frame.samples))
            self._news()

    def first(self, after: float) -> float | None:
        """When the first audible sample that arrived after a moment was heard; None when there is none yet."""
        found = None
        for sound in reversed(self.sounds):
            if sound.time <= after:
                break
            found = found if sound.first is None else sound.first
        return found

    def length(self, after: float) -> float:
        """Seconds from the first audible sample that arrived after a moment to the last one, by what was sent, not by when it arrived."""
        heard = audible(np.concatenate([np.zeros(0, np.int16), *(s.samples for s in self.sounds if s.time > after)]))
        return float(heard[-1] - heard[0] + 1) / INPUT_RATE if heard.size else 0.0

    def recording(self, start: float) -> Samples:
        """[n] samples at 16 kHz: all that was heard, on the time line that begins at `start`."""
        lead = round((self.sounds[0].time - start) * INPUT_RATE) if self.sounds else 0
        return np.concatenate([np.zeros(max(0, lead), np.int16), *(sound.samples for sound in self.sounds)])
