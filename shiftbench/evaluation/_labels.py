"""Labels, predictions and probabilities of any type as class codes, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.statistics import Clusters

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

ROWS = 1 << 16
"""Rows of probabilities worked on at a time."""

SUM_TOLERANCE = 1e-3
"""How far probabilities may be from summing to 1: wide enough for float16 and rounded text."""


@dataclass(frozen=True)
class Summary:
    """What the metrics need of (n, k) probabilities, one number an example."""

    best: Codes
    confidence: Floats
    of_truth: Floats
    squares: Floats


@dataclass(frozen=True)
class Labelled:
    """One class an example: truth (−1 where unknown) and prediction, as codes of `classes`."""

    truth: Codes
    predicted: Codes
    classes: tuple[Any, ...]
    summary: Summary | None

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.asarray(self.truth >= 0)

    @property
    def correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.truth == self.predicted)


def as_arrow(values: Any, what: str) -> pa.Array:
    """One value an example, null where missing."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    array = values if isinstance(values, np.ndarray) else None
    if array is None:
        array = np.asarray(values) if hasattr(values, "__array__") else None
    if array is not None and array.ndim != 1:
        raise ConfigurationError(
            f"{what} has the shape {array.shape}, but one value an example is needed: (n,)"
        )
    try:
        return pa.array(values if array is None else array, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Values of several types, such as 0 and "a", are told apart by how they are written.
        return pa.array([None if v is None or v != v else str(v) for v in values])


def labelled(
    y_true: Any, y_pred: Any, probabilities: Any, classes: Sequence[Any] | int | None
) -> Labelled:
    """Truth and prediction as codes of the same classes."""
    if y_pred is None and probabilities is None:
        raise ConfigurationError("neither y_pred nor probabilities are given; give one of them")
    truth = as_arrow(y_true, "y_true")
    predicted = None if y_pred is None else as_arrow(y_pred, "y_pred")
    table = None if probabilities is None else _table(probabilities, len(truth))
    if predicted is not None and len(predicted) != len(truth):
        raise ConfigurationError(
            f"y_true has {len(truth)} examples and y_pred {len(predicted)}; give one of each for "
            "every example"
        )
    if predicted is not None and predicted.null_count:
        raise ConfigurationError(
            f"{predicted.null_count} of {len(predicted)} predictions are missing (the first is at "
            f"position {_first(predicted.is_null())}); every example needs one"
        )
    if isinstance(classes, int):
        classes = list(range(classes))
    if classes is None and table is not None:
        classes = _all_classes(truth, table.shape[1])
    if classes is not None:
        names = tuple(classes)
        if table is not None and table.shape[1] != len(names):
            raise ConfigurationError(
                f"probabilities have {table.shape[1]} columns, but there are {len(names)} classes; "
                "give one column a class, in the order of the classes"
            )
        t = _codes(truth, names, "y_true")
        p = None if predicted is None else _codes(predicted, names, "y_pred")
        if p is not None and (p < 0).any():
            raise ConfigurationError(
                f"{int((p < 0).sum())} of {len(p)} predictions are missing (the first is at "
                f"position {int(np.flatnonzero(p < 0)[0])}); every example needs one"
            )
    else:
        assert predicted is not None
        t, p, names = _together(truth, predicted)
    summary = None if table is None else summarised(table, t)
    if p is None:
        assert summary is not None
        p = summary.best
    return Labelled(t, p, names, summary)


def _together(truth: pa.Array, predicted: pa.Array) -> tuple[Codes, Codes, tuple[Any, ...]]:
    """Classes are what occurs, in sorted order."""
    quick = _small_integers(truth, predicted)
    if quick is not None:
        return quick
    truth, predicted = _plain(truth), _plain(predicted)
    kinds = {_kind(a.type) for a in (truth, predicted)} - {"null"}
    try:
        if len(kinds) > 1:
            raise pa.ArrowInvalid
        if pa.types.is_null(truth.type):
            truth = truth.cast(predicted.type)
        predicted = predicted.cast(truth.type)
    except pa.ArrowInvalid:
        raise ConfigurationError(
            f"labels are {truth.type} and predictions {predicted.type}; give both as names, or "
            "both as numbers, or name the classes in their order (classes=[…])"
        ) from None
    encoded = pa.concat_arrays([truth, predicted]).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(names)), -1
    codes = place[encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)]
    return codes[: len(truth)], codes[len(truth) :], tuple(names[i] for i in order)


