"""What a call's media went through, both ways: counters of one stream, and their picture for traces and metrics."""

from dataclasses import dataclass


@dataclass
class Reception:
    """One received stream, counted by `Depacketizer`; packets, unless it says otherwise."""

    received: int = 0
    lost: int = 0
    """Given up; one that comes after that is late too."""
    late: int = 0
    """Too late, or twice: dropped."""
    reordered: int = 0
    """Out of order and in time."""
    recovered: int = 0
    """Lost, and heard from the copy in the next one."""
    concealed: int = 0
    """Lost, and made up from the ones before."""
    broken: int = 0
    """Could not be decoded."""
    silence: float = 0.0
    """Seconds of silence that were filled in: transmission paused, or too much was lost to make up."""
    jitter: float = 0.0
    """Seconds, as RFC 3550 computes it (section 6.4.1)."""
    wait: float = 0.0
    """Seconds that a hole is waited for now."""
    held: float = 0.0
    """Seconds that packets waited in the buffer, in all: by `received` the mean delay that it adds."""


@dataclass(frozen=True)
class Report:
    """What a listener says of the stream that it receives (RFC 3550, section 6.4)."""

    lost: int
    """Packets that it missed, in all."""
    loss: float
    """Share that it missed since its last report."""
    jitter: int
    """In ticks of the codec's clock."""
    round_trip: float | None
    """Seconds; None before it can be known."""


@dataclass
class Sending:
    """One sent stream, counted by the track and told by the listener's RTCP reports."""

    packets: int = 0
    bytes: int = 0
    underruns: int = 0
    """Gaps inside speech because it was not made in time."""
    skipped: int = 0
    """Frames whose time passed while the event loop stood still."""
    lost: int = 0
    """Packets that the listener missed, in all."""
    loss: float = 0.0
    """Share that it missed between its last two reports."""
    jitter: float = 0.0
    """Seconds, at the listener."""
    round_trip: float | None = None
    """Seconds; None before the first report."""


@dataclass(frozen=True)
class Media:
    """Both directions of a call."""

    received: Reception
    sent: Sending

    def __str__(self) -> str:
        """The log's line of a call."""
        received, sent = self.received, self.sent
        return (
            f"heard {received.received} packets, lost {received.lost} (recovered {received.recovered}, made up {received.concealed}), "
            f"late {received.late}, jitter {1000 * received.jitter:.1f} ms; sent {sent.packets}, missed there {sent.lost}, "
            f"underruns {sent.underruns}, round trip {1000 * (sent.round_trip or 0):.0f} ms"
        )
