"""Benchmark: what a built directory can do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shiftbench.errors import ConfigurationError, IntegrityError, near_names
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    MANIFEST,
    ConfigEntry,
    Manifest,
    SplitEntry,
    read_manifest,
)
from shiftbench.store.verify import verify

if TYPE_CHECKING:
    import datasets

    from shiftbench.interleaving.stream import Interleaved
    from shiftbench.results import Results

__all__ = ["Benchmark", "open"]


def open(where: str | Path) -> Benchmark:
    """Open a benchmark: a local folder or fsspec URL, or else ``user/name`` on the Hub.

    Raises
    ------
    IntegrityError
        There is no benchmark, or its manifest was changed.

    Examples
    --------
    >>> open("nowhere")
    Traceback (most recent call last):
    shiftbench.errors.IntegrityError: there is no folder 'nowhere'; name a benchmark directory, ...
    """
    text = str(where)
    folder = Location(text)
    if "://" in text or folder.exists(MANIFEST) or Path(text).exists():
        return Benchmark(text)
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        try:
            return Benchmark(f"hf://datasets/{text}")
        except OSError as error:
            raise IntegrityError(
                f"there is no local folder {text!r}, and the Hub could not be asked for a data "
                f"set of that name ({type(error).__name__}); check the name and the network"
            ) from error
    raise IntegrityError(
        f"there is no folder {text!r}; name a benchmark directory, or a data set of the Hub as "
        "user/name"
    )


class Benchmark:
    """A built benchmark directory.

    Attributes
    ----------
    url : str
        Where it is.
    manifest : Manifest
        All of shift.json.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = Location(url)
        self.manifest: Manifest = read_manifest(self._folder)

    def __repr__(self) -> str:
        return f"Benchmark({self.url!r}, configs={self.configs})"

    @property
    def digest(self) -> str:
        """sha256 over the canonical content; a result names it."""
        return self.manifest.digest

    @property
    def configs(self) -> list[str]:
        """Names of the configs, tasks first."""
        return list(self.manifest.configs)

    def splits(self, config: str) -> list[str]:
        """Names of a config's splits."""
        return list(self._config(config).splits)

    def load(self, config: str, split: str | None = None, *, streaming: bool = False) -> Any:
        """A config by ``datasets.load_dataset``.

        Parameters
        ----------
        config : str
        split : str, optional
            One split; without it all, as a dictionary.
        streaming : bool
            Read as you go instead of preparing a copy in the cache of `datasets`.

        Returns
        -------
        datasets.Dataset, DatasetDict, IterableDataset or IterableDatasetDict

        Raises
        ------
        ConfigurationError
            No such config or split; the message has the near ones.
        """
        entry = self._config(config)
        if split is not None:
            self._split(config, split)
        import datasets

        local = self._folder.local
        if local is None and not self.url.startswith("hf://"):
            files = {n: [self._folder.path(f) for f in s.files] for n, s in entry.splits.items()}
            return datasets.load_dataset(
                "parquet", data_files=files, split=split, streaming=streaming
            )
        where = self.url.removeprefix("hf://datasets/") if local is None else str(local)
        return datasets.load_dataset(where, config, split=split, streaming=streaming)

    def interleave(
        self,
        config: str,
        split: str = "train",
        *,
        by: str | Sequence[str] = "environment",
        method: str = "uniform",
        temperature: float | None = None,
        seed: int = 0,
        length: int | None = None,
        buffer_mb: float = 64.0,
        window: int = 300,
    ) -> Interleaved:
        """A stream of a split's examples, drawn from its groups by stated probabilities.

        Each draw is of a group, and then of the group's next example: without replacement, in a
        random order, and in another one once all were drawn. Files are read as the stream goes.
        It resumes from its `state_dict` at the next example, and the workers of a DataLoader have
        parts of every group.

        Parameters
        ----------
        config, split : str
        by : str or sequence of str
            The columns whose values make the groups. "group" is the column of that name, or class
            × environment.
        method : str
            "uniform"; "temperature", ``p ∝ n^(1/T)``; "group_balanced", uniform over class × `by`;
            "upper_confidence_bound", by the rewards that `Interleaved.report` is told.
        temperature : float, optional
            T, by default 5; of the softmax over confidence bounds, by default 0.1.
        seed : int
        length : int, optional
            Examples of one iteration, by default as many as the split has; 0: without an end.
            `set_epoch` begins another.
        buffer_mb : float
            Megabytes of files within which a group is shuffled. At most one such buffer a group,
            and one more, is in memory.
        window : int
            How many of a group's last rewards count.

        Returns
        -------
        shiftbench.interleaving.stream.Interleaved
            A `datasets.IterableDataset`; its column `drawn_from` names each example's group.

        Raises
        ------
        ConfigurationError
            No such config, split, column or method, or values that are not allowed.
        """
        entry = self._split(config, split)
        from shiftbench.interleaving.stream import interleave

        return interleave(
            self._folder,
            entry,
            f"split {split!r} of config {config!r}",
            by=by,
            method=method,
            temperature=temperature,
            seed=seed,
            length=length,
            buffer_mb=buffer_mb,
            window=window,
        )

    def table(self, name: str) -> pa.Table:
        """A table config, or any config, read whole as an Arrow table."""
        parts = []
        for split in self._config(name).splits.values():
            for path in split.files:
                with self._folder.open(path) as file:
                    parts.append(pq.read_table(file))
        return pa.concat_tables(parts)

    @cached_property
    def subsets(self) -> datasets.Dataset:
        """Every subset: class, context, size, community, explanation."""
        return _dataset(self.table("subsets"))

    @cached_property
    def membership(self) -> datasets.Dataset:
        """Which example is in which subset."""
        return _dataset(self.table("membership"))

    @property
    def shift_distances(self) -> datasets.Dataset:
        """How far apart subsets and splits are."""
        return _dataset(self.table("shift_distances"))

    @property
    def balance(self) -> datasets.Dataset:
        """What else differs between splits."""
        return _dataset(self.table("balance"))

    @property
    def rejected(self) -> datasets.Dataset:
        """Inputs that could not be used, with the reason."""
        return _dataset(self.table("rejected"))

    def members(self, subset: str) -> list[str]:
        """Ids of the examples of a subset, sorted; nothing is scanned after the first call.

        Raises
        ------
        ConfigurationError
            No such subset; the message has the near ones.
        """
        start, stop = self._where(subset)
        found: list[str] = self._members.ids.slice(start, stop - start).to_pylist()
        return found

    def load_subset(self, subset: str) -> datasets.Dataset:
        """The examples of a subset, as a `datasets.Dataset` selected by index."""
        start, stop = self._where(subset)
        return self._images.select(self._member_rows[start:stop])

    def evaluate(
        self,
        predictions: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        config: str | None = None,
        score_is: str = "ood",
        selection: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Results:
        """Grade predictions: OOD metrics, accuracy of each subpopulation, curves, with intervals.

        Parameters
        ----------
        predictions : path, URL, folder, or several
            Parquet, CSV or JSON lines; docs/predictions.md has the columns.
        config : str, optional
            Grade this config alone.
        score_is : {"ood", "confidence"}
            What a high score means.
        selection : mapping, optional
            How the models were chosen; it travels with the results.
        **settings
            The fields of `shiftbench.grading.settings.Settings`: groups, level, tpr ...

        Returns
        -------
        shiftbench.results.Results

        Raises
        ------
        SourceError
            Predictions that cannot be graded; all that is wrong is counted, with the first few.
        ConfigurationError
            A setting that is not allowed.
        """
        from shiftbench.grading.grade import grade
        from shiftbench.grading.settings import Settings

        known = [f.name for f in fields(Settings)]
        for name in settings:
            if name not in known:
                raise ConfigurationError(
                    f"evaluate has no setting {name!r}; {near_names(name, known)}"
                )
        return grade(
            self,
            predictions,
            config=config,
            score_is=score_is,
            settings=Settings(**settings),
            selection=selection,
        )

    def measure(
        self,
        *distances: str,
        shift_columns: Sequence[str] = (),
        n_jobs: int | None = None,
        **settings: Any,
    ) -> datasets.Dataset:
        """Measure how far splits and subsets are from each other, and store it with the benchmark.

        Lines are added to `shift_distances`, and `balance` is made anew. The digest stays.

        Parameters
        ----------
        *distances : str
            Registered names; by default those of a build.
        shift_columns : sequence of str
            Columns that are the shift itself, such as the device: the audit leaves them out.
        n_jobs : int, optional
            Processes that compute features.
        **settings
            The other fields of `shiftbench.measuring.settings.Measurement`: spaces, configs,
            max_examples ...

        Returns
        -------
        datasets.Dataset
            The lines that this call measured.

        Raises
        ------
        ConfigurationError
            Settings that do not fit the benchmark.
        StorageError
            The benchmark is not a local folder.
        """
        from shiftbench.measuring.remeasure import measure_benchmark
        from shiftbench.measuring.settings import Measurement

        known = [f.name for f in fields(Measurement)]
        for name in settings:
            if name not in known:
                raise ConfigurationError(
                    f"measure has no setting {name!r}; {near_names(name, known)}"
                )
        if distances:
            settings["distances"] = distances
        for name in ("spaces", "configs", "sources"):
            if name in settings:
                given = settings[name]
                settings[name] = (given,) if isinstance(given, str) else tuple(given)
        found = measure_benchmark(
            self.url, Measurement(**settings), shift_columns=shift_columns, n_jobs=n_jobs
        )
        self.manifest = read_manifest(self._folder)
        return _dataset(found.distances)

    def verify(self, *, content: bool = True) -> None:
        """Check every file's hash and, with `content`, the digests against the examples.

        Raises
        ------
        IntegrityError
            Names the file or config that is not right.
        """
        verify(self._folder, content=content)

    def _config(self, name: str) -> ConfigEntry:
        if name not in self.manifest.configs:
            raise ConfigurationError(
                f"{self.url!r} has no config {name!r}; {near_names(name, self.manifest.configs)}"
            )
        return self.manifest.configs[name]

    def _split(self, config: str, split: str) -> SplitEntry:
        splits = self._config(config).splits
        if split not in splits:
            raise ConfigurationError(
                f"config {config!r} has no split {split!r}; {near_names(split, splits)}"
            )
        return splits[split]

    def _where(self, subset: str) -> tuple[int, int]:
        found = self._members.bounds.get(subset)
        if found is None:
            raise ConfigurationError(
                f"{self.url!r} has no subset {subset!r}; {near_names(subset, self._members.bounds)}"
            )
        return found

    @cached_property
    def _members(self) -> _Members:
        table = self.table("membership")
        encoded = table["subset"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        ends = np.append(starts[1:], len(codes))
        names = encoded.dictionary.to_pylist()
        bounds = {names[codes[s]]: (int(s), int(e)) for s, e in zip(starts, ends, strict=True)}
        return _Members(bounds, table["example_id"].combine_chunks())

    @cached_property
    def _examples_config(self) -> str:
        return next(n for n, c in self.manifest.configs.items() if c.kind == "examples")

    @cached_property
    def _images(self) -> datasets.Dataset:
        return self.load(self._examples_config, "train")

    @cached_property
    def _member_rows(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The row in `images` of every line of `membership`."""
        ids = []
        for path in self._config(self._examples_config).splits["train"].files:
            with self._folder.open(path) as file:
                ids.append(pq.read_table(file, columns=["example_id"])["example_id"])
        every = pa.chunked_array([c for i in ids for c in i.chunks], pa.string())
        return pc.index_in(self._members.ids, every.combine_chunks()).to_numpy()  # type: ignore[no-any-return]


class _Members:
    """Membership by subset: where each subset's lines begin and end."""

    def __init__(self, bounds: dict[str, tuple[int, int]], ids: pa.Array) -> None:
        self.bounds = bounds
        self.ids = ids


def _dataset(table: pa.Table) -> datasets.Dataset:
    import datasets

    return datasets.Dataset(datasets.table.InMemoryTable(table))