def _small_integers(
    truth: pa.Array, predicted: pa.Array
) -> tuple[Codes, Codes, tuple[Any, ...]] | None:
    """The same for integers without gaps worth hashing for, which is ten times as fast."""
    if not (pa.types.is_integer(truth.type) and pa.types.is_integer(predicted.type)):
        return None
    if truth.null_count or not len(truth):
        return None
    sides = [a.to_numpy(zero_copy_only=False) for a in (truth, predicted)]
    low = min(int(side.min()) for side in sides)
    high = max(int(side.max()) for side in sides)
    if high - low >= 1 << 16:
        return None
    codes = [np.subtract(side, low, dtype=np.int64) for side in sides]
    there = sum(np.bincount(c, minlength=high - low + 1) for c in codes) > 0
    names = tuple((np.flatnonzero(there) + low).tolist())
    if len(names) <= high - low:
        place = np.cumsum(there) - 1
        codes = [place[c] for c in codes]
    return codes[0], codes[1], names


def _plain(labels: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    return labels.cast(pa.int64()) if pa.types.is_boolean(labels.type) else labels


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "null" if pa.types.is_null(kind) else "other"


def _all_classes(truth: pa.Array, width: int) -> Sequence[Any]:
    """The classes behind columns of probabilities that nobody named."""
    if pa.types.is_string(truth.type) or pa.types.is_large_string(truth.type):
        raise ConfigurationError(
            "labels are names and the probabilities' columns have none; name the classes in the "
            "order of the columns (classes=[…])"
        )
    return range(width)


def _codes(labels: pa.Array, classes: tuple[Any, ...], what: str) -> Codes:
    """Codes of labels that are class names, or indices of classes whose names are text.

    With integers, −1 is a missing label, as ClassLabel has it, unless a class is called so.
    """
    if len(set(classes)) != len(classes):
        raise ConfigurationError(f"classes has names twice: {classes!r}; every class needs its own")
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    if pa.types.is_boolean(labels.type) and not all(isinstance(c, bool) for c in classes):
        labels = labels.cast(pa.int64())
    if pa.types.is_floating(labels.type):
        whole = pc.floor(labels)
        if pc.all(pc.equal(whole, labels)).as_py() is not False:
            labels = whole.cast(pa.int64())
    if pa.types.is_integer(labels.type):
        named = all(isinstance(c, str) for c in classes)
        plain = named or classes == tuple(range(len(classes)))
        numbers = labels.cast(pa.int64())
        if plain:
            codes: Codes = numbers.fill_null(-1).to_numpy(zero_copy_only=False)
            _refuse((codes < -1) | (codes >= len(classes)), codes, classes, what)
            return codes
        labels = numbers if -1 in classes else pc.if_else(pc.equal(numbers, -1), None, numbers)
    if pa.types.is_null(labels.type):
        return np.full(len(labels), -1, dtype=np.int64)
    encoded = labels.dictionary_encode()
    known = {name: i for i, name in enumerate(classes)}
    place = np.array([known.get(name, -2) for name in encoded.dictionary.to_pylist()] + [-1])
    found = place[encoded.indices.fill_null(len(place) - 1).to_numpy(zero_copy_only=False)]
    _refuse(found == -2, labels, classes, what)
    return np.asarray(found, dtype=np.int64)


def _refuse(bad: NDArray[np.bool_], labels: Any, classes: tuple[Any, ...], what: str) -> None:
    if not bad.any():
        return
    at = int(np.flatnonzero(bad)[0])
    found = labels[at].as_py() if hasattr(labels[at], "as_py") else int(labels[at])
    if isinstance(found, str):
        hint = near_names(found, [str(c) for c in classes])
    else:
        hint = f"classes go from 0 to {len(classes) - 1}, and −1 is an unknown label"
    raise ConfigurationError(
        f"{int(bad.sum())} of {len(bad)} values of {what} are no class (the first, at position "
        f"{at}, is {found!r}); {hint}"
    )


def _table(probabilities: Any, n: int) -> NDArray[Any]:
    """(n, k) floats, from an array, lists of one length or an Arrow list array."""
    if isinstance(probabilities, pa.ChunkedArray):
        probabilities = probabilities.combine_chunks()
    if isinstance(probabilities, pa.Array):
        probabilities = _unnested(probabilities)
    try:
        table = np.asarray(probabilities)
    except ValueError:
        widths = [len(row) for row in probabilities]
        at = next(i for i, width in enumerate(widths) if width != widths[0])
        raise ConfigurationError(
            f"probabilities have {widths[0]} values in the first example and {widths[at]} at "
            f"position {at}; give one a class for every example"
        ) from None
    if table.ndim != 2 or len(table) != n or table.dtype.kind not in "fiub":
        raise ConfigurationError(
            f"probabilities have the shape {table.shape} and type {table.dtype}; numbers of shape "
            f"({n}, classes) are needed"
        )
    return table if table.dtype.kind == "f" else table.astype(np.float64)


def _unnested(column: pa.Array) -> NDArray[Any]:
    widths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if len(widths) and (widths != widths[0]).any():
        at = int(np.flatnonzero(widths != widths[0])[0])
        raise ConfigurationError(
            f"probabilities have {widths[0]} values in the first example and {widths[at]} at "
            f"position {at}; give one a class for every example"
        )
    values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), int(widths[0]) if len(widths) else 0)


