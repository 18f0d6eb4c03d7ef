"""A reference model's predictions on a built benchmark, joined to its examples."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.hashing import table_hash
from shiftbench.sources._files import file_label
from shiftbench.sources._tables import open_table, plain_strings

__all__ = ["Joined", "join_predictions"]

_TEXTS = ("example_id", "config", "split", "model", "prediction", "digest")
_VALUES = ("prediction", "probabilities", "score")
_INDEX = re.compile(r"\d+(?:\.0*)?")


@dataclass(frozen=True)
class Joined:
    """Predictions in the order of some examples.

    Attributes
    ----------
    columns : dict of pa.Array
        `predicted` (the name of a class), `score`, or both; null in splits without predictions.
    digest : str
        sha256 of what was used.
    """

    columns: dict[str, pa.Array]
    digest: str


def join_predictions(
    path: str,
    ids: pa.Array,
    splits: pa.Array,
    *,
    config: str,
    model: str,
    classes: Sequence[str],
    digests: Collection[str] = (),
) -> Joined:
    """Read a prediction file of one config of a benchmark.

    Parameters
    ----------
    path : str
        Parquet or CSV; columns as docs/predictions.md has them.
    ids, splits : (n,) string arrays
        Of the examples.
    config : str
        Whose predictions to take, where the file tells configs apart.
    model : str
        Likewise; "" where there is one model.
    classes : sequence of str
        In the order of the benchmark.
    digests : collection of str
        Which the file may state that it is for.

    Raises
    ------
    SourceError
        The file cannot be read, repeats examples, misses some of a split, or its values are no
        predictions.
    ConfigurationError
        It has no rows of the config or model, or several models.
    """
    shown = file_label(path)
    table = _read(path, shown)
    table = _of(table, "config", config, shown)
    table = _of(table, "model", model, shown)
    if "digest" in table.column_names and digests:
        strange = set(table["digest"].unique().to_pylist()) - {None, *digests}
        if strange:
            raise SourceError(f"{shown}: predictions for another benchmark: {sorted(strange)[0]}")
    keys = [ids]
    theirs = [table["example_id"].combine_chunks()]
    if "split" in table.column_names:
        there = table["split"].is_valid()
        table = table.filter(there)
        keys.append(splits)
        theirs = [table["example_id"].combine_chunks(), table["split"].combine_chunks()]
    wanted = pc.binary_join_element_wise(*keys, "\x1f")
    given = pc.binary_join_element_wise(*theirs, "\x1f")
    if pc.count_distinct(given).as_py() < len(given):
        raise SourceError(
            f"{shown}: {len(given) - pc.count_distinct(given).as_py()} rows repeat an example; "
            "keep one model, seed and epoch in the file, or name the model"
        )
    at = pc.index_in(wanted, given)
    _check_whole(at, splits, shown)
    used = table.take(at.drop_null())
    made: dict[str, pa.Array] = {}
    predicted = _predicted(table, classes, shown)
    if predicted is not None:
        made["predicted"] = predicted.take(at)
    if "score" in table.column_names:
        made["score"] = _scores(table["score"].combine_chunks(), shown).take(at)
    return Joined(made, table_hash(used.select(_known(used))))


def _known(table: pa.Table) -> list[str]:
    return [n for n in ("example_id", *_VALUES) if n in table.column_names]


def _read(path: str, shown: str) -> pa.Table:
    opened = open_table(path, _TEXTS, ("example_id", "config", "split", "prediction"))
    names = opened.schema.names
    values = [n for n in _VALUES if n in names]
    if "example_id" not in names or not values:
        raise SourceError(
            f"{shown}: columns example_id and one of {', '.join(_VALUES)} are needed; there are: "
            f"{', '.join(map(repr, names))}"
        )
    texts = [n for n in _TEXTS if n in names and n != "prediction"]
    table = plain_strings(opened.columns([*texts, *values]))
    for name in texts:
        try:
            text = table[name].cast(pa.string())
        except pa.ArrowException as e:
            raise SourceError(f"{shown}: the column {name!r} holds no text: {e}") from None
        table = table.set_column(table.column_names.index(name), name, text)
    return table


def _of(table: pa.Table, name: str, wanted: str, shown: str) -> pa.Table:
    """The rows of one config, or of one model."""
    if name not in table.column_names:
        if wanted and name == "model":
            raise ConfigurationError(
                f"{shown}: there is no column 'model', by which model={wanted!r} could be found"
            )
        return table
    there = [v for v in table[name].unique().to_pylist() if v is not None]
    if not wanted:
        if len(there) > 1:
            raise ConfigurationError(
                f"{shown} has predictions of {len(there)} models; name one with model: "
                f"{', '.join(map(repr, sorted(there)[:10]))}"
            )
        return table
    if wanted not in there:
        if not there and name == "config":
            return table
        raise ConfigurationError(
            f"{shown} has no predictions of the {name} {wanted!r}; {near_names(wanted, there)}"
        )
    return table.filter(pc.equal(table[name], wanted))


def _check_whole(at: pa.Array, splits: pa.Array, shown: str) -> None:
    """Refuse splits of which only some examples are predicted."""
    missing = at.is_null().to_numpy(zero_copy_only=False)
    if missing.all():
        raise ConfigurationError(
            f"{shown}: no example of the benchmark is predicted; are its ids those of this "
            "benchmark, and its splits those that are read?"
        )
    encoded = splits.dictionary_encode()
    codes = encoded.indices.to_numpy()
    n = np.bincount(codes, minlength=len(encoded.dictionary))
    gone = np.bincount(codes[missing], minlength=len(encoded.dictionary))
    for name, whole, lost in zip(encoded.dictionary.to_pylist(), n, gone, strict=True):
        if 0 < lost < whole:
            raise SourceError(
                f"{shown}: {lost} of the {whole} examples of the split {name!r} are not predicted; "
                "a split is predicted whole or not at all"
            )


def _predicted(table: pa.Table, classes: Sequence[str], shown: str) -> pa.Array | None:
    if "prediction" in table.column_names:
        cells = table["prediction"].combine_chunks()
        if pa.types.is_nested(cells.type):
            raise SourceError(f"{shown}: predictions are lists; one class an example is needed")
        encoded = cells.cast(pa.string()).dictionary_encode()
        names = [_class(str(cell), classes, shown) for cell in encoded.dictionary.to_pylist()]
        if encoded.null_count:
            raise SourceError(f"{shown}: the prediction is missing in {encoded.null_count} rows")
        return pa.array(names, pa.string()).take(encoded.indices)
    if "probabilities" not in table.column_names:
        return None
    cells = table["probabilities"].combine_chunks()
    if not (pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type)):
        raise SourceError(
            f"{shown}: probabilities are {cells.type}; lists of numbers are needed (in a Parquet "
            "file), or a column `prediction`"
        )
    values = cells.flatten().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(cells), 0).to_numpy()
    if (lengths != len(classes)).any() or np.isnan(values).any():
        raise SourceError(
            f"{shown}: each row needs {len(classes)} probabilities, one for each of the classes "
            f"{', '.join(map(repr, classes[:5]))}{' …' * (len(classes) > 5)}"
        )
    best: NDArray[np.int64] = values.reshape(-1, len(classes)).argmax(axis=1)
    return pa.array(list(classes), pa.string()).take(pa.array(best))


def _class(cell: str, classes: Sequence[str], shown: str) -> str:
    """The class that a cell means: its name or, where no class is called by a number, its index."""
    if cell in classes:
        return cell
    numbered = any(_INDEX.fullmatch(c) for c in classes)
    if _INDEX.fullmatch(cell) and not numbered and int(float(cell)) < len(classes):
        return classes[int(float(cell))]
    raise SourceError(
        f"{shown}: the prediction {cell!r} is no class of the benchmark; "
        f"{near_names(cell, classes)}"
    )


def _scores(column: pa.Array, shown: str) -> pa.Array:
    try:
        made = column.cast(pa.float64())
    except pa.ArrowException as e:
        raise SourceError(f"{shown}: the column 'score' holds no numbers: {e}") from None
    if made.null_count or pc.any(pc.is_nan(made)).as_py():
        raise SourceError(f"{shown}: the score is missing or NaN in some rows")
    return made
