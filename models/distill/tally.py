"""What could not be used: counted by reason, named in a file, so that a long run goes on and says afterwards what it left out."""

import json
import os
from collections import Counter
from pathlib import Path


class Tally:
    """Bad clips, each counted once however often it is drawn."""

    def __init__(self, path: Path | None = None) -> None:
        """Go on with a file of JSON lines, where there is one."""
        self._path = path
        self._known: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter()
        if path and path.is_file():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1  # a line may have been cut off when the run was killed
            if whole < len(content):
                os.truncate(path, whole)
            for line in content[:whole].decode().splitlines():
                self._count(**json.loads(line))

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, name: str, reason: str) -> bool:
        """Count a clip; False when it is known already."""
        if (name, reason) in self._known:
            return False
        self._count(name, reason)
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, "reason": reason}, ensure_ascii=False) + "\n")
        return True

    def _count(self, name: str, reason: str) -> None:
        self._known.add((name, reason))
        self.counts[reason.partition(":")[0]] += 1

    def __str__(self) -> str:
        return ", ".join(f"{count} x {reason}" for reason, count in self.counts.most_common())
