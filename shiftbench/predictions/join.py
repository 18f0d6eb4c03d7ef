"""From batches of prediction files to the rows of a benchmark's splits, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.benchmark import Benchmark
from shiftbench.errors import SourceError, near_names
from shiftbench.predictions.classes import Classes, Problems
from shiftbench.predictions.log import Log
from shiftbench.predictions.truth import GRADED, example_ids, label_of, split_entry, split_schema

__all__ = ["Joiner", "Key", "split_ids"]

PENDING_BYTES = 128 * 2**20
"""Rows whose ids are not in the benchmark's order wait up to here before they are looked up."""

MANY = 2**22

Columns = dict[str, NDArray[Any]]


class Key(NamedTuple):
    """What one block of predictions is of; `model`, `seed` and `epoch` are None where not told."""

    model: str | None
    seed: int | None
    epoch: int | None
    config: str
    split: str


class _Named(NamedTuple):
    """What the key columns of a row say; `split` is None where the file leaves it out."""

    model: str | None
    seed: int | None
    epoch: int | None
    config: str
    split: str | None
    digest: str | None


@dataclass(frozen=True)
class _Place:
    """Where ids are looked up: one split, or all splits of a config, one after the other."""

    config: str
    splits: tuple[str, ...]
    starts: NDArray[np.int64]
    ids: pa.Array
    shared: pa.Array | None = None
    """Ids that are in several of the splits."""

    def __str__(self) -> str:
        if len(self.splits) == 1:
            return f"config {self.config!r}, split {self.splits[0]!r}"
        return f"config {self.config!r}"


@dataclass
class _Waiting:
    """Rows that wait for their ids to be looked up."""

    rows: int = 0
    nbytes: int = 0
    ids: list[pa.Array] = field(default_factory=list)
    names: list[NDArray[np.int32]] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)


def split_ids(bench: Benchmark, config: str) -> pa.Array:
    """The ids of all examples of a config, split after split."""
    splits = bench.manifest.configs[config].splits.values()
    return pa.concat_arrays([example_ids(bench, entry) for entry in splits])


