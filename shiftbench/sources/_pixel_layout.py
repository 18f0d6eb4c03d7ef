"""Which columns of a CSV file of images are pixels, and which the label."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.sources._files import file_label
from shiftbench.sources._pixel_images import UNZIP_ERRORS, open_unzipped

__all__ = ["Layout", "layout_of"]

_LONGEST_ROW = 2**26
_LABELS = ("label", "class", "target", "y")


@dataclass(frozen=True)
class Layout:
    """Which column of a file is what, by position.

    Attributes
    ----------
    width : int
        Columns of the file.
    header : bool
        Whether the first row is one of names.
    label : int
    cluster : int or None
    pixels : tuple of int
    """

    width: int
    header: bool
    label: int
    cluster: int | None
    pixels: tuple[int, ...]


def layout_of(
    table: str,
    *,
    separator: str,
    label: str,
    cluster: str,
    drop: Sequence[str],
    shape: tuple[int, int, int],
) -> Layout:
    """The layout of a file, from its first row.

    Parameters
    ----------
    table : str
        Path or URL of the file.
    separator, label, cluster, drop
        As in `PixelTable`.
    shape : (int, int, int)
        Rows, columns and numbers a pixel of an image.

    Raises
    ------
    SourceError
        The file is missing or no text.
    ConfigurationError
        A column is not there, or those that are left are not as many as an image has numbers.
    """
    first = _first_row(table, separator)
    shown = file_label(table)
    header = not all(map(_is_number, first)) or len(set(first)) == len(first) > 2
    names = [c.strip() for c in first] if header else []
    at_label = _label(label, names, len(first), shown)
    at_cluster = _at(cluster, names, shown) if cluster else None
    dropped = {_at(name, names, shown) for name in drop}
    pixels = tuple(i for i in range(len(first)) if i not in {at_label, at_cluster, *dropped})
    height, width, channels = shape
    wanted = height * width * channels
    if len(pixels) != wanted:
        side = round((len(pixels) / channels) ** 0.5)
        fits = side > 0 and side**2 * channels == len(pixels)
        raise ConfigurationError(
            f"{shown}: {len(pixels)} columns are left for pixels, and images of {width} × {height} "
            f"× {channels} have {wanted}; "
            + (f"width and height {side} would fit" if fits else "set width and height")
            + ", or name columns to drop"
        )
    return Layout(len(first), header, at_label, at_cluster, pixels)


def _label(wanted: str, names: Sequence[str], n: int, shown: str) -> int:
    if wanted in names:
        return _at(wanted, names, shown)
    if not wanted:
        called = [i for i, name in enumerate(names) if name.lower() in _LABELS]
        return called[0] if len(called) == 1 else n - 1
    if wanted not in ("first", "last"):
        return _at(wanted, names, shown)
    return 0 if wanted == "first" else n - 1


def _at(name: str, names: Sequence[str], shown: str) -> int:
    if names.count(name) != 1:
        said = near_names(name, names) if names else "the file has no row of names"
        how = "more than one column" if name in names else "no column"
        raise ConfigurationError(f"{shown}: {how} {name!r}; {said}")
    return names.index(name)


def _first_row(table: str, separator: str) -> list[str]:
    with open_unzipped(table) as stream:
        try:
            line = stream.readline(_LONGEST_ROW)
        except UNZIP_ERRORS as e:
            raise SourceError(f"{table}: the gzip file is cut short or damaged ({e})") from e
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{table}: not a CSV file: it is no text") from None
    if not text.strip() or "\0" in text:
        raise SourceError(f"{table}: not a CSV file: its first line is empty or no text")
    return next(csv.reader(io.StringIO(text), delimiter=separator))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
