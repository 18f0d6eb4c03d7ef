"""Options of `ConceptShift` that contradict one another, or that nothing can be made of."""

from __future__ import annotations

from typing import Any

from shiftbench.errors import ConfigurationError

from .rules import parse_condition

__all__ = ["check_options"]

_ALLOWED = {
    "design": ("made", "natural", "covariate", "simulated"),
    "rule": ("flip", "region", "threshold", "annotators"),
    "noise_unit": ("example", "cluster"),
    "direction": ("up", "down"),
    "target": ("halves", "same"),
    "method": ("strata", "overlap"),
}


def check_options(builder: Any) -> None:
    """Refuse what cannot be built, before any data are read; put lists in their form.

    Raises
    ------
    ConfigurationError
        With what is allowed.
    """
    _check_chosen(builder)
    _check_shares(builder)
    if builder.design == "made":
        _check_made(builder)
    elif builder.design in ("natural", "covariate"):
        _check_natural(builder)


def _check_chosen(builder: Any) -> None:
    for name, allowed in _ALLOWED.items():
        if getattr(builder, name) not in allowed:
            raise ConfigurationError(
                f"{name} is {getattr(builder, name)!r}; allowed: {', '.join(allowed)}"
            )
    if isinstance(builder.noise_to, str):
        raise ConfigurationError(f"noise_to is the text {builder.noise_to!r}; give a list of texts")
    # Two classes may become the same one, so that this list may say a name twice.
    object.__setattr__(builder, "noise_to", tuple(builder.noise_to))


def _check_shares(builder: Any) -> None:
    parts = 2 if builder.design == "made" and builder.target == "halves" else 1
    unlabeled = builder.unlabeled if builder.design == "made" else 0.0
    for name in ("validation", "test", "unlabeled"):
        value = getattr(builder, name)
        if not 0 <= value < 1 or (name == "test" and value == 0):
            raise ConfigurationError(
                f"{name} is {value:g}; it is a share, at least 0 and below 1"
                + (", and of the test above 0" if name == "test" else "")
            )
    taken = builder.validation + parts * builder.test + unlabeled
    if taken >= 1:
        raise ConfigurationError(
            f"validation {builder.validation:g}, {parts} × test {builder.test:g} and unlabeled "
            f"{unlabeled:g} leave nothing to train on; give smaller shares"
        )
    if builder.bins < 2 or builder.min_clusters < 2:
        raise ConfigurationError(
            f"bins is {builder.bins} and min_clusters {builder.min_clusters}; allowed: 2 and above"
        )


def _check_made(builder: Any) -> None:
    wanted = builder.disagreement
    if isinstance(wanted, int | float) or not wanted or not all(0 <= d <= 1 for d in wanted):
        raise ConfigurationError(
            f"disagreement is {wanted!r}; give one or several shares from 0 to 1"
        )
    object.__setattr__(builder, "disagreement", tuple(sorted({float(d) for d in wanted})))
    needs = {"region": ("region", builder.region), "threshold": ("threshold_column",
             builder.threshold_column)}  # fmt: skip
    for rule, (option, given) in needs.items():
        if builder.rule == rule and not given:
            raise ConfigurationError(f"rule {rule!r} needs the option {option}")
        if builder.rule != rule and given:
            raise ConfigurationError(
                f"{option} is given, which only rule {rule!r} reads; the rule is {builder.rule!r}"
            )
    if builder.annotator and builder.rule != "annotators":
        raise ConfigurationError(
            f"annotator is given, which only rule 'annotators' reads; the rule is {builder.rule!r}"
        )
    for condition in builder.region:
        parse_condition(condition)
    if builder.rule == "threshold":
        if builder.label or builder.classes or builder.noise_from or builder.noise_to:
            raise ConfigurationError(
                "rule 'threshold' makes the label from threshold_column; leave out label, classes, "
                "noise_from and noise_to"
            )
        if not 0 < builder.threshold_quantile < 1:
            raise ConfigurationError(
                f"threshold_quantile is {builder.threshold_quantile:g}; it lies between 0 and 1"
            )


def _check_natural(builder: Any) -> None:
    if not builder.by:
        raise ConfigurationError(
            f"design {builder.design!r} needs the option by: the column whose values set source "
            "and target apart"
        )
    if builder.by in builder.match:
        raise ConfigurationError(
            f"match names {builder.by!r}, which sets source and target apart: they have no value "
            "of it in common; leave it out"
        )
    if builder.design == "covariate":
        if builder.match:
            raise ConfigurationError("design 'covariate' matches nothing; leave out match")
        if not (builder.source_context and builder.target_contexts):
            raise ConfigurationError(
                "design 'covariate' needs source_context and target_contexts, such as ..40 and "
                "40.. of a column of numbers"
            )
