"""Prediction files of any framework, checked and joined to the rows of a benchmark."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.predictions.files import PredictionFile, find_files, open_file
from shiftbench.predictions.join import Joiner, Key, split_ids
from shiftbench.predictions.truth import GRADED
from shiftbench.progress import bar, shown

__all__ = ["Block", "Predictions", "read_predictions"]

SCORES = ("ood", "confidence")
LEARNED_FROM = ("train", "train_unlabeled", "target_unlabeled")
"""Roles of splits that nobody asks predictions of."""
COLUMNS = ("score", "prediction", "probabilities", "value")
TOGETHER = 2**21

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, eq=False)
class Block:
    """What one model predicted of one split, in the order of the benchmark's rows.

    Attributes
    ----------
    model : str or None
    seed, epoch : int or None
    config, split : str
    score : (n,) float64 array or None
        Higher for more OOD, whatever it was in the file.
    prediction : array or None
        (n,) int32 codes of the classes; (n, k) bool where examples have several.
    probabilities : (n, k) float32 or float64 array or None
    value : (n,) float64 array or None
        Of a regression.
    """

    model: str | None
    seed: int | None
    epoch: int | None
    config: str
    split: str
    score: NDArray[np.float64] | None = None
    prediction: NDArray[Any] | None = None
    probabilities: NDArray[Any] | None = None
    value: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        columns = (self.score, self.prediction, self.probabilities, self.value)
        return next(len(c) for c in columns if c is not None)

    @property
    def key(self) -> Key:
        """What it is of."""
        return Key(self.model, self.seed, self.epoch, self.config, self.split)

    def classes(self, kind: str = "class") -> NDArray[Any] | None:
        """The predicted classes: as given, or else by the probabilities.

        Parameters
        ----------
        kind : str
            `Truth.kind`: with "class" the most probable one (the first of equals), with "classes"
            all above a half.
        """
        found = self.prediction
        if found is None and self.probabilities is not None:
            if kind == "classes":
                found = self.probabilities > 0.5
            else:
                found = np.argmax(self.probabilities, axis=1).astype(np.int32)
        return found


class Predictions:
    """Predictions that were checked: every key once, every example of a split or none.

    Iterating gives one `Block` a key; only that one is in memory. The numbers lie in a temporary
    file without a name, which is gone with this object, with `close`, or with the process.

    Attributes
    ----------
    bench : Benchmark
    keys : tuple of Key
        By model, seed and epoch, then in the manifest's order of configs and splits.
    notes : tuple of str
        What was not read, what was not predicted.
    """

    def __init__(self, joiner: Joiner, notes: Sequence[str]) -> None:
        self.bench = joiner.bench
        self.notes = tuple(notes)
        self._joiner = joiner
        self._close = weakref.finalize(self, joiner.log.close)
        configs = {name: i for i, name in enumerate(self.bench.manifest.configs)}
        splits = {
            (c, s): i
            for c, entry in self.bench.manifest.configs.items()
            for i, s in enumerate(entry.splits)
        }
        self.keys = tuple(
            sorted(
                joiner.partitions,
                key=lambda k: (*_model_order(k), configs[k.config], splits[k.config, k.split]),
            )
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        return key in self._joiner.partitions

    def __iter__(self) -> Iterator[Block]:
        for key in self.keys:
            yield self[key]

    def __getitem__(self, key: Key) -> Block:
        """The predictions of one key.

        Raises
        ------
        KeyError
            There are none.
        ConfigurationError
            They were closed.
        """
        number = self._joiner.partitions[key]
        if not self._close.alive:
            raise ConfigurationError("the predictions were closed; read them again")
        found = self._joiner.log.load(number, self._joiner.rows(key))
        return Block(*key, *(found.get(name) for name in COLUMNS))

    def __enter__(self) -> Predictions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._close()

    def runs(self) -> list[tuple[Key, ...]]:
        """The keys of each (model, seed, epoch, config), in order."""
        made: dict[tuple[Any, ...], list[Key]] = {}
        for key in self.keys:
            made.setdefault(key[:4], []).append(key)
        return [tuple(keys) for keys in made.values()]


def _model_order(key: Key) -> tuple[Any, ...]:
    """Nothing comes before something."""
    return (
        (key.model is not None, key.model or ""),
        (key.seed is not None, key.seed or 0),
        (key.epoch is not None, key.epoch or 0),
    )


def read_predictions(
    bench: Benchmark,
    files: Paths,
    *,
    config: str | None = None,
    score_is: str = "ood",
    scratch: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Predictions:
    """Read prediction files, check all of them, and join them to the benchmark's rows.

    Memory is bounded by the ids of the splits that are predicted and by the largest block,
    whatever the number of models; the numbers go through a temporary file.

    Parameters
    ----------
    bench : Benchmark
    files : path, URL, folder, or several
        Parquet, CSV or JSON lines; see docs/predictions.md for the columns.
    config : str, optional
        Grade this config alone; it is also what files without a column `config` are taken for.
    score_is : str
        "ood": scores are higher for more OOD. "confidence": they are higher for more
        in-distribution, and are negated here.
    scratch : path, optional
        Folder for the temporary file, 8 bytes a score and 4 a prediction; by default the system's.
    progress : bool, optional
        Show progress; by default when stderr is a terminal.

    Returns
    -------
    Predictions

    Raises
    ------
    SourceError
        A file cannot be read, or keys are missing, unknown or repeated, scores NaN, classes
        unknown, probabilities of the wrong width or sum, or it is for another digest; all that is
        wrong is counted, with the first few.
    ConfigurationError
        An argument is not allowed, or ids could mean several configs.

    Examples
    --------
    >>> import shiftbench
    >>> bench = shiftbench.open("out/")                                  # doctest: +SKIP
    >>> with read_predictions(bench, "predictions.parquet") as found:    # doctest: +SKIP
    ...     for block in found:
    ...         print(block.model, block.split, block.score.mean())
    """
    if score_is not in SCORES:
        raise ConfigurationError(
            f"score_is={score_is!r}: {near_names(str(score_is), SCORES)} (a score is higher for "
            "more OOD, a confidence for less)"
        )
    graded = [n for n, c in bench.manifest.configs.items() if c.kind in GRADED]
    if config is not None and config not in graded:
        raise ConfigurationError(
            f"config={config!r}: the benchmark {bench.url!r} has no such config to be predicted; "
            f"{near_names(config, graded)}"
        )
    found = find_files(files)
    default, notes = config, _Notes()
    without = [f for f in found if not _has_config(f)] if config is None else []
    if without:
        default = _meant_config(bench, without)
        if len(graded) > 1:
            notes.add(f"no column `config`: by the ids it is {default!r}", without[0])
    joiner = Joiner(
        bench,
        config,
        default,
        negate=score_is == "confidence",
        scratch=None if scratch is None else os.fspath(scratch),
    )
    try:
        total = sum(f.size for f in found)
        with bar("reading predictions", total, "B", show=shown(progress)) as counted:
            for file in found:
                with open_file(file) as opened:
                    for note in opened.notes:
                        notes.add(note, file)
                    done = 0
                    for batch in opened.batches():
                        joiner.add(batch, opened.digest, str(file))
                        counted.update(opened.table.position() - done)
                        done = opened.table.position()
                    counted.update(file.size - done)
        joiner.finish()
        if not joiner.partitions:
            what = "no row is of the config that was asked for" if joiner.left_out else "no rows"
            raise SourceError(
                f"{', '.join(map(str, found[:3]))}: {what}; there is nothing to grade"
            )
    except BaseException:
        joiner.log.close()
        raise
    if joiner.left_out:
        notes.add(f"{joiner.left_out} rows of other configs were left out", None)
    return Predictions(joiner, [*notes.lines(), *_not_predicted(bench, joiner.partitions)])


class _Notes:
    """Notes, those that many files share told once."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def add(self, note: str, file: PredictionFile | None) -> None:
        self._files.setdefault(note, []).extend([] if file is None else [str(file)])

    def lines(self) -> list[str]:
        made = []
        for note, files in self._files.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            made.append(f"{files[0]}{more}: {note}" if files else note)
        return made


