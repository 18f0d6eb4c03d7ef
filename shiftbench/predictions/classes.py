"""Cells of predictions as numbers: classes by name or index, probabilities, scores; and what is
wrong with them, counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import near_names
from shiftbench.predictions.cells import MISSING, is_list

__all__ = ["Classes", "Problems"]

INDEX = re.compile(r"\d+(?:\.0*)?")
SHOWN = 3
SUM_TOLERANCE = 1e-3
RANGE_TOLERANCE = 1e-6
"""Softmax in single precision can exceed 1 by a rounding error."""

EVERY = "an example that is named has to be predicted; leave out the column, or put what has no \
such number in a file of its own"

OF = ("split", "model", "seed", "epoch")
NULL, UNKNOWN = -2, -1
MEMORY = 100_000


Batch = Mapping[str, pa.Array]


class Problems:
    """What is wrong with some predictions: how often, and the first few."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}
        self._hints: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, what: str, count: int, first: Iterable[str], hint: str = "") -> None:
        """Count some more of one kind; `what` has its number as ``{n}``."""
        if not count:
            return
        self._counts[what] = self._counts.get(what, 0) + count
        shown = self._first.setdefault(what, [])
        for one in first:
            if len(shown) >= SHOWN:
                break
            if one not in shown:
                shown.append(one)
        if hint:
            self._hints.setdefault(what, hint)

    def wants(self, what: str) -> bool:
        """Whether a further example of this kind would still be shown."""
        return len(self._first.get(what, ())) < SHOWN

    def text(self) -> str:
        """All of it, one sentence a kind."""
        parts = []
        for what, count in self._counts.items():
            words = what.replace("{n}", str(count))
            first = self._first[what]
            more = ", …" if count > len(first) else ""
            shown = f" ({'first: ' if more else ''}{', '.join(first)}{more})" if first else ""
            hint = self._hints.get(what)
            parts.append(words + shown + (f"; {hint}" if hint else ""))
        return ".\n".join(parts)


