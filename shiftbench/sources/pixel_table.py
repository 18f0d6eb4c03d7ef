"""CSV files with an image a row: its pixels, and a label."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.schema import Metadata
from shiftbench.sources._files import file_label
from shiftbench.sources._metadata import fingerprint
from shiftbench.sources._pixel_images import (
    UNZIP_ERRORS,
    flat_png,
    named_classes,
    numbered_ids,
    open_unzipped,
    pixel_metadata,
)
from shiftbench.sources._pixel_layout import layout_of

__all__ = ["PixelTable", "PixelTableReader"]

_BLOCK = 2**22
_HELD = 2**26
"""Bytes of pixels that a reader keeps; of a larger table the rows read last."""


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Attributes
    ----------
    start : int
        Number of the first, the header not counted.
    values : (n, pixels) float32 array
        NaN where a pixel is missing.
    labels, clusters : string arrays
        `clusters` is None where no column is named.
    """

    start: int
    values: NDArray[np.float32]
    labels: pa.Array
    clusters: pa.Array | None


class PixelTableReader:
    """Reads the image of a row of a CSV file, forward from the row read last.

    Parameters
    ----------
    source : PixelTable
    """

    def __init__(self, source: PixelTable) -> None:
        self.source = source
        self._blocks: Iterator[Block] | None = None
        self._next = 0
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def __call__(self, locator: str) -> dict[str, bytes]:
        """The picture as ``{"image": PNG bytes}``.

        Raises
        ------
        ContentError
            There is no such row, or the file can no longer be read.
        """
        try:
            block, row = self._find(int(locator))
        except (SourceError, ConfigurationError, ValueError) as e:
            raise ContentError(f"row {locator}: cannot be read ({type(e).__name__})") from e
        if block is None:
            raise ContentError(f"row {locator}: the table does not have it")
        height, width, n = self.source.height, self.source.width, self.source.channels
        shape = (height, width) if n == 1 else (height, width, n)
        return {"image": flat_png(block[row].reshape(shape))}

    def _find(self, row: int) -> tuple[NDArray[np.uint8] | None, int]:
        for start in reversed(self._kept):
            if start <= row < start + len(self._kept[start]):
                return self._kept[start], row - start
        if self._blocks is None or row < self._next:
            self._blocks, self._next = self.source.blocks(), 0
            self._kept.clear()
        for found in self._blocks:
            pixels, _ = self.source.bytes_of(found.values)
            self._kept[found.start] = pixels
            self._next = found.start + len(pixels)
            while len(self._kept) > 1 and sum(p.size for p in self._kept.values()) > _HELD:
                self._kept.popitem(last=False)
            if row < self._next:
                return pixels, row - found.start
        return None, 0


