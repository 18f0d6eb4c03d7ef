"""What the options of `Subpopulations` must be, before any data are seen."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from shiftbench.errors import ConfigurationError

from ..shared.assembly import check_texts
from .table_text import parse_grouped, parse_tables

if TYPE_CHECKING:
    from .builder import Subpopulations

__all__ = ["check_options"]

_NEEDS = {
    "imbalance": ("attribute_shares", "class_shares"),
    "generalization": ("held_out",),
    "rare": ("rare",),
    "counter": ("reference",),
}


def check_options(options: Subpopulations) -> None:
    """Refuse options that no data could be built with.

    Raises
    ------
    ConfigurationError
        What is wrong, what is allowed.
    """
    check_texts(options, "classes", "values", "cells", "held_out", "variants")
    for name in ("levels", "class_shares", "attribute_shares", "rare_shares"):
        object.__setattr__(options, name, tuple(getattr(options, name)))
    _check_design(options)
    _check_numbers(options)
    parse_grouped(options.classes, "classes")
    parse_grouped(options.values, "values")
    if options.cells:
        parse_tables(options.cells)


def _check_design(options: Subpopulations) -> None:
    design = options.design
    if design in ("density", "adawac"):
        return
    if design == "counter":
        if options.make:
            raise ConfigurationError("counter contexts are of an attribute that is there, not made")
    elif bool(options.make) == bool(options.attribute):
        raise ConfigurationError(
            "name the attribute: a column or 'context' with --attribute, or one to make on images "
            "with --make; one of the two"
        )
    if options.make and any("=" in v for v in options.values):
        raise ConfigurationError(
            f"values of the made attribute {options.make!r} cannot be joined with '='"
        )
    if design == "cells" and bool(options.cells) == bool(options.levels):
        given = "both are given (one perhaps by a preset)" if options.cells else "neither is given"
        raise ConfigurationError(
            "the design 'cells' needs either tables (--cells name:90,10/10,90) or levels of "
            f"Cramér's V (--levels 0 0.5 0.9), and {given}"
        )
    needs = _NEEDS.get(design, ())
    if needs and not any(getattr(options, n) for n in needs):
        told = " or ".join(f"--{n.replace('_', '-')}" for n in needs)
        raise ConfigurationError(f"the design {design!r} needs {told}")
    if options.reversed_test and design != "cells":
        raise ConfigurationError(
            f"reversed_test turns round the tie of the design 'cells'; {design!r} has none"
        )
    if design == "imbalance" and options.target_ratio is not None:
        raise ConfigurationError(
            f"target_ratio is {options.target_ratio:g}, a share of what training ties each class "
            "to; in the design 'imbalance' class and attribute are independent: leave it out"
        )
    if design == "cells" and options.cells and (options.class_shares or options.attribute_shares):
        raise ConfigurationError(
            "cell tables say how common classes and attribute values are; leave class_shares and "
            "attribute_shares out, or give levels instead of cells"
        )


def _check_numbers(options: Subpopulations) -> None:
    for name in ("levels", "rare_shares"):
        numbers = getattr(options, name)
        if not all(isfinite(v) and 0 <= v <= 1 for v in numbers):
            raise ConfigurationError(f"{name} are {_told(numbers)}; allowed: from 0 to 1")
        if len({f"{v:g}" for v in numbers}) < len(numbers):
            raise ConfigurationError(f"{name} names a number twice: {_told(numbers)}")
    for name in ("class_shares", "attribute_shares"):
        numbers = getattr(options, name)
        if numbers and not all(isfinite(v) and v > 0 for v in numbers):
            raise ConfigurationError(f"{name} are {_told(numbers)}; give numbers above 0")
    for name in ("size", "test_per_group"):
        if getattr(options, name) < 0:
            raise ConfigurationError(f"{name} is {getattr(options, name)}; allowed: 0 and above")
    if options.min_size < 1:
        raise ConfigurationError(f"min_size is {options.min_size}; allowed: 1 and above")
    if options.target_ratio is not None and not 0 <= options.target_ratio <= 1:
        raise ConfigurationError(f"target_ratio is {options.target_ratio:g}; allowed: from 0 to 1")
    shares = ("validation", "test", "train_unlabeled", "target_unlabeled")
    if not all(0 <= getattr(options, n) < 1 for n in shares) or options.test <= 0:
        raise ConfigurationError(
            ", ".join(f"{n} is {getattr(options, n):g}" for n in shares)
            + "; allowed: from 0 and below 1, test above 0"
        )


def _told(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in numbers)
