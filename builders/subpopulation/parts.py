"""How large each split is, and what cannot be had: from tables of any size to splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from shiftbench.errors import ConfigurationError

from .cells import Counts, equal_cells, largest, quantum
from .filling import Filling, balanced_size, largest_size
from .paths import Path, fixed, leaning, majorities

if TYPE_CHECKING:
    from .builder import Subpopulations

__all__ = ["At", "Family", "Part", "PartMaker", "end", "start"]

Family = Callable[[int], Path]
"""From a number of examples to a path of that size."""

At = Callable[[Path], float]
"""Where on a path a config is."""

Sized = Callable[[str, Family], int]
"""The size of the split that takes from a pool."""


def start(_path: Path) -> float:
    """`At` the start of a path: where it is one table alone."""
    return 0.0


def end(_path: Path) -> float:
    """`At` the end of a path: where a sweep ties most."""
    return 1.0


@dataclass(frozen=True, eq=False)
class Part:
    """A split: the pool it takes from, and its table as a place on a path."""

    name: str
    role: str
    pool: str
    path: Path
    t: float = 0.0

    @property
    def table(self) -> Counts:
        """Its counts."""
        return self.path.table(self.t)


class PartMaker:
    """Makes the splits of the configs of one build.

    Parameters
    ----------
    options : Subpopulations
    filling : Filling
    shares : mapping
        Of the units, by pool but for ``train``.
    """

    def __init__(
        self, options: Subpopulations, filling: Filling, shares: Mapping[str, float]
    ) -> None:
        self.options, self.filling, self.shares = options, filling, shares
        self.k, self.m = len(filling.classes), len(filling.values)
        self.class_shares = _shares(options.class_shares, filling.classes, "class_shares")
        self.attribute_shares = _shares(
            options.attribute_shares, filling.values, "attribute_shares"
        )

    def size(self, family: Family, step: int, at: Sequence[At]) -> int:
        """Training examples: those asked for, or what any place on the path can be filled with."""
        most = largest_size(self.filling, "train", family, step)
        asked = self.options.size
        if not asked:
            if not most:
                self.refuse("train", family(max(step, self.k * self.m)).most, "training")
            return most

        def fits(n: int) -> bool:
            path = family(n)
            return all(self.filling.fits("train", path.table(a(path))) for a in at)

        if fits(asked):
            return asked
        found = largest(asked, fits)
        if self.options.fit and found:
            return found
        path = family(asked)
        for a in at:
            self.check(
                "train",
                path.table(a(path)),
                f"a training set of {asked}",
                lambda: f"the largest is {found} (--fit takes it)",
            )
        raise AssertionError("what does not fit lacks something")

    def parts(
        self,
        family: Family,
        at: At,
        size: int,
        step: int,
        sized: Sized | None = None,
        test: Part | None = None,
        tied: At = start,
    ) -> tuple[Part, ...]:
        """Every split of a config; tests do not depend on where on the path it is.

        Where training is tied at all, `tied` says which table of its path tells what to what.
        """

        def most(pool: str, family: Family) -> int:
            return largest_size(self.filling, pool, family, step)

        measure = sized or most

        def along(name: str, family: Family = family) -> Part | None:
            if not self.shares.get(name):
                return None
            path = family(measure(name, family))
            role = "ood_test" if name.startswith("ood_test") else name
            return Part(name, role, name, path, at(path)) if path.start.any() else None

        train = family(size)
        found = [
            Part("train", "train", "train", train, at(train)),
            along("validation"),
            along("id_test"),
            test or self._balanced(),
            along("ood_test_reversed", lambda n: family(n).mirrored()),
            along("train_unlabeled"),
            self._target(train.table(tied(train))),
        ]
        if found[2] is None:
            self.refuse("id_test", family(max(step, self.k * self.m)).start, "id_test")
        return tuple(part for part in found if part is not None)

    def _balanced(self) -> Part:
        each = balanced_size(self.filling, "ood_test", self.options.test_per_group)
        name = "ood_test_balanced" if self.options.reversed_test else "ood_test"
        cells = equal_cells(self.k, self.m, each)
        if not each:
            self.refuse("ood_test", cells + 1, "the balanced test")
        return Part(name, "ood_test", "ood_test", fixed(cells))

    def _target(self, tie: Counts) -> Part | None:
        """The unlabelled set of the target, its tie that of training by `target_ratio`."""
        pool = "target_unlabeled"
        if not self.shares.get(pool):
            return None
        ratio = self.options.target_ratio
        lean = 0 if ratio is None else ratio * self.m - 1
        even = [1 / self.k] * self.k, [1 / self.m] * self.m
        majority = majorities(tie) or tuple(i * self.m // self.k for i in range(self.k))

        def family(n: int) -> Path:
            return leaning(majority, self.m, n, towards=lean >= 0)

        path = family(largest_size(self.filling, pool, family, quantum(*even)))
        if not path.start.any():
            self.refuse(pool, family(self.k * self.m).start, "target_unlabeled")
        return Part(pool, pool, pool, path, lean / (self.m - 1) if lean > 0 else -lean)

    def check(self, pool: str, table: Counts, what: str, feasible: Callable[[], str]) -> None:
        """Refuse a table that a pool cannot fill; `feasible` says what can be."""
        if not self.filling.fits(pool, table):
            self.refuse(pool, table, what, feasible())

    def refuse(self, pool: str, table: Counts, what: str, feasible: str = "") -> NoReturn:
        """Say what a table lacks in a pool.

        Raises
        ------
        ConfigurationError
            Always.
        """
        lacking = self.filling.lacking(pool, table)
        told = ", ".join(
            f"{name} {asked} (there are {there})" for name, asked, there in lacking[:5]
        )
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise ConfigurationError(
            f"{what} cannot be filled: for the split {pool} it takes {told}{more}, clusters whole "
            f"and other splits' shares set aside; {feasible or 'no smaller size can be filled'}; "
            "give more examples, fewer groups, or other shares of the splits"
        )

    def beside(self, pool: str, family: Family, total: int) -> int:
        """The size of a split beside training: what the margins allow, or training's proportion."""

        def bound(n: int) -> bool:
            table = family(n).start
            most = np.minimum.outer(table.sum(axis=1), table.sum(axis=0))
            return self.filling.fits(pool, table) and bool((most <= there).all())

        there = self.filling.most(pool)
        upper = int(there.sum())
        train = 1 - sum(self.shares.values())
        beside = int(total * self.shares[pool] / train)
        in_proportion = largest(
            min(beside, upper), lambda n: self.filling.fits(pool, family(n).start)
        )
        return max(largest(upper, bound), in_proportion)


def _shares(given: Sequence[float], names: Sequence[str], what: str) -> list[float]:
    if not given:
        return [1 / len(names)] * len(names)
    if len(given) != len(names):
        raise ConfigurationError(
            f"{what} has {len(given)} numbers, but there are {len(names)}: {', '.join(names)}; "
            "give one each, in this order"
        )
    total = sum(given)
    return [g / total for g in given]