def _not_predicted(bench: Benchmark, keys: Iterable[Key]) -> list[str]:
    """Splits of a predicted config that some model or all leave out."""
    runs: dict[tuple[Any, ...], set[str]] = {}
    for key in keys:
        runs.setdefault(key[:4], set()).add(key.split)
    lacking: dict[tuple[str, str], int] = {}
    of_config: dict[str, int] = {}
    for (*_, config), splits in runs.items():
        of_config[config] = of_config.get(config, 0) + 1
        for split, entry in bench.manifest.configs[config].splits.items():
            if split not in splits and entry.role not in LEARNED_FROM:
                lacking[config, split] = lacking.get((config, split), 0) + 1
    notes = []
    for config, n in of_config.items():
        by_all = [s for (c, s), count in lacking.items() if c == config and count == n]
        if by_all:
            notes.append(f"config {config!r}: not predicted are the splits {', '.join(by_all)}")
        for (c, split), count in lacking.items():
            if c == config and count < n:
                notes.append(f"config {config!r}: {count} of {n} runs have not predicted {split}")
    return notes


def _has_config(file: PredictionFile) -> bool:
    with open_file(file) as opened:
        return "config" in opened.columns


def _meant_config(bench: Benchmark, files: Sequence[PredictionFile]) -> str:
    """The one config that has all ids of some files; a task before the table of all examples."""
    configs = bench.manifest.configs
    tasks = [n for n, c in configs.items() if c.kind == "task"]
    others = [n for n, c in configs.items() if c.kind in GRADED and c.kind != "task"]
    if len(tasks) + len(others) == 1:
        return (tasks + others)[0]
    left = _holding(bench, tasks, files) or _holding(bench, others, files)
    named = ", ".join(map(str, files[:3]))
    if len(left) == 1:
        return left[0]
    if left:
        raise ConfigurationError(
            f"{named}: no column `config`, and the ids could be those of {', '.join(left)}; add a "
            "column `config`, or name one with config="
        )
    raise ConfigurationError(
        f"{named}: no column `config`, and no config has all of the ids; add a column `config`, or "
        f"name one with config=; there are: {', '.join(tasks + others)}"
    )


def _holding(
    bench: Benchmark, configs: Sequence[str], files: Sequence[PredictionFile]
) -> list[str]:
    """The configs that have every id of some files."""
    left = {name: split_ids(bench, name) for name in configs}
    held: list[pa.Array] = []

    def sift() -> None:
        ids = pa.chunked_array(held, pa.large_string())
        for name in list(left):
            if not pc.all(pc.is_in(ids, value_set=left[name]), min_count=0).as_py():
                del left[name]
        held.clear()

    for file in files:
        with open_file(file) as opened:
            for batch in opened.batches(["example_id"]):
                held.append(batch["example_id"])
                if sum(map(len, held)) >= TOGETHER:
                    sift()
                if not left:
                    return []
    if held:
        sift()
    return list(left)
