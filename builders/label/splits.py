"""The splits of a label shift: one division by cluster, then draws of exact counts by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, Value

from ..shared.assembly import Held, coded, split_plan
from ..shared.counted import apportion, largest_size, ring_ranks
from ..shared.division import divide
from ..shared.labelled import Labelled
from .arrivals import Order, arrival, told
from .priors import Prior, earth_mover, shares_of, targets

__all__ = ["LEAST", "Settings", "label_config", "need_order"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST = 10
"""A split of fewer examples says nothing of a prior."""
FEW = 100
"""Of fewer, a test is told to be small."""

HELD = Held(
    factorisation="P(x, y) = P(y) P(x|y)",
    fixed="P(x|y)",
    changed="P(y)",
    by="the examples of a class are divided between the splits, and drawn from a split's pool, in "
    "a random order of whole clusters: within a class the splits are exchangeable; how many of "
    "each class a split has is the only thing that is set",
)


@dataclass(frozen=True)
class Settings:
    """What `label_config` goes by: options of `LabelShift`, the priors read."""

    priors: tuple[Prior, ...]
    train_prior: Prior
    ordinal: bool
    random_ranks: bool
    order: Order
    burst_length: float
    train_size: int | None
    test_size: int | None
    shares: Mapping[str, float]


@dataclass(eq=False)
class _Made:
    """The splits so far, and what is to be said of them."""

    found: Labelled
    seed: int
    settings: Settings
    splits: list[SplitPlan] = field(default_factory=list)
    shares: dict[str, Floats] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        role: str,
        rows: Codes,
        order: Order | None,
        *,
        title: str = "",
        shift: str = "none",
    ) -> None:
        """A split of some rows; with an order they arrive in it."""
        found = self.found
        codes = found.label.codes[rows]
        columns: dict[str, Any] = {"label": coded(codes)}
        if self.settings.order:
            time = pa.nulls(len(rows), pa.int64())
            if order is not None:
                length = self.settings.burst_length
                try:
                    at = arrival(found.ids(rows), codes, self.seed, f"label {name}", order, length)
                except ConfigurationError as error:
                    raise ConfigurationError(f"{name}: {error}") from None
                self.orders[name] = told(codes, at, order, length)
                time = pa.array(at)
            columns["time"] = time
        self.splits.append(split_plan(name, role, shift, rows, columns, title=title))
        counts = np.bincount(codes, minlength=len(found.label.names))
        self.shares[name] = counts / counts.sum()
        self.groups[name] = dict(zip(found.label.names, counts.tolist(), strict=True))


def label_config(found: Labelled, settings: Settings, seed: int) -> ConfigPlan:
    """The config `label_shift`.

    `id_test` and every OOD test have the class counts that largest remainders make of their prior.
    The OOD tests are nested draws from one pool: between two of them only the prior differs.

    Raises
    ------
    ConfigurationError
        A prior that cannot be read for these classes, or for which the examples do not suffice.
    """
    names = found.label.names
    counts = np.bincount(found.label.codes, minlength=len(names))
    own = counts / counts.sum()
    source = shares_of(settings.train_prior, own, names, seed, random_ranks=settings.random_ranks)
    wanted = targets(settings.priors, source, names, seed, random_ranks=settings.random_ranks)
    parts = divide(found, settings.shares, seed, "label")
    made = _Made(found, seed, settings)
    train = parts["train"]
    if settings.train_prior.kind != "own" or settings.train_size is not None:
        train = _drawn(found, train, source, seed, "train", settings.train_size)
    made.add("train", "train", train, None)
    for role in ("validation", "id_test"):
        rows = parts[role]
        if not settings.shares[role]:
            continue
        if role == "id_test" or settings.train_prior.kind != "own":
            size = settings.test_size if role == "id_test" else None
            rows = _drawn(found, rows, source, seed, role, size)
        made.add(role, role, rows, "" if role == "id_test" else None)
    rank = _ranks(found, parts["ood_test"], seed, "ood_test")
    for target in wanted:
        rows = _head(found, parts["ood_test"], rank, target.shares, target.title,
                     settings.test_size, "ood_test")  # fmt: skip
        name = f"ood_test_{target.slug}"
        moved = bool(settings.order) or _tv(target.shares, source) > 0
        made.add(name, "ood_test", rows, settings.order, title=target.title,
                 shift="label" if moved else "none")  # fmt: skip
    _warn(made)
    return ConfigPlan(
        name="label_shift",
        features=_features(settings, names),
        splits=tuple(made.splits),
        title="Label shift",
        description="Label shift: the class prior of each OOD test is stated, P(x|y) is held.",
        notes=_notes(made, source, {f"ood_test_{t.slug}": t.shares for t in wanted}),
    )


def _features(settings: Settings, names: tuple[str, ...]) -> dict[str, Feature]:
    features: dict[str, Feature] = {"label": ClassLabel(names)}
    if settings.order:
        features["time"] = Value("int64")
    return features


def need_order(names: Sequence[str]) -> None:
    """Refuse classes whose order is not that of the numbers they are.

    Raises
    ------
    ConfigurationError
        The order is not known.

    Examples
    --------
    >>> need_order(("1", "2", "10"))
    >>> need_order(("1", "10", "2"))
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: ordinal classes need an order, and '1', '10', '2' are \
no numbers from the lowest to the highest; name all of them with --classes, the lowest first
    """
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        numbers = []
    if not numbers or numbers != sorted(numbers):
        raise ConfigurationError(
            f"ordinal classes need an order, and {', '.join(map(repr, names[:10]))} are no numbers "
            "from the lowest to the highest; name all of them with --classes, the lowest first"
        )


def _ranks(found: Labelled, rows: Codes, seed: int, part: str) -> Codes:
    codes = found.label.codes[rows]
    return ring_ranks(found, rows, codes, found.label.names, seed, f"label {part}")


def _drawn(
    found: Labelled, rows: Codes, shares: Floats, seed: int, part: str, size: int | None
) -> Codes:
    """A draw with the prior of training."""
    rank = _ranks(found, rows, seed, part)
    return _head(found, rows, rank, shares, f"the prior of {part}", size, part)


def _head(
    found: Labelled,
    rows: Codes,
    rank: Codes,
    shares: Floats,
    what: str,
    size: int | None,
    part: str,
) -> Codes:
    """Of each class so many rows of the lowest ranks as the shares and the size ask for."""
    codes = found.label.codes[rows]
    available = np.bincount(codes, minlength=len(shares))
    n = largest_size(shares, available) if size is None else size
    counts = apportion(shares, n)
    if n < LEAST or (counts > available).any():
        raise _too_few(found.label.names, shares, available, what, size, part)
    return rows[rank < counts[codes]]


def _too_few(
    names: tuple[str, ...],
    shares: Floats,
    available: Codes,
    what: str,
    size: int | None,
    part: str,
) -> ConfigurationError:
    needed = np.flatnonzero(shares > 0)
    scarce = needed[np.argmin(available[needed] / shares[needed])]
    most = largest_size(shares, available)
    at = size or FEW
    return ConfigurationError(
        f"{what} cannot be drawn"
        + (f" at {size} examples" if size else "")
        + f" without repetition: it gives {names[scarce]!r} the share {shares[scarce]:.4g}, and "
        f"the {int(available.sum())} examples held for {part} have {int(available[scarce])} of it, "
        f"which makes {most} examples at most"
        + (f" (fewer than {LEAST} are no test)" if most < LEAST else "")
        + f"; at {at} examples its share can be {min(1.0, available[scarce] / at):.4g} at most. "
        f"Give that class a smaller share, a smaller size, or more examples to --{_OPTION[part]}"
    )


_OPTION = {
    "train": "train-size, --validation and the tests less",
    "validation": "validation",
    "id_test": "id-test",
    "ood_test": "ood-test",
}


def _warn(made: _Made) -> None:
    """What a user should know first: classes never trained on, small tests."""
    for name, shares in made.shares.items():
        absent = [c for c, p, q in zip(made.found.label.names, made.shares["train"], shares,
                                       strict=True) if q > 0 and p == 0]  # fmt: skip
        if absent:
            made.warnings.append(
                f"{name} has examples of {', '.join(absent[:5])}, of which train has none"
            )
        n = sum(made.groups[name].values())
        if name != "train" and n < FEW:
            made.warnings.append(f"{name} has {n} examples only: intervals on it are wide")


def _notes(made: _Made, source: Floats, wanted: Mapping[str, Floats]) -> dict[str, Any]:
    train = made.shares["train"]
    priors: dict[str, dict[str, Any]] = {}
    steps: dict[str, dict[str, Any]] = {}
    for name, shares in made.shares.items():
        intended = wanted.get(name, source)
        priors[name] = {
            "examples": sum(made.groups[name].values()),
            "total_variation_intended": _tv(intended, source),
            "total_variation": _tv(shares, train),
        }
        if made.settings.ordinal:
            priors[name]["earth_mover_intended"] = earth_mover(intended, source)
            priors[name]["earth_mover"] = earth_mover(shares, train)
        if name in wanted and "id_test" in made.shares:
            steps[name] = {
                "change": "class prior",
                "parameter": _tv(shares, train),
                "unit": "total variation",
                "made": "exact",
                "unchanged": "id_test",
                "kinds": ["label"],
            }
    notes: dict[str, Any] = {
        **HELD.note(),
        "priors": priors,
        "shared": "the OOD tests are nested draws from one pool and share examples with one "
        "another, so that between two of them only the prior differs; no cluster of theirs is in "
        "another split",
        "steps": steps,
        "groups": made.groups,
        "shift_columns": ["label", *(["time"] if made.orders else [])],
        "warnings": made.warnings,
    }
    if made.orders:
        notes["orders"] = made.orders
    return notes


def _tv(one: Floats, other: Floats) -> float:
    return 0.5 * float(np.abs(one - other).sum())
