"""What tables of counts a design asks for: one config each, with all of its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from shiftbench.errors import ConfigurationError, near_names

from .cells import Counts, common_divisor, equal_cells, largest, proportional, quantum
from .filling import Filling, balanced_size, group_name, largest_size
from .paths import Path, association, fixed, nearest, rare, reach
from .table_text import parse_tables

if TYPE_CHECKING:
    from .builder import Subpopulations

__all__ = ["Design", "Part", "designs", "held_out_cells"]

Family = Callable[[int], Path]
"""From a number of examples to a path of that size."""

At = Callable[[Path], float]
"""Where on a path the config is."""


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


@dataclass(frozen=True, eq=False)
class Design:
    """A config before its examples are named."""

    title: str
    description: str
    parts: tuple[Part, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)
    step: tuple[str, float, str] | None = None
    """What is changed, how much, in which unit: for the table of severities."""


def designs(options: Subpopulations, filling: Filling, shares: Mapping[str, float]) -> list[Design]:
    """The configs that are asked for.

    Parameters
    ----------
    options : Subpopulations
    filling : Filling
    shares : mapping
        Of the units, by pool but for ``train``.

    Raises
    ------
    ConfigurationError
        Tables that the examples cannot fill, or a tie that the margins do not allow.
    """
    maker = _Maker(options, filling, shares)
    match options.design:
        case "imbalance":
            return maker.imbalance()
        case "generalization":
            return maker.generalization()
        case "rare":
            return maker.rare()
    return maker.sweep() if options.levels else maker.tables()


def held_out_cells(
    texts: Sequence[str], classes: Sequence[str], values: Sequence[str], what: str
) -> list[tuple[int, int]]:
    """Cells by their names, such as ``cat(outdoor)``.

    Raises
    ------
    ConfigurationError
        There is no such class or value.

    Examples
    --------
    >>> held_out_cells(["dog(indoor)"], ["cat", "dog"], ["indoor", "outdoor"], "held_out")
    [(1, 0)]
    """
    found = []
    for text in texts:
        row, _, column = text.rstrip().removesuffix(")").rpartition("(")
        for name, known, kind in ((row, classes, "class"), (column, values, "attribute value")):
            if name not in known:
                raise ConfigurationError(
                    f"{what} names {text!r}, but there is no {kind} {name!r}; "
                    f"{near_names(name, known)}; write class(value)"
                )
        found.append((classes.index(row), values.index(column)))
    return found


class _Maker:
    def __init__(
        self, options: Subpopulations, filling: Filling, shares: Mapping[str, float]
    ) -> None:
        self.options, self.filling, self.shares = options, filling, shares
        self.k, self.m = len(filling.classes), len(filling.values)
        self.class_shares = _shares(options.class_shares, filling.classes, "class_shares")
        self.attribute_shares = _shares(
            options.attribute_shares, filling.values, "attribute_shares"
        )

    def sweep(self) -> list[Design]:
        p, q = self.class_shares, self.attribute_shares
        top = reach(p, q)
        for level in self.options.levels:
            if level > top + 1e-6:
                raise ConfigurationError(
                    f"a Cramér's V of {level:g} cannot be reached with the class shares "
                    f"{_told(p)} and the attribute shares {_told(q)}: with classes and values tied "
                    f"in their order ({self._order()}) the largest is {top:.4f}; lower the level, "
                    "or change the shares or the order"
                )

        def family(n: int) -> Path:
            return association(p, q, n)

        step = quantum(p, q)
        wanted = [(level, lambda path, v=level: nearest(path, v)) for level in self.options.levels]
        size = self._size(family, step, [at for _, at in wanted])
        return [
            Design(
                f"V {level:g}",
                f"Class and attribute are tied by a Cramér's V of {level:g} in training; classes "
                f"({_told(p)}) and attribute values ({_told(q)}) are as common at every level.",
                self._parts(family, at, size, step),
                {"cramers_v_asked": level},
                ("correlation of class and attribute", level, "Cramér's V"),
            )
            for level, at in wanted
        ]

    def tables(self) -> list[Design]:
        tables = parse_tables(self.options.cells)
        shape = next(iter(tables.values())).shape
        if shape != (self.k, self.m):
            raise ConfigurationError(
                f"the cell tables have {shape[0]} rows and {shape[1]} columns, but there are "
                f"{self.k} classes ({', '.join(self.filling.classes)}) and {self.m} attribute "
                f"values ({', '.join(self.filling.values)}); name those to use with --classes and "
                "--values, in the order of the table"
            )
        asked = tables
        if self.options.size:
            tables = {n: proportional(t, self.options.size) for n, t in tables.items()}
        wanted = tables
        if self.options.fit:
            tables = self._fitted(tables)
        made = []
        for name, table in tables.items():
            self._check("train", table, f"the cell table {name!r}", lambda: self._feasible(wanted))
            total = int(table.sum())

            def family(n: int, table: Counts = table) -> Path:
                return fixed(proportional(table, n))

            notes: dict[str, Any] = {"cells_asked": _rows(asked[name])}
            if (table != asked[name]).any():
                notes["scaled"] = f"{total} of {int(asked[name].sum())} training examples"
            made.append(
                Design(
                    name,
                    f"Training has exactly {_rows(table)} examples (rows: "
                    f"{', '.join(self.filling.classes)}; columns: "
                    f"{', '.join(self.filling.values)}).",
                    self._parts(
                        family, _start, total, 1, lambda pool, f=family: self._beside(pool, f, total)
                    ),
                    notes,
                )
            )
        return made

    def _beside(self, pool: str, family: Family, total: int) -> int:
        """The size of a split beside training: what the margins allow, or training's proportion."""

        def bound(n: int) -> bool:
            table = family(n).start
            most = np.minimum.outer(table.sum(axis=1), table.sum(axis=0))
            return self.filling.fits(pool, table) and bool((most <= there).all())

        there = self.filling.most(pool)
        upper = int(there.sum())
        train = 1 - sum(self.shares.values())
        beside = int(total * self.shares[pool] / train)
        in_proportion = largest(min(beside, upper), lambda n: self.filling.fits(pool, family(n).start))
        return max(largest(upper, bound), in_proportion)

    def _fitted(self, tables: Mapping[str, Counts]) -> dict[str, Counts]:
        """All tables times one number of at most 1, the largest that the pool fills."""
        unit = common_divisor(list(tables.values()))
        whole = largest(
            unit,
            lambda g: all(self.filling.fits("train", t // unit * g) for t in tables.values()),
        )
        if whole:
            return {n: t // unit * whole for n, t in tables.items()}
        top = max(int(t.sum()) for t in tables.values())

        def scaled(n: int) -> dict[str, Counts]:
            return {k: proportional(t, round(int(t.sum()) * n / top)) for k, t in tables.items()}

        n = largest(top, lambda n: all(self.filling.fits("train", t) for t in scaled(n).values()))
        return scaled(n) if n else dict(tables)

    def _feasible(self, tables: Mapping[str, Counts]) -> str:
        fitted = self._fitted(tables)
        if not all(self.filling.fits("train", t) for t in fitted.values()):
            return "no size in these proportions can be filled"
        told = "; ".join(f"{n}:{_rows(t)}" for n, t in fitted.items())
        return f"the largest in the same proportions: {told} (--fit takes it)"

    def imbalance(self) -> list[Design]:
        even = [1 / self.k] * self.k, [1 / self.m] * self.m
        kinds = {"balanced": even}
        if self.options.attribute_shares:
            kinds["attribute imbalance"] = (even[0], list(self.attribute_shares))
        if self.options.class_shares:
            kinds["class imbalance"] = (list(self.class_shares), even[1])
        words = {
            "balanced": "Every class and every attribute value is as common as the others: beside "
            "it each imbalance is measured alone.",
            "attribute imbalance": f"Attribute values have the shares {_told(self.attribute_shares)}"
            " in every class; classes are as common as one another.",
            "class imbalance": f"Classes have the shares {_told(self.class_shares)} with every "
            "attribute value; attribute values are as common as one another.",
        }
        families = {
            name: (lambda n, s=s: Path(association(*s, n).start)) for name, s in kinds.items()
        }
        step = lcm(*(quantum(*s) for s in kinds.values()))
        step = step if step <= 1000 else 1
        sizes = [self._size(f, step, [_start]) for f in families.values()]
        return [
            Design(name, words[name], self._parts(family, _start, min(sizes), step))
            for name, family in families.items()
        ]

    def generalization(self) -> list[Design]:
        held = held_out_cells(
            self.options.held_out, self.filling.classes, self.filling.values, "held_out"
        )
        kept = np.ones((self.k, self.m), np.int64)
        kept[tuple(np.array(held).T)] = 0
        for axis, names, other in (
            (1, self.filling.classes, "attribute value"),
            (0, self.filling.values, "class"),
        ):
            bare = np.flatnonzero(~kept.any(axis=axis))
            if len(bare):
                raise ConfigurationError(
                    f"held_out leaves no {other} with {names[bare[0]]!r} to train on; keep at "
                    "least one combination of every class and of every attribute value"
                )

        def family(n: int) -> Path:
            rows = proportional(np.array(self.class_shares), n)
            return fixed(np.array([proportional(a, r) for a, r in zip(kept, rows, strict=True)]))

        size = self._size(family, 1, [_start])
        upper = int(self.filling.most("ood_test").max())
        limit = self.options.test_per_group or upper
        each = largest(
            min(limit, upper), lambda n: self.filling.fits("ood_test", (1 - kept) * n)
        )
        if not each:
            self._refuse("ood_test", 1 - kept, "the test of held-out combinations", "")
        test = Part("ood_test", "ood_test", "ood_test", fixed((1 - kept) * each))
        names = [group_name(self.filling.classes, self.filling.values, *cell) for cell in held]
        return [
            Design(
                "held out " + " ".join(names),
                f"{', '.join(names)} occur in the test alone; their classes and their attribute "
                "values are trained on in other combinations.",
                self._parts(family, _start, size, 1, test=test),
                {"held_out": names},
            )
        ]

    def rare(self) -> list[Design]:
        name = self.options.rare
        cell = held_out_cells([name], self.filling.classes, self.filling.values, "rare")[0]

        def family(n: int) -> Path:
            return rare(self.class_shares, self.m, cell, n)

        step = quantum(self.class_shares, [1 / self.m] * self.m)
        wanted = [(s, lambda _, t=s: t) for s in self.options.rare_shares]
        size = self._size(family, step, [at for _, at in wanted])
        return [
            Design(
                f"share {share:g}",
                f"{name} is {share:.3g} of its class in training; the other attribute values of "
                "the class share the rest, and other classes stay as they are.",
                self._parts(family, at, size, step),
                {"rare": name, "rare_share_asked": share},
                (f"share of {name} in its class", share, ""),
            )
            for share, at in wanted
        ]

    def _size(self, family: Family, step: int, at: Sequence[At]) -> int:
        """Training examples: those asked for, or what any place on the path can be filled with."""
        most = largest_size(self.filling, "train", family, step)
        asked = self.options.size
        if not asked:
            if not most:
                self._refuse("train", family(max(step, self.k * self.m)).most, "training", "")
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
            self._check(
                "train",
                path.table(a(path)),
                f"a training set of {asked}",
                lambda: f"the largest is {found} (--fit takes it)",
            )
        raise AssertionError("what does not fit lacks something")

    def _parts(
        self,
        family: Family,
        at: At,
        size: int,
        step: int,
        beside: Callable[[str], int] | None = None,
        test: Part | None = None,
    ) -> tuple[Part, ...]:
        """Every split of a config; tests do not depend on where on the path it is."""

        def sized(pool: str, family: Family) -> int:
            if beside is not None and pool != "ood_test_reversed":
                return beside(pool)
            return largest_size(self.filling, pool, family, step)

        def along(name: str, family: Family = family) -> Part | None:
            if not self.shares.get(name):
                return None
            path = family(sized(name, family))
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
            self._target(),
        ]
        if found[2] is None:
            self._refuse("id_test", family(max(step, self.k * self.m)).start, "id_test", "")
        return tuple(part for part in found if part is not None)

    def _balanced(self) -> Part:
        each = balanced_size(self.filling, "ood_test", self.options.test_per_group)
        name = "ood_test_balanced" if self.options.reversed_test else "ood_test"
        cells = equal_cells(self.k, self.m, each)
        if not each:
            self._refuse("ood_test", cells + 1, "the balanced test", "")
        return Part(name, "ood_test", "ood_test", fixed(cells))

    def _target(self) -> Part | None:
        """The unlabelled set of the target, its tie given by `target_ratio`."""
        pool = "target_unlabeled"
        if not self.shares.get(pool):
            return None
        lean = 2 * self.options.target_ratio - 1
        even = [1 / self.k] * self.k, [1 / self.m] * self.m

        def family(n: int) -> Path:
            return association(*even, n, sign=1 if lean >= 0 else -1)

        path = family(largest_size(self.filling, pool, family, quantum(*even)))
        if not path.start.any():
            self._refuse(pool, family(self.k * self.m).start, "target_unlabeled", "")
        return Part(pool, pool, pool, path, abs(lean))

    def _check(self, pool: str, table: Counts, what: str, feasible: Callable[[], str]) -> None:
        if not self.filling.fits(pool, table):
            self._refuse(pool, table, what, feasible())

    def _refuse(self, pool: str, table: Counts, what: str, feasible: str) -> None:
        lacking = self.filling.lacking(pool, table)
        told = ", ".join(f"{name} {asked} (there are {there})" for name, asked, there in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise ConfigurationError(
            f"{what} cannot be filled: for the split {pool} it takes {told}{more}, clusters whole "
            f"and other splits' shares set aside; {feasible or 'no smaller size can be filled'}; "
            "give more examples, fewer groups, or other shares of the splits"
        )

    def _order(self) -> str:
        return f"{', '.join(self.filling.classes)} with {', '.join(self.filling.values)}"


def _start(path: Path) -> float:
    return 0.0


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


def _told(shares: Sequence[float]) -> str:
    return ", ".join(f"{s:.3g}" for s in shares)


def _rows(table: Counts) -> str:
    """A table as it is given: rows parted by /."""
    return "/".join(",".join(map(str, row)) for row in table.tolist())