class Joiner:
    """Takes batches in, finds the row of every example, and keeps the numbers in a `Log`.

    Parameters
    ----------
    bench : Benchmark
    only : str, optional
        The one config that is wanted; rows of others are counted and left out.
    default : str, optional
        The config of files without a column for it.
    negate : bool
        Scores are higher for more in-distribution, as they are in the files.
    """

    def __init__(
        self,
        bench: Benchmark,
        only: str | None,
        default: str | None,
        *,
        negate: bool,
        scratch: str | None,
        pending_bytes: int = PENDING_BYTES,
    ) -> None:
        self.bench, self.only, self.default, self.negate = bench, only, default, negate
        self.pending_bytes = pending_bytes
        self.log = Log(scratch)
        self.problems = Problems()
        self.left_out = 0
        self.without_model = False
        self.partitions: dict[Key, int] = {}
        self._signatures: dict[int, tuple[str, ...]] = {}
        self._named: dict[_Named, int] = {}
        # By the number of what is named: itself, its config, its place, where it goes on.
        self._all_named: list[_Named] = []
        self._config_of: list[int] = []
        self._place_of: list[int] = []
        self._next: list[int] = []
        self._config_numbers: dict[str, int] = {}
        self._place_numbers: dict[tuple[str, str | None], int] = {}
        self._classes: dict[str, Classes] = {}
        self._places: dict[tuple[str, str | None], _Place] = {}
        self._waiting: dict[tuple[tuple[str, str | None], tuple[Any, ...]], _Waiting] = {}

    def add(self, batch: Mapping[str, pa.Array], digest: str | None, shown: str) -> None:
        """Take in the rows of one batch of a file.

        Raises
        ------
        SourceError
            A config, split or digest is not the benchmark's.
        """
        if not len(batch["example_id"]):
            return
        self.without_model |= "model" not in batch
        names = self._names(batch, digest, shown)
        if isinstance(names, int):
            self._add_config(batch, names, shown)
            return
        configs = np.asarray([*self._config_of, -1])[names]  # −1 takes the last
        for config in dict.fromkeys(configs[np.flatnonzero(np.diff(configs, prepend=-2))].tolist()):
            if config < 0:
                continue
            chosen = configs == config
            if chosen.all():
                self._add_config(batch, names, shown)
            else:
                at = pa.array(np.flatnonzero(chosen))
                part = {k: v.take(at) for k, v in batch.items()}
                self._add_config(part, names[chosen], shown)

    def finish(self) -> None:
        """Look up what still waits, and see that every partition is whole.

        Raises
        ------
        SourceError
            Says all that is wrong, each kind with its number and the first few.
        """
        for place in list(self._waiting):
            self._look_up(place)
        for key, number in self.partitions.items():
            self._check(key, number)
        self._places.clear()
        if self.problems:
            raise SourceError(self.problems.text())

    def rows(self, key: Key) -> int:
        """How many examples a partition has."""
        return split_entry(self.bench, key.config, key.split).rows

    # What a row is a prediction of.

    def _names(
        self, batch: Mapping[str, pa.Array], digest: str | None, shown: str
    ) -> NDArray[np.int32] | int:
        """The number in `_all_named` of what each row names, −1 where it is not wanted.

        One number where all rows name the same.
        """
        n = len(batch["example_id"])
        fixed: dict[str, Any] = {"config": self.default, "digest": digest}
        varying: list[tuple[str, NDArray[Any], list[Any]]] = []
        for column in _Named._fields:
            if column not in batch:
                continue
            codes, values = _coded(batch[column])
            if len(values) == 1:
                fixed[column] = values[0]
            else:
                varying.append((column, codes, values))
        if not varying:
            return self._number(fixed, n, shown)
        size = math.prod(len(values) for _, _, values in varying)
        combined = np.zeros(n, dtype=np.int64)
        for _, codes, values in varying:
            combined *= len(values)
            combined += codes
        if size > MANY:
            ordered = np.sort(combined)
            there = ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]
            combined = np.searchsorted(there, combined)
            counts = np.bincount(combined)
        else:
            counts = np.bincount(combined, minlength=size)
            there = np.flatnonzero(counts)
        table = np.full(len(there) if size > MANY else size, -1, dtype=np.int32)
        for at, code in enumerate(there.tolist()):
            slot, row = (at if size > MANY else code), dict(fixed)
            for column, _, values in reversed(varying):
                code, which = divmod(code, len(values))
                row[column] = values[which]
            table[slot] = self._number(row, int(counts[slot]), shown)
        return table[combined]

    def _number(self, row: Mapping[str, Any], count: int, shown: str) -> int:
        named = _Named._make(row.get(name) for name in _Named._fields)
        found = self._named.get(named)
        if found is None:
            found = self._check_name(named, shown)
            self._named[named] = found
        if found < 0:
            self.left_out += count
        return found

    def _check_name(self, named: _Named, shown: str) -> int:
        configs = self.bench.manifest.configs
        if named.config not in configs or configs[named.config].kind not in GRADED:
            known = [n for n, c in configs.items() if c.kind in GRADED]
            raise SourceError(
                f"{shown}: the benchmark has no config {named.config!r} to be predicted; "
                f"{near_names(str(named.config), known)}"
            )
        if self.only is not None and named.config != self.only:
            return -1
        splits = configs[named.config].splits
        if named.split is not None and named.split not in splits:
            raise SourceError(
                f"{shown}: config {named.config!r} has no split {named.split!r}; "
                f"{near_names(named.split, splits)}"
            )
        self._check_digest(named, shown)
        self._all_named.append(named)
        self._next.append(0)
        numbers, places = self._config_numbers, self._place_numbers
        self._config_of.append(numbers.setdefault(named.config, len(numbers)))
        place = named.config, named.split
        self._place_of.append(places.setdefault(place, len(places)))
        return len(self._all_named) - 1

    def _check_digest(self, named: _Named, shown: str) -> None:
        if named.digest is None or named.digest == "":
            return
        config = self.bench.manifest.configs[named.config]
        splits = [named.split] if named.split is not None else list(config.splits)
        right = {self.bench.digest, config.digest, *(config.splits[s].digest for s in splits)}
        if named.digest not in right:
            raise SourceError(
                f"{shown}: predictions for another benchmark: their digest is "
                f"{named.digest[:80]!r}, that of {self.bench.url!r} is {self.bench.digest!r} (of "
                f"its config {named.config!r}: {config.digest!r}); predict on this benchmark, or "
                "evaluate on the one that was predicted on"
            )

    # Where a row belongs.

    def _place(self, config: str, split: str | None) -> _Place:
        found = self._places.get((config, split))
        if found is None:
            entries = self.bench.manifest.configs[config].splits
            splits = (split,) if split is not None else tuple(entries)
            parts = [example_ids(self.bench, entries[s]) for s in splits]
            starts = np.cumsum([0, *map(len, parts)])
            ids = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
            shared = _twice(ids) if len(parts) > 1 else None
            found = self._places[config, split] = _Place(config, splits, starts, ids, shared)
        return found

    def _labels(self, config: str) -> Classes:
        if config not in self._classes:
            entries = self.bench.manifest.configs[config].splits.values()
            first = next((e for e in entries if e.files), None)
            schema = pa.schema([]) if first is None else split_schema(self.bench, first)
            self._classes[config] = Classes(config, *label_of(schema))
        return self._classes[config]

    def _add_config(
        self, batch: Mapping[str, pa.Array], names: NDArray[np.int32] | int, shown: str
    ) -> None:
        """Take in rows of one config."""
        first = names if isinstance(names, int) else int(names[0])
        if first < 0:
            return
        config = self._all_named[first].config
        labels = self._labels(config)
        columns = labels.columns(batch, self.problems, self.negate)
        if not columns:
            given = [c for c in ("prediction", "probabilities", "value") if c in batch]
            what = {"class": "classes", "classes": "lists of classes", "value": "numbers"}
            raise SourceError(
                f"{shown}: the labels of config {config!r} are {what.get(labels.kind, 'not known')}"
                f", of which the columns {', '.join(given)} say nothing; it takes "
                + ("`value`" if labels.kind == "value" else "`prediction` or `probabilities`")
                + " or `score`"
            )
        ids = batch["example_id"]
        if isinstance(names, int):
            self._run(names, ids, columns, 0, len(ids))
            return
        starts = np.flatnonzero(np.diff(names, prepend=names[0] - 1))
        if len(starts) > max(8, len(names) // 4096):
            self._wait(ids, names, columns)
            return
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(names)], strict=True):
            self._run(int(names[start]), ids, columns, start, stop)

    def _run(self, number: int, ids: pa.Array, columns: Columns, start: int, stop: int) -> None:
        """Rows that name the same: at once, where they go on in the benchmark's order."""
        named = self._all_named[number]
        place = self._place(named.config, named.split)
        ids = ids.slice(start, stop - start)
        columns = {k: v[start:stop] for k, v in columns.items()}
        at = self._next[number]
        plain = place.shared is None or not len(place.shared)
        if not plain or not place.ids.slice(at, len(ids)).equals(ids):
            self._wait(ids, np.full(len(ids), number, dtype=np.int32), columns)
            return
        self._next[number] = (at + len(ids)) % len(place.ids)
        edges = place.starts[(place.starts > at) & (place.starts < at + len(ids))].tolist()
        for low, high in zip([at, *edges], [*edges, at + len(ids)], strict=True):
            which = int(np.searchsorted(place.starts, low, side="right")) - 1
            part = {k: v[low - at : high - at] for k, v in columns.items()}
            partition = self._partition(named, place.splits[which], tuple(part))
            self.log.run(partition, low - int(place.starts[which]), part)

    def _partition(self, named: _Named, split: str, signature: tuple[str, ...]) -> int:
        key = Key(named.model, named.seed, named.epoch, named.config, split)
        number = self.partitions.setdefault(key, len(self.partitions))
        other = self._signatures.setdefault(number, signature)
        if other != signature:
            raise SourceError(
                f"{_words(key)}: some rows have {', '.join(other)} and others "
                f"{', '.join(signature)}; every row of a split has the same columns"
            )
        return number

    def _wait(self, ids: pa.Array, names: NDArray[np.int32], columns: Columns) -> None:
        """Put rows aside until there are enough of them to look up together."""
        places = np.asarray(self._place_of)[names]
        for number in np.flatnonzero(np.bincount(places)).tolist():
            at = np.flatnonzero(places == number)
            whole = len(at) == len(names)
            kept = ids if whole else ids.take(pa.array(at))
            part = columns if whole else {k: v[at] for k, v in columns.items()}
            signature = tuple((k, v.dtype.str, v.shape[1:]) for k, v in part.items())
            key = list(self._place_numbers)[number], signature
            waiting = self._waiting.setdefault(key, _Waiting())
            waiting.ids.append(kept)
            waiting.names.append(names[at])
            waiting.columns.append(part)
            waiting.rows += len(at)
            waiting.nbytes += kept.nbytes + sum(v.nbytes for v in part.values())
        if sum(w.nbytes for w in self._waiting.values()) > self.pending_bytes:
            # Looking up costs about as much as the split has rows, so a few rows wait on.
            for key, waiting in list(self._waiting.items()):
                if 2 * waiting.rows >= len(self._place(*key[0]).ids):
                    self._look_up(key)

    def _look_up(self, key: tuple[tuple[str, str | None], tuple[Any, ...]]) -> None:
        """Find the rows of what waits for one place, and hand it to the log."""
        waiting = self._waiting.pop(key)
        place = self._place(*key[0])
        ids = pa.chunked_array(waiting.ids, pa.large_string())
        names = np.concatenate(waiting.names)
        found = pc.fill_null(pc.index_in(ids, value_set=place.ids), -1)
        rows = found.to_numpy().astype(np.int32, copy=False)
        good = rows >= 0
        if not good.all():
            self._unknown(ids, rows, place)
        if place.shared is not None and len(place.shared):
            good &= ~self._ambiguous(ids, place)
        columns: Columns = {}
        for name, *_ in key[1]:
            columns[name] = np.concatenate([c.pop(name) for c in waiting.columns])
        if not good.all():
            rows, names = rows[good], names[good]
            columns = {k: v[good] for k, v in columns.items()}
        which = np.searchsorted(place.starts, rows, side="right") - 1
        pairs = names.astype(np.int64) * len(place.splits) + which
        table: dict[int, int] = {}
        ordered = np.sort(pairs)
        for pair in ordered[np.flatnonzero(np.diff(ordered, prepend=-1))].tolist():
            number, split = divmod(pair, len(place.splits))
            named = self._all_named[number]
            table[pair] = self._partition(named, place.splits[split], tuple(columns))
        if not table:
            return
        known = np.array(list(table))
        partitions = np.array(list(table.values()))[np.searchsorted(known, pairs)]
        inside = (rows - place.starts[which]).astype(np.int32)
        self.log.scattered(partitions, inside, columns)

    # What is wrong with it.

    def _unknown(self, ids: pa.ChunkedArray, rows: NDArray[np.int32], place: _Place) -> None:
        at = np.flatnonzero(rows < 0)
        few = ids.take(pa.array(at[:3])).to_pylist()
        what = f"{{n}} rows have an example_id that is not in {place}"
        hint = self._like(few, place) if self.problems.wants(what) else ""
        self.problems.add(what, len(at), map(repr, few), hint)

    def _like(self, few: list[str], place: _Place) -> str:
        """What ids that are not there may have been."""
        bare = pc.utf8_ltrim(place.ids, characters="0")
        given = pc.utf8_ltrim(pa.array(few, pa.large_string()), characters="0")
        for one, row in zip(few, pc.index_in(given, value_set=bare).to_pylist(), strict=True):
            if row is not None:
                return (
                    f"the benchmark has {place.ids[row].as_py()!r} where the file has {one!r}: "
                    "write ids as text, so that zeros in front stay"
                )
        return f"its ids are such as {place.ids[0].as_py()!r}" if len(place.ids) else ""

    def _ambiguous(self, ids: pa.ChunkedArray, place: _Place) -> NDArray[np.bool_]:
        wrong = pc.is_in(ids, value_set=place.shared)
        found: NDArray[np.bool_] = wrong.to_numpy()
        at = np.flatnonzero(found)
        self.problems.add(
            f"{{n}} rows have an example_id that is in several splits of {place}",
            len(at),
            map(repr, ids.take(pa.array(at[:3])).to_pylist()),
            "add a column `split`",
        )
        return found

    def _check(self, key: Key, number: int) -> None:
        n = self.rows(key)
        total, seen = self.log.seen(number, n)
        if seen is None:
            return
        distinct = int(np.count_nonzero(seen))
        if distinct < n:
            what = "{n} examples are missing from splits that are predicted"
            shown = self._shown(key, np.flatnonzero(~seen), what)
            self.problems.add(
                what, n - distinct, shown, "predict every example of a split, or none"
            )
        if distinct < total:
            what = "{n} rows are repeated"
            hint = "every example is predicted once by each (model, seed, epoch)"
            if self.without_model:
                hint += "; if the file holds several models, add a column `model`"
            shown = []
            if self.problems.wants(what):
                shown = self._shown(key, self.log.repeated(number, n), what)
            self.problems.add(what, total - distinct, shown, hint)

    def _shown(self, key: Key, rows: NDArray[np.int64], what: str) -> list[str]:
        if not self.problems.wants(what):
            return []
        place = self._place(key.config, key.split)
        few = place.ids.take(pa.array(rows[:3])).to_pylist()
        return [f"{one!r} of {_words(key)}" for one in few]


def _words(key: Key) -> str:
    words = f"config {key.config!r}, split {key.split!r}"
    for name, value in (("model", key.model), ("seed", key.seed), ("epoch", key.epoch)):
        words += f", {name} {value!r}" if value is not None else ""
    return words


def _coded(column: pa.Array) -> tuple[NDArray[Any], list[Any]]:
    """A column as numbers of its values; nothing is a value too."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(values))
        values.append(None)
    codes = indices.to_numpy(zero_copy_only=False)
    if len(values) > 1 and len(codes) and codes.min() == codes.max():
        values = [values[codes[0]]]
    return codes, values


def _twice(ids: pa.Array) -> pa.Array:
    """Ids that are there more than once."""
    counted = pc.value_counts(ids)
    return counted.field("values").filter(pc.greater(counted.field("counts"), 1))
