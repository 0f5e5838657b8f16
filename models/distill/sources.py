"""Where records come from: a manifest, a data set of Hugging Face's `datasets`, or a stream of one.

A source is drawn from by position and goes round for ever: every round has all records in an order of its own, which
only the seed and the number of the round decide. So a run that goes on later draws what it would have drawn.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.distill.records import FIELDS, BadSampleError, Record, parse_line, to_record
from models.distill.settings import DataSettings, SettingsError

_KEPT = 64  # newest rows of a stream, which may be asked for again
_BUFFER = 1000  # rows of a stream among which the next is drawn


class Source(Protocol):
    """Records by position."""

    size: int  # records in a round

    def name(self, position: int) -> str:
        """Say where the record of a draw stands."""

    def record(self, position: int) -> Record:
        """Give the record of a draw. Raises BadSampleError."""


@lru_cache(maxsize=64)
def _order(seed: int, size: int, number: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, size, number]).permutation(size)


def shuffled(seed: int, size: int, position: int) -> int:
    """Give the index that is drawn at a position."""
    number, place = divmod(position, size)
    return int(_order(seed, size, number)[place])


class Manifest:
    """JSON lines, read where they stand."""

    def __init__(self, path: Path, seed: int) -> None:
        """Find the lines of a file. Raises SettingsError."""
        self._path = path
        self.folder = path.parent
        self._seed = seed
        self._lines: list[tuple[int, int]] = []  # number, and where it begins
        try:
            with path.open("rb") as file:
                start = 0
                for number, line in enumerate(file, 1):
                    if line.strip():
                        self._lines.append((number, start))
                    start += len(line)
        except OSError as error:
            raise SettingsError(f"manifest {path} cannot be read: {error.strerror}") from error
        if not self._lines:
            raise SettingsError(f"manifest {path} is empty")
        self.size = len(self._lines)

    def name(self, position: int) -> str:
        return self.place(shuffled(self._seed, self.size, position))

    def record(self, position: int) -> Record:
        return self.at(shuffled(self._seed, self.size, position))

    def at(self, index: int) -> Record:
        """Give a record in the file's own order. Raises BadSampleError."""
        return to_record(self.row(index), self.place(index), self.folder)

    def row(self, index: int) -> dict[str, Any]:
        """Give all that a line says, in the file's own order. Raises BadSampleError."""
        _, start = self._lines[index]
        with self._path.open("rb") as file:
            file.seek(start)
            line = file.readline().decode("utf-8", errors="replace")
        return parse_line(line)

    def place(self, index: int) -> str:
        """Say where a record stands."""
        return f"{self._path}:{self._lines[index][0]}"


class Table:
    """A data set whose rows can be had in any order."""

    def __init__(self, rows: Sequence[Any], settings: DataSettings, seed: int) -> None:
        self._rows = rows
        self._settings = settings
        self._seed = seed
        self.size = len(rows)

    def name(self, position: int) -> str:
        return f"{self._settings.name}:{shuffled(self._seed, self.size, position)}"

    def record(self, position: int) -> Record:
        row = self._rows[shuffled(self._seed, self.size, position)]
        return _from_row(row, self.name(position), self._settings)


class Stream:
    """A data set that is read from its beginning to its end, shuffled within a buffer.

    A draw far ahead (a run that resumes) passes over the rows before it; a draw before the newest rows starts anew.
    """

    def __init__(self, rows: Any, settings: DataSettings, size: int, seed: int) -> None:
        self._stream = rows.shuffle(seed=seed, buffer_size=_BUFFER)
        self._settings = settings
        self.size = size
        self._iterator: Iterator[Any] = iter(())
        self._next = 0  # position that the iterator gives next
        self._newest: dict[int, Any] = {}

    def name(self, position: int) -> str:
        return f"{self._settings.name}, draw {position}"

    def record(self, position: int) -> Record:
        if position not in self._newest:
            self._advance(position)
        return _from_row(self._newest[position], self.name(position), self._settings)

    def _advance(self, position: int) -> None:
        number, place = divmod(position, self.size)
        if position < self._next or number != (self._next - 1) // self.size:
            rest = self._stream.skip(place)
            rest.set_epoch(number)
            self._iterator = iter(rest)
            self._next = position
            self._newest.clear()
        while self._next <= position:
            row = next(self._iterator, None)
            if row is None:
                raise BadSampleError(f"the stream ends before its {place + 1}th row")
            self._newest[self._next] = row
            self._newest.pop(self._next - _KEPT, None)
            self._next += 1


def _from_row(row: Any, name: str, settings: DataSettings) -> Record:
    named = {field: row.get(settings.columns.get(field, field)) for field in FIELDS}
    return to_record(named, name, Path(settings.dataset or ""))


def open_source(settings: DataSettings, seed: int) -> Source:
    """Open a source. Raises SettingsError."""
    if settings.manifest:
        return Manifest(settings.manifest, seed)
    rows = _load(settings)
    missing = [column for column in settings.columns.values() if rows.column_names and column not in rows.column_names]
    if missing:
        raise SettingsError(f"{settings.name} has no column {missing[0]!r}, only {', '.join(rows.column_names)}")
    if not settings.streaming:
        return Table(rows, settings, seed)
    known = (rows.info.splits or {}).get(settings.split)
    size = settings.samples or (known and known.num_examples)
    if not size:
        raise SettingsError(f"{settings.name} does not tell its size: give it as samples")
    return Stream(rows, settings, size, seed)


def _load(settings: DataSettings) -> Any:
    """Open a data set, its sounds left as they are stored: they are decoded like any other file."""
    import datasets

    folder, name = Path(settings.dataset or ""), str(settings.dataset)
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            saved = datasets.load_from_disk(name)
            rows = saved[settings.split] if isinstance(saved, datasets.DatasetDict) else saved
            rows = rows.to_iterable_dataset() if settings.streaming else rows
        else:
            rows = datasets.load_dataset(name, settings.config, split=settings.split, streaming=settings.streaming)
        column = settings.columns.get("audio", "audio")
        if rows.features and isinstance(rows.features.get(column), datasets.Audio):
            rows = rows.cast_column(column, datasets.Audio(decode=False))
        next(iter(rows))  # a stream tells only now that it cannot be read
    except (OSError, ValueError, KeyError, ImportError, StopIteration, datasets.exceptions.DatasetsError) as error:
        reason = error.__cause__ or error
        raise SettingsError(f"data set {settings.name} cannot be opened: {reason!r}") from error
    return rows
