"""Tables whose covariate shift, concept shift and omitted variable are known exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import ConfigurationError
from shiftbench.schema import CONTEXTS, REJECTED, Metadata
from shiftbench.sources._table_truth import CellModel, simulated_truth
from shiftbench.statistics import stream

__all__ = ["SimulatedTables", "simulated_truth"]

# Part of the fingerprint: raise it whenever a row changes.
_VERSION = 1
_MOST = 100_000_000


@dataclass(frozen=True)
class SimulatedTables:
    """Rows of two groups, drawn for each combination of three shifts (a cell).

    In a cell, A ~ Bernoulli(p) tells the target (1) from the source (0), and U ~ N(0, 1) is a
    confounder. X₁ = δA + ωU + σε₁, X_j = δA + σε_j for the other features, and
    Y ~ Bernoulli(logistic(βᵀX + γAX₁ + ωU)). So δ shifts P(x), γ shifts P(y|x), and where U is left
    out, ω turns a shift of P(x) into one of P(y|x) as well. `Metadata.notes` has under "truth" what
    is true of each cell (see `simulated_truth`).

    Columns: `cell`; `delta`, `gamma`, `omitted`; `group` ("source" or "target"); the features `x1`
    … and, where it is kept, `u`; `label` ("0" or "1").

    Parameters
    ----------
    delta : tuple of float
        Shifts δ of the features' means (covariate shift).
    gamma : tuple of float
        Changes γ of the first coefficient (concept shift).
    omitted : tuple of float
        Effects ω of the confounder.
    n : int
        Rows of each cell, both groups together.
    p : float
        Share of the target, between 0 and 1.
    beta : tuple of float
        Coefficients β, one a feature.
    sigma : float
        Standard deviation σ of the features' noise.
    keep_omitted : bool
        Keep the confounder as the feature `u`.
    seed : int
        Another seed, other rows. Those of one cell depend on nothing of the others.

    Examples
    --------
    >>> found = SimulatedTables(delta=(0.0, 1.0), gamma=(0.0,), n=4).scan()
    >>> found.examples["cell"].unique().to_pylist(), found.columns
    (['delta=0 gamma=0 omitted=0', 'delta=1 gamma=0 omitted=0'], ('x1', 'x2'))
    """

    delta: tuple[float, ...] = (0.0, 0.5, 1.0)
    gamma: tuple[float, ...] = (0.0, 1.0, 2.0)
    omitted: tuple[float, ...] = (0.0,)
    n: int = 4000
    p: float = 0.5
    beta: tuple[float, ...] = (1.0, 0.5)
    sigma: float = 1.0
    keep_omitted: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("delta", "gamma", "omitted", "beta"):
            values = getattr(self, option)
            if not values:
                raise ConfigurationError(f"{option} is empty; give one number or more")
            # −0 is 0, in a cell's name too.
            object.__setattr__(self, option, tuple(float(v) + 0.0 for v in values))
        cells = self._cells()
        if len(cells) < len(self.delta) * len(self.gamma) * len(self.omitted):
            raise ConfigurationError(
                "delta, gamma or omitted has a number twice (told apart are 6 digits); give each "
                "once"
            )
        if not 0 < self.p < 1 or self.n < 2 or self.n * len(cells) > _MOST:
            raise ConfigurationError(
                f"p is {self.p:g}, n {self.n} and there are {len(cells)} cells; allowed: p between "
                f"0 and 1, n of 2 and above, and {_MOST} rows in all"
            )

    def scan(self) -> Metadata:
        """Draw all rows.

        Raises
        ------
        ConfigurationError
            A cell in which one of the groups got no row.
        """
        parts = [self._rows(name, cell) for name, cell in self._cells().items()]
        parts.sort(key=lambda part: str(part["example_id"][0]))
        examples = pa.concat_tables(parts).combine_chunks()
        ids = examples["example_id"]
        examples = examples.add_column(1, "cluster_id", ids)
        n = len(examples)
        for column, values in (
            ("locator", pa.nulls(n, pa.string())),
            ("bytes", pa.nulls(n, pa.int64())),
            ("modified", pa.array(np.zeros(n, np.int64))),
        ):
            examples = examples.append_column(column, values)
        options = json.dumps([_VERSION, asdict(self)], sort_keys=True)
        return Metadata(
            examples=examples,
            contexts=CONTEXTS.empty_table(),
            rejected=REJECTED.empty_table(),
            content={},
            fingerprint=hashlib.sha256(options.encode()).hexdigest(),
            license="cc0-1.0",
            redistributable=True,
            notes={
                "title": "Simulated tables",
                "attribution": "Computed by shiftbench, in the public domain (CC0 1.0)",
                "truth": {name: _truth(cell) for name, cell in self._cells().items()},
            },
            columns=self._features(),
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        """There is none: all of an example stands in its columns.

        Raises
        ------
        ConfigurationError
            Always.
        """
        raise ConfigurationError(
            "the rows of a simulated table have no content to read beside their columns; a builder "
            "that changes images needs a source of images"
        )

    def _cells(self) -> dict[str, CellModel]:
        return {
            f"delta={_said(delta)} gamma={_said(gamma)} omitted={_said(omitted)}": CellModel(
                delta, gamma, omitted, self.beta, self.sigma, self.keep_omitted
            )
            for delta, gamma, omitted in product(self.delta, self.gamma, self.omitted)
        }

    def _features(self) -> tuple[str, ...]:
        found = tuple(f"x{j + 1}" for j in range(len(self.beta)))
        return (*found, "u") if self.keep_omitted else found

    def _rows(self, name: str, cell: CellModel) -> pa.Table:
        rng = stream(self.seed, "simulated table", name)
        n, d = self.n, len(self.beta)
        target = rng.random(n) < self.p
        if not 0 < target.sum() < n:
            raise ConfigurationError(
                f"of the {n} rows of the cell {name!r} all are of one group; give a larger n or a "
                f"p nearer to 0.5 than {self.p:g}"
            )
        u = rng.standard_normal(n)
        x = cell.delta * target[:, None] + cell.sigma * rng.standard_normal((n, d))
        x[:, 0] += cell.omitted * u
        # Column by column: the order in which a matrix product adds is the library's own.
        log_odds = cell.gamma * target * x[:, 0] + cell.omitted * u
        for j, coefficient in enumerate(self.beta):
            log_odds = log_odds + coefficient * x[:, j]
        yes = rng.logistic(size=n) < log_odds
        features = {f"x{j + 1}": x[:, j] for j in range(d)}
        if self.keep_omitted:
            features["u"] = u
        texts = pa.array([name, "source", "target", "0", "1"])
        prefix = name.replace("minus ", "-").replace("delta=", "d")
        prefix = prefix.replace(" gamma=", "_g").replace(" omitted=", "_o")
        numbers = pa.array(np.arange(n)).cast(pa.string())
        numbers = pc.utf8_lpad(numbers, len(str(_MOST)), "0")
        return pa.table(
            {
                "example_id": pc.binary_join_element_wise(prefix, numbers, "_"),
                "cell": texts.take(pa.array(np.zeros(n, np.int8))),
                "delta": np.full(n, cell.delta),
                "gamma": np.full(n, cell.gamma),
                "omitted": np.full(n, cell.omitted),
                "group": texts.take(pa.array(1 + target.astype(np.int8))),
                **features,
                "label": texts.take(pa.array(3 + yes.astype(np.int8))),
            }
        )


def _said(value: float) -> str:
    """A number in a cell's name, whose sign stays where the name becomes that of a config."""
    return f"{value:g}".replace("-", "minus ")


def _truth(cell: CellModel) -> dict[str, float]:
    return simulated_truth(
        cell.delta,
        cell.gamma,
        cell.omitted,
        beta=cell.beta,
        sigma=cell.sigma,
        keep_omitted=cell.keep_omitted,
    )
