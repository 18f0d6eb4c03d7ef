"""Columns of all kinds as numbers, encoded as the reference has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import PRIVATE_COLUMNS
from shiftbench.spaces._columns import declared, is_list, is_text, known
from shiftbench.spaces._moments import mean_and_variance
from shiftbench.spaces.space import Fitted

__all__ = ["Tabular"]

Floats = NDArray[np.float64]

_NOT_FEATURES = frozenset(
    (
        *("example_id", "cluster_id", "label", "subset", "is_ood", "license", "attribution"),
        *PRIVATE_COLUMNS,
    )
)


@dataclass(frozen=True)
class Tabular:
    """Numbers standardised, levels one-hot, tags multi-hot; what is missing is a value too.

    All is fitted on the reference, with population variances, so that each column has a total
    variance of about 1 there, whatever its kind:

    - Numbers and times: (x − mean) / sd of the values that are there. Where some are missing in
      the reference, a missing one is 0 and a column ``… missing`` says so; where none is, a
      missing one stands one sd below the reference's least. NaN and infinity are missing. A
      constant column says where a value differs (1) and where it is missing (−1).
    - Text, booleans and class labels: one column a level, ``… other`` for levels that the
      reference has not or that were pooled, ``… missing``; divided by the root of their total
      variance, 1 − Σ p².
    - Lists of text or class labels: one column a tag, ``… other`` where any other tag is there,
      ``… missing`` where there is no list; divided by the root of their total variance.

    A column that is constant in the reference is kept, unscaled: it may differ elsewhere. The
    state lists such columns.

    Parameters
    ----------
    only : tuple of str
        The columns; by default all of these kinds but ids, ``label``, ``subset``, ``is_ood``,
        ``license``, ``attribution``. On the command line ``only=age+sex``.
    exclude : tuple of str
        Columns to leave out of the default ones.
    max_levels : int
        Levels or tags that a column keeps, the most frequent in the reference (ties: by name).

    Examples
    --------
    >>> reference = pa.table({"age": [20, 40], "city": ["Rome", "Oslo"]})
    >>> fitted = Tabular().fit(Tabular().raw(reference))
    >>> fitted.names
    ('age', 'city=Oslo', 'city=Rome', 'city other', 'city missing')
    >>> fitted.transform(pa.table({"age": [30, None], "city": ["Bonn", None]})).round(2).tolist()
    [[0.0, 0.0, 0.0, 1.41, 0.0], [-2.0, 0.0, 0.0, 0.0, 1.41]]
    """

    name: ClassVar[str] = "tabular"

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_levels: int = 50

    def __post_init__(self) -> None:
        if self.max_levels < 1:
            raise ConfigurationError(f"max_levels is {self.max_levels}; it must be at least 1")
        if self.only and self.exclude:
            raise ConfigurationError(
                "only and exclude exclude each other: only names the columns, exclude leaves some "
                "of the default ones out"
            )

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The columns to encode.

        Raises
        ------
        ConfigurationError
            One that is named is not there or cannot be encoded, or none is left.
        """
        for name in (*self.only, *self.exclude):
            known(schema, name)
        for name in self.only:
            if _kind(schema, name) is None:
                raise ConfigurationError(
                    f"the column {name!r} is of type {schema.field(name).type}; numbers, times, "
                    "text, booleans, class labels and lists of text can be encoded; leave it out"
                )
        chosen = self._chosen(schema)
        if not chosen:
            raise ConfigurationError(
                "no column is left that can be encoded; there are: "
                f"{', '.join(schema.names) or 'no columns'} (ids, label, subset, is_ood and "
                "licences are left out unless `only` names them)"
            )
        return chosen

    def raw(self, batch: pa.Table) -> pa.Table:
        """The columns as they are."""
        return batch.select(list(self._chosen(batch.schema)))

    def fit(self, reference: pa.Table) -> Fitted:
        """Means, standard deviations and levels of the reference's columns."""
        if not len(reference):
            raise ConfigurationError(
                "the reference has no examples; a space is fitted on at least one"
            )
        plan = []
        names: list[str] = []
        for name in reference.column_names:
            kind = _kind(reference.schema, name)
            assert kind is not None
            column = _plain(reference.column(name))
            if kind == "number":
                plan.append(_fit_numbers(name, column))
                names += _number_names(plan[-1])
            else:
                plan.append(_fit_levels(name, kind, column, self.max_levels))
                names += _level_names(plan[-1], _label_names(reference.schema, name))
        return Fitted(partial(_encoded, plan=plan), tuple(names), {"plan": plan})

    def _chosen(self, schema: pa.Schema) -> tuple[str, ...]:
        return self.only or tuple(
            name
            for name in schema.names
            if name not in _NOT_FEATURES and name not in self.exclude and _kind(schema, name)
        )


Plan = Mapping[str, Any]
"""How one column is encoded: plain values only, since it is the state as well."""


def _label_names(schema: pa.Schema, name: str) -> list[str] | None:
    feature = declared(schema, name)
    inner = feature.get("feature") or feature
    names: list[str] | None = inner.get("names") if inner.get("_type") == "ClassLabel" else None
    return names


def _kind(schema: pa.Schema, name: str) -> str | None:
    """ "number", "level" or "tags"; None for what cannot be encoded."""
    t = pa.types
    kind = known(schema, name)
    labels = _label_names(schema, name) is not None
    if is_list(kind):
        inner = kind.value_type
        return "tags" if is_text(inner) or (labels and t.is_integer(inner)) else None
    if is_text(kind) or t.is_boolean(kind) or t.is_null(kind) or (labels and t.is_integer(kind)):
        return "level"
    return "number" if _is_number(kind) else None


