"""Spread over seeds, by its name, and what part of it comes from which seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._mean_squares import combined
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import critical

__all__ = ["SPREADS", "VarianceComponents", "spread", "variance_components"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_LARGEST = 2_000_000

SPREADS = {
    "std": "√(Σ(v − mean)² / (n − 1))",
    "std_population": "√(Σ(v − mean)² / n)",
    "sem": "std / √n",
    "sem_population": "std_population / √n",
    "ci95": "the 97.5 % point of Student's t with n − 1 df × sem",
}
"""What may stand behind a ±, and its formula."""


def spread(values: Any, kind: str = "std", *, level: float = 0.95) -> Estimate:
    """The spread of one number over seeds, under a name that says which spread it is.

    Parameters
    ----------
    values : (n,) array-like of float
        One number a run, such as its accuracy.
    kind : {"std", "std_population", "sem", "sem_population", "ci95"}
        WILDS prints ± std, OpenOOD 1.5 ± std_population, DomainBed ± sem_population; ci95 is half
        the width of Student's 95 % interval of the mean over seeds.
    level : float
        Of the spread's own interval (χ², normal values).

    Returns
    -------
    Estimate
        `n` counts runs; the mean and the kind are in `parameters`. It says how much *training*
        varies, and nothing of the sampling error of the test set: the two are never mixed.

    Raises
    ------
    ConfigurationError
        An unknown kind, or a value that is not finite.

    References
    ----------
    The χ² interval of a variance, see Casella, Berger 2002, §9.2.

    Examples
    --------
    >>> runs = [0.80, 0.82, 0.87]
    >>> [round(spread(runs, kind).value, 4) for kind in SPREADS]
    [0.0361, 0.0294, 0.0208, 0.017, 0.0896]
    """
    critical(level)
    if kind not in SPREADS:
        raise ConfigurationError(f"kind is {kind!r}, but may be one of {', '.join(SPREADS)}")
    v = _values(values)
    n = len(v)
    said: dict[str, Any] = {"kind": kind, "formula": SPREADS[kind], "mean": float(v.mean())}
    if n < 2:
        return Estimate(math.nan, level=level, n=n, method="cannot tell: one run", parameters=said)
    std = float(v.std(ddof=1))
    population = math.sqrt((n - 1) / n)
    times = {
        "std": 1.0,
        "std_population": population,
        "sem": 1 / math.sqrt(n),
        "sem_population": population / math.sqrt(n),
        "ci95": critical(0.95, n - 1) / math.sqrt(n),
    }[kind]
    side = (1 - level) / 2
    low, high = (std * math.sqrt((n - 1) / float(chi2.ppf(q, n - 1))) for q in (1 - side, side))
    return Estimate(
        std * times,
        low * times,
        high * times,
        level=level,
        n=n,
        method="χ², normal values",
        parameters=said,
    )


@dataclass(frozen=True)
class VarianceComponents:
    """How much of the variance over runs comes from which seed.

    Attributes
    ----------
    components : mapping of str to Estimate
        The variance of each factor, of the interactions ("a × b") that the design can tell, and of
        the ``residual`` (what no factor explains). nan where it cannot be told; `method` says why.
    total : float
        Their sum: the variance of a single run with all seeds new.
    mean : float
        Of all runs.
    notes : tuple of str
        What is confounded, what came out negative, what is in the residual.
    n : int
        Runs.
    balanced : bool
        Whether every combination was run equally often: the intervals then have their textbook
        form, else they are approximations.
    """

    components: Mapping[str, Estimate]
    total: float
    mean: float
    notes: tuple[str, ...]
    n: int
    balanced: bool

    def to_rows(self) -> list[dict[str, Any]]:
        """One row a component: JSON-like values only.

        Examples
        --------
        >>> found = variance_components([0.7, 0.71, 0.8, 0.82], {"data": [0, 0, 1, 1]})
        >>> [(r["component"], round(r["value"], 5)) for r in found.to_rows()]
        [('data', 0.00545), ('residual', 0.00012)]
        """
        return [
            {
                "component": name,
                "value": c.value,
                "low": c.low,
                "high": c.high,
                "level": c.level,
                "method": c.method,
                "std": math.sqrt(c.value) if c.value >= 0 else math.nan,
                "n": self.n,
                "parameters": dict(c.parameters),
            }
            for name, c in self.components.items()
        ]


def variance_components(
    values: Any,
    factors: Mapping[str, Any],
    *,
    nested: Mapping[str, str] | None = None,
    interactions: bool = True,
    level: float = 0.95,
) -> VarianceComponents:
    """Split the variance over runs by the seeds that were changed: data, initialisation, detector.

    Parameters
    ----------
    values : (n,) array-like of float
        One number a run.
    factors : mapping of str to (n,) array-like
        The level of each factor in each run, such as
        ``{"data_seed": …, "init_seed": …, "detector_seed": …}``. Equal labels are one level: two
        factors whose levels meet in all combinations are crossed, one whose every level lies
        within one level of another is nested in it.
    nested : mapping of str to str, optional
        ``{"init_seed": "data_seed"}``: labels of the first count only within a level of the
        second (seed 0 of one data set is not seed 0 of another).
    interactions : bool
        Also tell the interaction of each two crossed factors apart, where runs are enough. Without
        it they are taken to be zero.
    level : float

    Returns
    -------
    VarianceComponents

    Raises
    ------
    ConfigurationError
        Lengths differ, a value is not finite, an unknown name in `nested`, or a table too large.

    Notes
    -----
    All effects are random, independent and of one variance each. Mean squares: each factor's is
    adjusted for all others that are not nested in it, and set equal to its expectation; in
    balanced designs that is the classical analysis of variance, in others Henderson's third method.
    Negative estimates are reported as 0 and noted; the value before is in `parameters`.
    Intervals: modified large sample, exact or nearly so for balanced normal data. They are wide
    with few levels: three seeds tell a variance within a factor of a thousand at the most.

    References
    ----------
    Searle, Casella, McCulloch 1992, Variance Components, ch. 4–5; Ting et al. 1990, J. Stat.
    Comput. Simul. 35 (intervals); Bouthillier et al. 2021, MLSys (the sources of variance).

    Examples
    --------
    Three data seeds with three initialisations each, seeds drawn anew for each data set:

    >>> found = variance_components(
    ...     [0.80, 0.82, 0.81, 0.90, 0.92, 0.91, 0.85, 0.83, 0.84],
    ...     {"data_seed": [0, 0, 0, 1, 1, 1, 2, 2, 2], "init_seed": [0, 1, 2, 3, 4, 5, 6, 7, 8]})
    >>> {name: round(c.value, 6) for name, c in found.components.items()}
    {'data_seed': 0.0026, 'init_seed': nan, 'residual': 0.0001}
    >>> print(*found.notes, sep="; ")
    init_seed: every run has its own level, so it is in the residual
    """
    critical(level)
    v = _values(values)
    codes = _codes(factors, nested or {}, len(v))
    design = _Design.of(codes, len(v), interactions)
    squares, sizes, expected = design.mean_squares(v)
    names = list(design.parts)
    # Solving for the components makes each of them a combination of mean squares.
    weights = np.linalg.inv(expected)
    components: dict[str, Estimate] = {}
    notes = list(design.notes)
    kind = "mean squares, modified large sample" + ("" if design.balanced else ", unbalanced")
    for i, name in enumerate(names):
        raw, low, high = combined(weights[i], squares, sizes, level)
        said: dict[str, Any] = {"raw": raw, "levels": design.levels.get(name)}
        method = kind
        if raw < 0:
            method += ", negative estimate set to 0"
            notes.append(f"{name}: the estimate {raw:.3g} is negative and reported as 0")
        components[name] = Estimate(
            max(raw, 0.0), max(low, 0.0), max(high, 0.0),
            level=level, n=len(v), method=method, parameters=said,
        )  # fmt: skip
    for name, why in design.untold.items():
        components[name] = Estimate(math.nan, level=level, n=len(v), method=f"cannot tell: {why}")
    order = [*codes, *(n for n in names if n not in codes and n != "residual")]
    order += [n for n in (*design.untold, "residual") if n not in order]
    total = sum(c.value for c in components.values() if not math.isnan(c.value))
    return VarianceComponents(
        {name: components[name] for name in order if name in components},
        float(total) if components.get("residual") is not None else math.nan,
        float(v.mean()),
        tuple(notes),
        len(v),
        design.balanced,
    )


@dataclass(frozen=True)
class _Design:
    """The factors that can be told apart, as partitions of the runs."""

    parts: Mapping[str, Codes]
    untold: Mapping[str, str]
    notes: tuple[str, ...]
    levels: Mapping[str, int]
    balanced: bool

    @classmethod
    def of(cls, codes: Mapping[str, Codes], n: int, interactions: bool) -> _Design:
        untold: dict[str, str] = {}
        notes: list[str] = []
        parts: dict[str, Codes] = {}
        for name, code in codes.items():
            count = int(code.max()) + 1
            twin = next((o for o, c in parts.items() if _same(c, code)), None)
            if count == 1:
                untold[name] = "one level"
            elif count == n:
                untold[name] = "every run has its own level, so it is in the residual"
            elif twin is not None:
                untold[name] = f"it changes together with {twin}, whose component holds both"
            else:
                parts[name] = code
        notes += [f"{name}: {why}" for name, why in untold.items()]
        if interactions:
            for a, b in itertools.combinations(list(parts), 2):
                code = _meet(parts[a], parts[b])
                crossed = not _within(parts[a], parts[b]) and not _within(parts[b], parts[a])
                known = any(_same(code, c) for c in parts.values())
                if crossed and not known and int(code.max()) + 1 < n:
                    parts[f"{a} × {b}"] = code
                elif crossed:
                    notes.append(f"{a} × {b}: one run a combination, so it is in the residual")
        parts, more = _estimable(parts, n)
        untold.update(more)
        notes += [f"{name}: {why}" for name, why in more.items()]
        parts["residual"] = np.arange(n, dtype=np.int64)
        levels = {name: int(code.max()) + 1 for name, code in codes.items()}
        return cls(parts, untold, tuple(notes), levels, _balanced(parts))

    def mean_squares(self, v: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean squares, their degrees of freedom, and what they expect of each component."""
        names = list(self.parts)
        squares, sizes, expected = [], [], []
        for name in names:
            if name == "residual":
                # Orthogonal to all factors, so that it expects nothing of them.
                base = _all_space(self.parts)
                df = len(v) - base.shape[1]
                squares.append(float(((v - base @ (base.T @ v)) ** 2).sum()) / df)
                sizes.append(df)
                expected.append([float(other == name) for other in names])
                continue
            space = _own_space(name, self.parts)
            df = space.shape[1]
            squares.append(float(((space.T @ v) ** 2).sum()) / df)
            sizes.append(df)
            # E(vᵀPv) = Σ σ² tr(Zᵀ P Z), and Zᵀ sums over the runs of a level.
            expected.append([_trace(space, self.parts[other]) / df for other in names])
        return np.array(squares), np.array(sizes, dtype=np.float64), np.array(expected)