@dataclass(frozen=True)
class PixelTable:
    """Images as rows of a CSV file: their pixels, and a label.

    The pixels are all columns but those of the label, of the cluster and those to drop, row by row
    from the upper left. A first row of names is told from an image by its text.

    Parameters
    ----------
    table : str
        The CSV file; gzip or not, a path or a URL.
    width : int
        Width of an image in pixels.
    height : int
        Height of an image in pixels.
    label_column : str
        The label: a name, "first" or "last". By default a column that is called label, class,
        target or y, else the last.
    names : tuple of str
        Names of the classes, from the smallest label, where labels are whole numbers; without
        them, classes are called as the file calls them.
    first_label : int
        The smallest label, where it is not 0.
    channels : int
        Numbers a pixel: 1 (grey) or 3 (red, green, blue side by side).
    white : float
        The value of white. Others than 255 are scaled to 255 and rounded.
    separator : str
        What stands between the columns.
    cluster_column : str
        The unit of independence, such as the writer; by default each image is its own.
    drop : tuple of str
        Columns that are neither pixels nor label.
    license : str
        Licence of the images as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the images may be published.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ["a,b,c,d,y", "0,50,100,150,1", "255,0,255,0,0"]
    >>> Path("fashion.csv").write_text("\\n".join(lines)) > 0
    True
    >>> source = PixelTable("fashion.csv", width=2, height=2, names=("shirt", "shoe"))
    >>> source.scan().examples["label"].to_pylist()
    ['shoe', 'shirt']
    """

    table: str
    width: int = 28
    height: int = 28
    label_column: str = ""
    names: tuple[str, ...] = ()
    first_label: int = 0
    channels: int = 1
    white: float = 255.0
    separator: str = ","
    cluster_column: str = ""
    drop: tuple[str, ...] = ()
    license: str = ""
    redistributable: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.channels not in (1, 3) or not self.white > 0:
            raise ConfigurationError(
                f"pixel_table: width {self.width}, height {self.height}, channels "
                f"{self.channels}, white {self.white}; allowed: at least 1, at least 1, 1 or 3, "
                "and above 0"
            )
        if len(self.separator) != 1:
            raise ConfigurationError(
                f"pixel_table: separator is {self.separator!r}; one character is needed"
            )

    def scan(self) -> Metadata:
        """Read the table through, a part at a time, for its labels and its hash.

        Rows with a pixel that is missing, no whole number or out of range, or without a label, are
        recorded as rejected.

        Raises
        ------
        SourceError
            The file is missing, damaged or no table of numbers.
        ConfigurationError
            A column is not there, the columns are not as many as an image has pixels, or no row
            can be used.
        """
        digest = hashlib.sha256()
        rejected: list[tuple[str, str]] = []
        kept: list[NDArray[np.int64]] = []
        labels: list[pa.Array] = []
        clusters: list[pa.Array] = []
        n = 0
        for block in self.blocks(rejected):
            pixels, bad = self.bytes_of(block.values)
            text, unlabelled = _trimmed(block.labels)
            units, unclear = _trimmed(block.labels if block.clusters is None else block.clusters)
            for row in np.flatnonzero(bad | unlabelled | unclear).tolist():
                reason = self._reason(block, row) if bad[row] else "the row has no label"
                if not bad[row] and not unlabelled[row]:
                    reason = "the row has no cluster"
                rejected.append((f"{file_label(self.table)}: row {block.start + row}", reason))
            good = np.flatnonzero(~(bad | unlabelled | unclear))
            digest.update(pixels[good].tobytes())
            kept.append(block.start + good)
            labels.append(text.take(pa.array(good)))
            if block.clusters is not None:
                clusters.append(units.take(pa.array(good)))
            n = block.start + len(pixels)
        rows = np.concatenate(kept) if kept else np.empty(0, np.int64)
        if not len(rows):
            why = f", e.g. {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
            raise ConfigurationError(f"{file_label(self.table)}: no row can be used{why}")
        said = pa.concat_arrays(labels)
        digest.update("\x1f".join(said.to_pylist()).encode())
        return pixel_metadata(
            numbered_ids("image", rows, n),
            rows,
            self._named(said),
            pixels=self.width * self.height * self.channels,
            fingerprint=fingerprint([digest.hexdigest()], (), self._options()),
            license=self.license,
            redistributable=self.redistributable,
            notes={"title": f"Table of pixels: {file_label(self.table)}"},
            clusters=pa.concat_arrays(clusters) if clusters else None,
            rejected=rejected,
        )

    def reader(self) -> PixelTableReader:
        """A function from the number of a row to ``{"image": PNG bytes}``."""
        return PixelTableReader(self)

    def blocks(self, rejected: list[tuple[str, str]] | None = None) -> Iterator[Block]:
        """The rows a part at a time; `rejected` gets those with too few or too many columns."""
        layout = layout_of(
            self.table,
            separator=self.separator,
            label=self.label_column,
            cluster=self.cluster_column,
            drop=self.drop,
            shape=(self.height, self.width, self.channels),
        )
        names = [str(i) for i in range(layout.width)]
        numbers = [names[i] for i in layout.pixels]
        texts = [names[i] for i in (layout.label, layout.cluster) if i is not None]

        def odd(row: Any) -> str:
            if rejected is not None:
                told = f"{row.actual_columns} columns where there are {row.expected_columns}"
                rejected.append((f"{file_label(self.table)}: a row of {told}", "it is left out"))
            return "skip"

        with open_unzipped(self.table) as stream:
            try:
                parts = pa.csv.open_csv(
                    stream,
                    pa.csv.ReadOptions(
                        use_threads=False,
                        block_size=_BLOCK,
                        column_names=names,
                        skip_rows=int(layout.header),
                    ),
                    pa.csv.ParseOptions(delimiter=self.separator, invalid_row_handler=odd),
                    pa.csv.ConvertOptions(
                        include_columns=[*numbers, *texts],
                        column_types={
                            **dict.fromkeys(numbers, pa.float32()),
                            **dict.fromkeys(texts, pa.string()),
                        },
                    ),
                )
                start = 0
                for part in parts:
                    columns = [part.column(name).to_numpy(zero_copy_only=False) for name in numbers]
                    yield Block(
                        start,
                        np.stack(columns, axis=1),
                        part.column(names[layout.label]),
                        part.column(names[layout.cluster]) if layout.cluster is not None else None,
                    )
                    start += part.num_rows
            except pa.ArrowException as e:
                said = " ".join(str(e).split())[:200]
                raise SourceError(
                    f"{self.table}: not a CSV file of numbers that can be read: {said} (columns "
                    "are counted from 0)"
                ) from e
            except UNZIP_ERRORS as e:
                raise SourceError(
                    f"{self.table}: the file is cut short or damaged ({e}); download or copy it "
                    "again"
                ) from e

    def bytes_of(self, values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Pixels from 0 to 255, and which rows cannot be used."""
        good = (values >= 0) & (values <= self.white)  # False for NaN
        if self.white == 255:
            good &= np.mod(values, 1) == 0
            scaled = np.where(good, values, 0)
        else:
            scaled = np.floor(np.where(good, values, 0).astype(np.float64) * 255 / self.white + 0.5)
        bad: NDArray[np.bool_] = np.logical_not(good.all(axis=1))
        return scaled.astype(np.uint8), bad

    def _reason(self, block: Block, row: int) -> str:
        values = block.values[row]
        _, bad = self.bytes_of(values[:, None])
        at = int(np.flatnonzero(bad)[0])
        if np.isnan(values[at]):
            return f"pixel {at} is missing"
        kind = "whole numbers" if self.white == 255 else "numbers"
        return f"pixel {at} is {values[at]:g}; allowed: {kind} from 0 to {self.white:g}"

    def _named(self, labels: pa.Array) -> Any:
        if not self.names:
            return labels
        try:
            numbers = labels.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid as e:
            raise ConfigurationError(
                f"{file_label(self.table)}: names are given, but the labels are no whole numbers "
                f"({e}); leave names out: the labels are names already"
            ) from None
        return named_classes(numbers, self.names, self.first_label, file_label(self.table))

    def _options(self) -> dict[str, Any]:
        left_out = ("table", "license", "redistributable")
        return {"source": "pixel_table"} | {
            k: v for k, v in vars(self).items() if k not in left_out
        }


def _trimmed(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Texts without the space around them, and which are empty."""
    text = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    return text, pc.equal(text, "").to_numpy(zero_copy_only=False)