def _is_number(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(
        t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_temporal(kind)
    )


def _plain(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


def _encoded(table: pa.Table, *, plan: Sequence[Plan]) -> Floats:
    blocks = []
    for one in plan:
        name = one["column"]
        if name not in table.column_names:
            raise ConfigurationError(
                f"a table has no column {name!r}, which the reference has; "
                f"{near_names(name, table.column_names)}"
            )
        blocks.append(_ENCODE[one["kind"]](_plain(table.column(name)), one))
    return np.concatenate(blocks, axis=1)


def _numbers(column: pa.Array, name: str) -> Floats:
    """NaN where missing or infinite."""
    t = pa.types
    if not (_is_number(column.type) or t.is_boolean(column.type) or t.is_null(column.type)):
        raise ConfigurationError(
            f"the column {name!r} is of type {column.type} and in the reference a number; "
            "give all tables one type"
        )
    if t.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    values = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    values[~np.isfinite(values)] = np.nan
    return values


def _fit_numbers(name: str, column: pa.Array) -> Plan:
    values = _numbers(column, name)
    there = values[~np.isnan(values)]
    some = len(there) < len(values)
    if not len(there):
        return {"column": name, "kind": "number", "constant": None, "indicator": True}
    mean, variance = (float(m[0]) for m in mean_and_variance(there[:, None]))
    if variance == 0:
        return {"column": name, "kind": "number", "constant": mean, "indicator": some}
    sd = float(np.sqrt(variance))
    missing = 0.0 if some else float((there.min() - mean) / sd - 1)
    return {
        "column": name, "kind": "number", "mean": mean, "sd": sd,
        "missing": missing, "indicator": some,
    }  # fmt: skip


def _number_names(plan: Plan) -> list[str]:
    return [plan["column"], *([f"{plan['column']} missing"] if plan["indicator"] else [])]


def _encode_numbers(column: pa.Array, plan: Plan) -> Floats:
    values = _numbers(column, plan["column"])
    absent = np.isnan(values)
    if "constant" in plan:
        value = plan["constant"]
        coded = np.where(absent, 0.0 if plan["indicator"] else -1.0, values != value)
    else:
        coded = np.where(absent, plan["missing"], (values - plan["mean"]) / plan["sd"])
    return np.column_stack([coded, absent] if plan["indicator"] else [coded]).astype(np.float64)


def _listed(column: pa.Array, name: str, tags: bool) -> tuple[NDArray[np.int64], pa.Array]:
    """The row and the text of each level or tag that is there; no null among them."""
    nested = is_list(column.type)
    if nested != tags and not pa.types.is_null(column.type):
        raise ConfigurationError(
            f"the column {name!r} is of type {column.type} and in the reference "
            f"{'a list' if tags else 'no list'}; give all tables one type"
        )
    rows = np.arange(len(column))
    if nested:
        rows = np.asarray(pc.list_parent_indices(column).to_numpy(), dtype=np.int64)
        column = pc.list_flatten(column)
    there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    return rows[there], column.drop_null().cast(pa.large_string())


def _one_hot(column: pa.Array, name: str, tags: bool, levels: Sequence[str]) -> Floats:
    """(n, levels + 2): the last two are any other level, and none at all."""
    rows, found = _listed(column, name, tags)
    at = pc.index_in(found, value_set=pa.array(levels, pa.large_string()))
    codes = np.asarray(pc.fill_null(at, len(levels)).to_numpy(), dtype=np.int64)
    coded = np.zeros((len(column), len(levels) + 2))
    coded[rows, codes] = 1
    coded[:, -1] = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    return coded


def _fit_levels(name: str, kind: str, column: pa.Array, most: int) -> Plan:
    tags = kind == "tags"
    rows, found = _listed(column, name, tags)
    codes = found.dictionary_encode()
    texts = codes.dictionary.to_pylist()
    index = np.asarray(codes.indices.to_numpy(), dtype=np.int64)
    pairs = np.unique(np.column_stack([rows, index]), axis=0)  # a tag counts once a row
    often = np.bincount(pairs[:, 1], minlength=len(texts))
    order = sorted(range(len(texts)), key=lambda k: (-int(often[k]), texts[k]))
    levels = sorted(texts[k] for k in order[:most])
    share = _one_hot(column, name, tags, levels).mean(axis=0)
    total = float((share * (1 - share)).sum())
    return {
        "column": name, "kind": kind, "levels": levels,
        "scale": total**-0.5 if total > 0 else 1.0, "constant": total == 0,
    }  # fmt: skip


def _level_names(plan: Plan, labels: Sequence[str] | None) -> list[str]:
    def shown(level: str) -> str:
        at = int(level) if labels is not None else -1
        return labels[at] if labels is not None and 0 <= at < len(labels) else level

    name = plan["column"]
    levels = [f"{name}={shown(level)}" for level in plan["levels"]]
    return [*levels, f"{name} other", f"{name} missing"]


def _encode_levels(column: pa.Array, plan: Plan) -> Floats:
    coded = _one_hot(column, plan["column"], plan["kind"] == "tags", plan["levels"])
    return np.asarray(coded * plan["scale"])


_ENCODE: Mapping[str, Callable[[pa.Array, Plan], Floats]] = {
    "number": _encode_numbers,
    "level": _encode_levels,
    "tags": _encode_levels,
}