class Classes:
    """The labels of one config, and how a file's cells become numbers of them.

    A cell that is a class's name means that class. Another cell that is a whole number is an
    index, counted from 0; but where any class is called by a number, all cells are names, so that
    a number never means two things in one benchmark.
    """

    def __init__(self, config: str, kind: str, names: tuple[str, ...]) -> None:
        self.config, self.kind, self.names = config, kind, names
        self._by_name = {name: i for i, name in enumerate(names)}
        self._numbered = any(INDEX.fullmatch(name) for name in names)
        self._truth = {n.casefold(): i for i, n in enumerate(names)}
        self._known: dict[str, int] = {}

    def usable(self, column: str) -> bool:
        """Whether a column says anything of such labels."""
        if column == "score":
            return True
        if self.kind == "value":
            return column == "value"
        return self.kind != "none" and column != "value"

    def columns(self, batch: Batch, problems: Problems, negate: bool) -> dict[str, NDArray[Any]]:
        """The columns of a batch as numpy arrays; what is wrong goes to `problems`."""
        made: dict[str, NDArray[Any]] = {}
        for name in ("score", "value"):
            if name in batch and self.usable(name):
                values = batch[name].to_numpy(zero_copy_only=False)
                what = f"the {name} is NaN or missing in {{n}} rows"
                self._count(what, np.isnan(values), batch, problems, EVERY)
                made[name] = -values if negate and name == "score" else values
        if "prediction" in batch and self.usable("prediction"):
            made["prediction"] = self._predictions(batch["prediction"], batch, problems)
        if "probabilities" in batch and self.usable("probabilities"):
            made["probabilities"] = self._probabilities(batch["probabilities"], batch, problems)
        return made

    def _count(
        self,
        what: str,
        wrong: NDArray[np.bool_],
        batch: Batch,
        problems: Problems,
        hint: str = "",
    ) -> None:
        if wrong.any():
            at = np.flatnonzero(wrong)
            shown = (_example(batch, i) for i in at[:SHOWN].tolist())
            problems.add(what, len(at), shown, hint)

    def _code(self, text: str) -> int:
        if text in self._by_name:
            return self._by_name[text]
        if INDEX.fullmatch(text) and not self._numbered:
            index = int(text.partition(".")[0])
            return index if index < len(self.names) else UNKNOWN
        if text.casefold() in ("true", "false"):  # R's TRUE, pandas' True
            return self._truth.get(text.casefold(), UNKNOWN)
        return NULL if text in MISSING else UNKNOWN

    def _codes(self, cells: pa.Array, problems: Problems) -> NDArray[np.int32]:
        """Codes of names and indices; NULL where there is none, UNKNOWN where it is no class."""
        encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        if len(self._known) > MEMORY:
            self._known.clear()
        table = np.full(len(values) + 1, NULL, dtype=np.int32)
        for i, value in enumerate(values):
            if value is None:
                continue
            text = str(value)
            if text not in self._known:
                self._known[text] = self._code(text)
            table[i] = self._known[text]
        indices = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
        codes: NDArray[np.int32] = table[indices]
        if UNKNOWN in table:
            self._unknown(codes, indices, values, problems)
        return codes

    def _unknown(
        self, codes: NDArray[np.int32], indices: NDArray[Any], values: list[Any], problems: Problems
    ) -> None:
        wrong = codes == UNKNOWN
        if not wrong.any():
            return
        what = f"{{n}} predictions are no class of config {self.config!r}"
        first = list(dict.fromkeys(indices[wrong][:1000].tolist()))[:SHOWN]
        texts = [str(values[i])[:60] for i in first]
        hints = [near_names(text, self.names) for text in texts]
        near = [i for i, words in enumerate(hints) if words.startswith("did you mean")]
        if near and len(texts) > 1:
            hint = " ".join(f"{texts[i]!r}: {hints[i]}" for i in near)
        else:
            hint = hints[0]
        if INDEX.fullmatch(texts[0]):
            hint = f"{hint}; " + (
                "a class of this config is called by a number, so that every number is a name"
                if self._numbered
                else f"indices go from 0 to {len(self.names) - 1}"
            )
        problems.add(what, int(wrong.sum()), map(repr, texts), hint)

    def _predictions(self, cells: pa.Array, batch: Batch, problems: Problems) -> NDArray[Any]:
        missing = "the prediction is missing in {n} rows"
        lists = is_list(cells.type)
        if self.kind == "class":
            if lists:
                lengths = pc.fill_null(pc.list_value_length(cells), 0).to_numpy()
                self._count("{n} predictions are lists where each example has one class",
                            lengths != 1, batch, problems)  # fmt: skip
                if np.any(lengths != 1):
                    return np.zeros(len(cells), dtype=np.int32)
                cells = cells.flatten()
            codes = self._codes(cells, problems)
            self._count(missing, codes == NULL, batch, problems)
            return codes
        if not lists:
            every = np.ones(len(cells), dtype=np.bool_)
            self._count(
                "{n} predictions are no lists", every, batch, problems,
                "examples of this config have several classes: write a list of names or indices",
            )  # fmt: skip
            return np.zeros((len(cells), len(self.names)), dtype=np.bool_)
        null = cells.is_null().to_numpy(zero_copy_only=False)
        self._count(missing, null, batch, problems)
        codes = self._codes(cells.flatten(), problems)
        rows = pc.list_parent_indices(cells).to_numpy()
        self._count(missing, np.isin(np.arange(len(cells)), rows[codes == NULL]), batch, problems)
        matrix = np.zeros((len(cells), len(self.names)), dtype=np.bool_)
        good = codes >= 0
        matrix[rows[good], codes[good]] = True
        return matrix

    def _probabilities(self, cells: pa.Array, batch: Batch, problems: Problems) -> NDArray[Any]:
        n, k = len(cells), len(self.names)
        null = cells.is_null().to_numpy(zero_copy_only=False)
        self._count("the probabilities are missing in {n} rows", null, batch, problems)
        lengths = pc.fill_null(pc.list_value_length(cells), k).to_numpy()
        wrong = lengths != k
        if wrong.any():
            found = int(lengths[wrong][0])
            what = f"{{n}} rows have probabilities of the wrong width: config {self.config!r} has "
            what += f"{k} classes, {', '.join(map(repr, self.names[:5]))}{', …' * (k > 5)}"
            self._count(what, wrong, batch, problems, f"the first list has {found} numbers")
        flat = cells.flatten().to_numpy(zero_copy_only=False)
        if null.any() or wrong.any() or len(flat) != n * k:
            return np.full((n, k), 1 / k, dtype=flat.dtype)
        values: NDArray[Any] = flat.reshape(n, k)
        with np.errstate(invalid="ignore"):
            inside = (values >= -RANGE_TOLERANCE) & (values <= 1 + RANGE_TOLERANCE)
            outside = np.asarray(~inside.all(axis=1))
            sums = values.sum(axis=1, dtype=np.float64)
        self._count("{n} rows have probabilities that are NaN or outside 0 to 1", outside, batch,
                    problems, "logits have to go through a softmax first")  # fmt: skip
        if self.kind == "class":
            off = np.logical_and(~outside, ~(np.abs(sums - 1) <= SUM_TOLERANCE))
            what = "{n} rows have probabilities that do not sum to 1"
            shown = f"the first sum is {sums[off][0]:.4f}" if off.any() else ""
            self._count(what, off, batch, problems, shown)
        if values.min(initial=0) < 0 or values.max(initial=0) > 1:
            values = np.clip(values, 0, 1)
        return values


def _example(batch: Batch, at: int) -> str:
    """An example, and what its row says that it is of."""
    words = f"example {batch['example_id'][at].as_py()!r}"
    named = ((name, batch[name][at].as_py()) for name in OF if name in batch)
    told = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
    return f"{words} of {told}" if told else words