def _trace(space: Floats, code: Codes) -> float:
    count = int(code.max()) + 1
    if count == len(code):
        return float(space.shape[1])
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(count))
    return float((np.add.reduceat(space[order], starts, axis=0) ** 2).sum())


def _own_space(name: str, parts: Mapping[str, Codes]) -> Floats:
    """An orthonormal basis of what a factor adds to all others that are not nested in it."""
    others = [c for o, c in parts.items() if o != name and not _within(c, parts[name])]
    n = len(parts[name])
    base = _basis(np.concatenate([np.ones((n, 1)), *map(_dummies, others)], axis=1))
    own = _dummies(parts[name])
    return _basis(own - base @ (base.T @ own))


def _all_space(parts: Mapping[str, Codes]) -> Floats:
    """An orthonormal basis of everything that the factors explain, the mean included."""
    factors = [_dummies(c) for name, c in parts.items() if name != "residual"]
    n = len(parts["residual"])
    return _basis(np.concatenate([np.ones((n, 1)), *factors], axis=1))


def _basis(columns: Floats) -> Floats:
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(u[:, s > 1e-9 * max(float(s.max(initial=0.0)), 1.0)], dtype=np.float64)


def _dummies(code: Codes) -> Floats:
    return np.asarray(code[:, None] == np.arange(int(code.max()) + 1), dtype=np.float64)


