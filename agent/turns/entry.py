"""What a caller enters on a telephone's keypad: keys, until # or a pause ends them. Pure; counts frames."""

from dataclasses import dataclass

from agent.audio import FRAME_SECONDS

PAUSE_SECONDS = 2.0
"""Without a further key: what is entered is complete."""

MAX_KEYS = 64
"""So many end an entry, too."""


@dataclass
class Entry:
    """The keys pressed so far."""

    _keys: str = ""
    _quiet: float = 0.0

    def press(self, key: str) -> None:
        """One more key."""
        self._keys += key
        self._quiet = 0.0

    def push(self) -> str | None:
        """Count a frame; the keys, once no more of them come."""
        self._quiet += FRAME_SECONDS
        if not self._keys or (self._quiet < PAUSE_SECONDS and self._keys[-1] != "#" and len(self._keys) < MAX_KEYS):
            return None
        keys, self._keys = self._keys, ""
        return keys