def summarised(table: NDArray[Any], truth: Codes) -> Summary:
    """Checked probabilities that sum to one, and what the metrics need of them.

    In blocks of rows, so that float32 probabilities are never copied whole as float64.
    """
    n, k = table.shape
    if k == 0:
        raise ConfigurationError("probabilities have no columns; give one column a class")
    best = np.empty(n, dtype=np.int64)
    confidence, of_truth, squares = np.empty(n), np.empty(n), np.empty(n)
    wrong, first = 0, -1
    for start in range(0, n, ROWS):
        rows = slice(start, start + ROWS)
        p = table[rows].astype(np.float64)
        total = p.sum(axis=1)
        # Written so that NaN fails too.
        good = (np.abs(total - 1) <= SUM_TOLERANCE) & (p.min(axis=1) >= 0) & (p.max(axis=1) <= 1)
        if not good.all():
            first = start + int(np.flatnonzero(~good)[0]) if first < 0 else first
            wrong += int((~good).sum())
        at = p.argmax(axis=1)
        here = np.arange(len(p))
        best[rows], confidence[rows] = at, p[here, at]
        t = truth[rows]
        of_truth[rows] = np.where(t >= 0, p[here, np.maximum(t, 0)], np.nan)
        squares[rows] = np.einsum("ij,ij->i", p, p)
    if wrong:
        raise ConfigurationError(
            f"{wrong} of {n} examples have probabilities that are none or do not sum to 1 within "
            f"{SUM_TOLERANCE} (the first, at position {first}, has "
            f"{np.array2string(table[first][:5], precision=4)} and sums to "
            f"{float(table[first].astype(np.float64).sum()):.4g}); apply a softmax first, and give "
            "several findings per example as an (n, findings) table of labels"
        )
    return Summary(best, confidence, of_truth, squares)


def as_clusters(clusters: Any, n: int) -> Clusters | None:
    """Clusters of n examples, from names or as they are."""
    if clusters is None:
        return None
    found = clusters if isinstance(clusters, Clusters) else Clusters.of(clusters)
    if len(found.codes) != n:
        raise ConfigurationError(
            f"there are {len(found.codes)} clusters' names for {n} examples; give one each"
        )
    return found


def chosen(clusters: Clusters | None, keep: NDArray[Any]) -> Clusters | None:
    """The clusters of some of the examples, numbered anew."""
    if clusters is None:
        return None
    codes = clusters.codes[keep]
    if 8 * len(codes) < clusters.n_clusters:  # many small groups would each walk all clusters
        names, inverse = np.unique(codes, return_inverse=True)
        return Clusters(inverse.astype(np.int64), len(names))
    there = np.bincount(codes, minlength=clusters.n_clusters) > 0
    return Clusters((np.cumsum(there) - 1)[codes], int(there.sum()))


def listed(values: Any) -> bool:
    """Whether there is a list an example, rather than one value."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        kind = values.type
        return bool(
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
        )
    if isinstance(values, np.ndarray) and (values.dtype != object or values.ndim != 1):
        return values.ndim == 2
    for row in values:
        if row is not None and not (isinstance(row, float) and row != row):
            return isinstance(row, list | tuple | set | frozenset | np.ndarray)
    return False


def _first(flags: Any) -> int:
    return int(np.flatnonzero(flags.to_numpy(zero_copy_only=False))[0])