def _estimable(parts: dict[str, Codes], n: int) -> tuple[dict[str, Codes], dict[str, str]]:
    """Without the factors that leave no degree of freedom to themselves or to the residual."""
    if n * sum(int(c.max()) + 1 for c in parts.values()) > _LARGEST:
        raise ConfigurationError(
            f"{n} runs with so many levels are too large for this analysis; it is made for seeds"
        )
    lost: dict[str, str] = {}
    kept = dict(parts)
    while kept:
        everything = {**kept, "residual": np.arange(n, dtype=np.int64)}
        short = [name for name in kept if _own_space(name, everything).shape[1] == 0]
        if not short and _all_space(everything).shape[1] < n:
            break
        # An interaction goes before the factors that it is made of.
        victim = next((name for name in reversed(kept) if " × " in name), None)
        victim = victim or next(iter(short), list(kept)[-1])
        lost[victim] = "confounded with the other factors: no run tells them apart"
        del kept[victim]
    return kept, lost


def _within(fine: Codes, coarse: Codes) -> bool:
    """Whether every level of `fine` lies in one level of `coarse`, and they are not the same."""
    pairs = int(_meet(fine, coarse).max())
    return pairs == int(fine.max()) and pairs != int(coarse.max())


def _same(a: Codes, b: Codes) -> bool:
    pairs = int(_meet(a, b).max())
    return pairs == int(a.max()) == int(b.max())


