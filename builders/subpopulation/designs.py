"""What tables of counts a design asks for: one config each, with all of its splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from shiftbench.errors import ConfigurationError

from .cells import Counts, common_divisor, cramers_v, largest, proportional, quantum
from .filling import Filling, group_name
from .parts import Part, PartMaker, end, start
from .paths import Path, association, fixed, nearest, rare, reach
from .table_text import parse_cells, parse_tables

if TYPE_CHECKING:
    from .builder import Subpopulations

__all__ = ["Design", "designs"]


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
    maker = PartMaker(options, filling, shares)
    match options.design:
        case "imbalance":
            return _imbalance(maker)
        case "generalization":
            return _generalization(maker)
        case "rare":
            return _rare(maker)
    return _sweep(maker) if options.levels else _tables(maker)


def _sweep(maker: PartMaker) -> list[Design]:
    p, q = maker.class_shares, maker.attribute_shares
    top = reach(p, q)
    for level in maker.options.levels:
        if level > top + 1e-6:
            raise ConfigurationError(
                f"a Cramér's V of {level:g} cannot be reached with the class shares "
                f"{_told(p)} and the attribute shares {_told(q)}: with classes and values tied "
                f"in their order ({_order(maker)}) the largest is {top:.4f}; lower the level, "
                "or change the shares or the order"
            )

    def family(n: int) -> Path:
        return association(p, q, n)

    step = quantum(p, q)
    wanted = [(level, lambda path, v=level: nearest(path, v)) for level in maker.options.levels]
    size = maker.size(family, step, [at for _, at in wanted])
    return [
        Design(
            f"V {level:g}",
            f"Class and attribute are tied by a Cramér's V of {level:g} in training; classes "
            f"({_told(p)}) and attribute values ({_told(q)}) are as common at every level.",
            maker.parts(family, at, size, step, tied=end),
            {"cramers_v_asked": level},
            ("correlation of class and attribute", level, "Cramér's V"),
        )
        for level, at in wanted
    ]


def _tables(maker: PartMaker) -> list[Design]:
    tables = parse_tables(maker.options.cells)
    shape = next(iter(tables.values())).shape
    if shape != (maker.k, maker.m):
        raise ConfigurationError(
            f"the cell tables have {shape[0]} rows and {shape[1]} columns, but there are "
            f"{maker.k} classes ({', '.join(maker.filling.classes)}) and {maker.m} attribute "
            f"values ({', '.join(maker.filling.values)}); name those to use with --classes and "
            "--values, in the order of the table"
        )
    asked = tables
    if maker.options.size:
        tables = {n: proportional(t, maker.options.size) for n, t in tables.items()}
        _check_whole(asked, tables, maker.options.size)
    wanted = tables
    if maker.options.fit:
        tables = _fitted(maker, tables)
    for name, table in tables.items():
        maker.check("train", table, f"the cell table {name!r}", lambda: _feasible(maker, wanted))
    return [_table(maker, name, table, asked[name]) for name, table in tables.items()]


def _table(maker: PartMaker, name: str, table: Counts, asked: Counts) -> Design:
    total = int(table.sum())

    def family(n: int) -> Path:
        return fixed(table if n == total else proportional(table, n))

    notes: dict[str, Any] = {
        "cells_asked": _rows(asked),
        "cramers_v_asked": round(cramers_v(asked), 6),
    }
    if (table != asked).any():
        notes["scaled"] = f"{total} of {int(asked.sum())} training examples"
    return Design(
        name,
        f"Training has exactly {_rows(table)} examples (rows: {', '.join(maker.filling.classes)}; "
        f"columns: {', '.join(maker.filling.values)}).",
        maker.parts(family, start, total, 1, lambda pool, own: maker.beside(pool, own, total)),
        notes,
    )


def _check_whole(asked: Mapping[str, Counts], tables: Mapping[str, Counts], size: int) -> None:
    for name, table in tables.items():
        if ((table > 0) != (asked[name] > 0)).any():
            raise ConfigurationError(
                f"size is {size}, too few for the cell table {name!r}, which has examples in "
                f"{int((asked[name] > 0).sum())} combinations; give a larger size"
            )


def _fitted(maker: PartMaker, tables: Mapping[str, Counts]) -> dict[str, Counts]:
    """All tables times one number of at most 1, the largest that the pool fills."""
    unit = common_divisor(list(tables.values()))
    whole = largest(
        unit,
        lambda g: all(maker.filling.fits("train", t // unit * g) for t in tables.values()),
    )
    if whole:
        return {n: t // unit * whole for n, t in tables.items()}
    top = max(int(t.sum()) for t in tables.values())

    def scaled(n: int) -> dict[str, Counts]:
        return {k: proportional(t, round(int(t.sum()) * n / top)) for k, t in tables.items()}

    n = largest(top, lambda n: all(maker.filling.fits("train", t) for t in scaled(n).values()))
    # Tables of other proportions, a cell of them empty, are not what was asked for.
    same = n and all(((t > 0) == (tables[k] > 0)).all() for k, t in scaled(n).items())
    return scaled(n) if same else dict(tables)


def _feasible(maker: PartMaker, tables: Mapping[str, Counts]) -> str:
    fitted = _fitted(maker, tables)
    if not all(maker.filling.fits("train", t) for t in fitted.values()):
        return "no size in these proportions can be filled"
    told = "; ".join(f"{n}:{_rows(t)}" for n, t in fitted.items())
    return f"the largest in the same proportions: {told} (--fit takes it)"


def _imbalance(maker: PartMaker) -> list[Design]:
    even = [1 / maker.k] * maker.k, [1 / maker.m] * maker.m
    kinds: dict[str, tuple[Sequence[float], Sequence[float]]] = {"balanced": even}
    if maker.options.attribute_shares:
        kinds["attribute imbalance"] = (even[0], list(maker.attribute_shares))
    if maker.options.class_shares:
        kinds["class imbalance"] = (list(maker.class_shares), even[1])
    words = {
        "balanced": "Every class and every attribute value is as common as the others: beside "
        "it each imbalance is measured alone.",
        "attribute imbalance": f"Attribute values have the shares {_told(maker.attribute_shares)}"
        " in every class; classes are as common as one another.",
        "class imbalance": f"Classes have the shares {_told(maker.class_shares)} with every "
        "attribute value; attribute values are as common as one another.",
    }
    families = {name: partial(_unrelated, *s) for name, s in kinds.items()}
    step = lcm(*(quantum(*s) for s in kinds.values()))
    step = step if step <= 1000 else 1
    sizes = [maker.size(f, step, [start]) for f in families.values()]
    return [
        Design(name, words[name], maker.parts(family, start, min(sizes), step))
        for name, family in families.items()
    ]


def _unrelated(class_shares: Sequence[float], attribute_shares: Sequence[float], n: int) -> Path:
    """One table alone, class and attribute independent."""
    return fixed(association(class_shares, attribute_shares, n).start)


def _generalization(maker: PartMaker) -> list[Design]:
    held = parse_cells(
        maker.options.held_out, maker.filling.classes, maker.filling.values, "held_out"
    )
    kept = np.ones((maker.k, maker.m), np.int64)
    kept[tuple(np.array(held).T)] = 0
    for axis, names, other in (
        (1, maker.filling.classes, "attribute value"),
        (0, maker.filling.values, "class"),
    ):
        bare = np.flatnonzero(~kept.any(axis=axis))
        if len(bare):
            raise ConfigurationError(
                f"held_out leaves no {other} with {names[bare[0]]!r} to train on; keep at "
                "least one combination of every class and of every attribute value"
            )

    def family(n: int) -> Path:
        rows = proportional(np.array(maker.class_shares), n)
        return fixed(np.array([proportional(a, r) for a, r in zip(kept, rows, strict=True)]))

    size = maker.size(family, 1, [start])
    upper = int(maker.filling.most("ood_test").max())
    limit = maker.options.test_per_group or upper
    each = largest(min(limit, upper), lambda n: maker.filling.fits("ood_test", (1 - kept) * n))
    if not each:
        maker.refuse("ood_test", 1 - kept, "the test of held-out combinations")
    test = Part("ood_test", "ood_test", "ood_test", fixed((1 - kept) * each))
    told = [group_name(maker.filling.classes, maker.filling.values, *cell) for cell in held]
    return [
        Design(
            "held out " + " ".join(told),
            f"{', '.join(told)} occur in the test alone; their classes and their attribute "
            "values are trained on in other combinations.",
            maker.parts(family, start, size, 1, test=test),
            {"held_out": told},
        )
    ]


def _rare(maker: PartMaker) -> list[Design]:
    name = maker.options.rare
    cell = parse_cells([name], maker.filling.classes, maker.filling.values, "rare")[0]

    def family(n: int) -> Path:
        return rare(maker.class_shares, maker.m, cell, n)

    step = quantum(maker.class_shares, [1 / maker.m] * maker.m)
    wanted = [(s, lambda _, t=s: t) for s in maker.options.rare_shares]
    size = maker.size(family, step, [at for _, at in wanted])
    return [
        Design(
            f"share {share:g}",
            f"{name} is {share:.3g} of its class in training; the other attribute values of "
            "the class share the rest, and other classes stay as they are.",
            maker.parts(family, at, size, step),
            {"rare": name, "rare_share_asked": share},
            (f"share of {name} in its class", share, ""),
        )
        for share, at in wanted
    ]


def _order(maker: PartMaker) -> str:
    return f"{', '.join(maker.filling.classes)} with {', '.join(maker.filling.values)}"


def _told(shares: Sequence[float]) -> str:
    return ", ".join(f"{s:.3g}" for s in shares)


def _rows(table: Counts) -> str:
    """A table as it is given: rows parted by /."""
    return "/".join(",".join(map(str, row)) for row in table.tolist())