def _meet(a: Codes, b: Codes) -> Codes:
    both = a * (int(b.max()) + 1) + b
    return np.asarray(np.unique(both, return_inverse=True)[1], dtype=np.int64)


def _balanced(parts: Mapping[str, Codes]) -> bool:
    """Equal numbers of runs in every level, and in every combination of crossed factors."""
    codes = [c for name, c in parts.items() if name != "residual"]
    meets = [_meet(a, b) for a, b in itertools.combinations(codes, 2)]
    full = all(
        _within(a, b)
        or _within(b, a)
        or int(m.max()) + 1 == (int(a.max()) + 1) * (int(b.max()) + 1)
        for (a, b), m in zip(itertools.combinations(codes, 2), meets, strict=True)
    )
    return full and all(len(set(np.bincount(c).tolist())) == 1 for c in (*codes, *meets))


def _values(values: Any) -> Floats:
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or not len(v) or not np.isfinite(v).all():
        raise ConfigurationError(
            f"values has the shape {v.shape} and {int((~np.isfinite(v)).sum())} values that are "
            "not finite; give one finite number a run"
        )
    return v


def _codes(factors: Mapping[str, Any], nested: Mapping[str, str], n: int) -> dict[str, Codes]:
    found: dict[str, Codes] = {}
    for name, labels in factors.items():
        array = np.asarray(labels, dtype=object)
        if array.shape != (n,):
            raise ConfigurationError(f"{name} has the shape {array.shape}, but there are {n} runs")
        numbers: dict[Any, int] = {}
        found[name] = np.array([numbers.setdefault(v, len(numbers)) for v in array], dtype=np.int64)
    for inner, outer in nested.items():
        if inner not in found or outer not in found:
            raise ConfigurationError(
                f"nested names {inner!r} in {outer!r}, but the factors are {', '.join(found)}"
            )
        found[inner] = _meet(found[outer], found[inner])
    return found
