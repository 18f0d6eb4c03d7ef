"""Natural shift: two contexts of a column, matched on covariates, or set apart by a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel

from ..shared.assembly import Held, coded, split_plan
from ..shared.division import divide
from ..shared.labelled import Labelled
from .choosing import choose_contexts
from .contexts import Sides, context_slug, in_context, sides_of
from .counting import class_counts
from .made import Shares
from .matching import Matched, match_overlap, match_strata, unmatched

__all__ = ["Contrast", "natural_configs"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

HALVES = {"choosing": 0.5, "measuring": 0.5}


@dataclass(frozen=True)
class Contrast:
    """What is set against what: the options of `ConceptShift` that say so, by the same names."""

    by: str
    source_context: str
    target_contexts: tuple[str, ...]
    match: tuple[str, ...]
    method: Literal["strata", "overlap"]
    bins: int
    min_clusters: int
    covariate: bool

    @property
    def chosen(self) -> bool:
        """Contexts are chosen by the data."""
        return not (self.source_context and self.target_contexts)


def natural_configs(
    found: Labelled, contrast: Contrast, shares: Shares, seed: int
) -> tuple[ConfigPlan, ...]:
    """One config for each target context.

    Where contexts are chosen, or a propensity is fitted, that is done on one half of the clusters;
    the configs are made of the other. Of what is chosen because it is large nothing is measured on
    the data that it was chosen on.

    Raises
    ------
    ConfigurationError
        Contexts that are not there or too small, or that cannot be matched.
    """
    fitting = bool(contrast.match) and contrast.method == "overlap"
    everything = np.arange(len(found))
    choosing, measuring = everything[:0], everything
    if contrast.chosen or fitting:
        halves = divide(found, HALVES, seed, "concept halves")
        choosing, measuring = halves["choosing"], halves["measuring"]
    source, targets = contrast.source_context, contrast.target_contexts
    chosen: dict[str, Any] = {}
    if contrast.chosen:
        if not source and targets:
            raise ConfigurationError(
                "target_contexts is given without source_context; name the source too, or neither"
            )
        features = [c for c in found.metadata.columns if c != contrast.by]
        choice = choose_contexts(
            found, contrast.by, choosing, features, source, contrast.min_clusters, seed
        )
        source, targets, chosen = choice.source, (choice.target,), choice.notes
    names = {target: f"{context_slug(source)}_vs_{context_slug(target)}" for target in targets}
    if len(set(names.values())) < len(names):
        raise ConfigurationError(f"two of the target contexts {list(targets)} become one name")
    configs = []
    for target, name in names.items():
        both = [in_context(found, contrast.by, text) for text in (source, target)]
        sides = _within(found, both, measuring, contrast, (source, target), seed)
        matched = _matched(found, sides, both, choosing, contrast, seed)
        configs.append(
            _config(found, matched, sides, contrast, (source, target, name), shares, chosen, seed)
        )
    return tuple(configs)


def _within(
    found: Labelled,
    both: Sequence[Flags],
    rows: Codes,
    contrast: Contrast,
    names: tuple[str, str],
    seed: int,
) -> Sides:
    used = np.zeros(len(found), bool)
    used[rows] = True
    sides = sides_of(found, both[0] & used, both[1] & used, seed)
    for name, mine in zip(names, (sides.source, sides.target), strict=True):
        have = len(np.unique(found.cluster[mine]))
        if have < contrast.min_clusters:
            raise ConfigurationError(
                f"the context {name!r} of {contrast.by!r} has {have} independent units to build "
                f"from, of which {contrast.min_clusters} are needed; join it with others (A+B), "
                "or lower --min-clusters"
            )
    return sides


def _matched(
    found: Labelled,
    sides: Sides,
    both: Sequence[Flags],
    choosing: Codes,
    contrast: Contrast,
    seed: int,
) -> Matched:
    if not contrast.match:
        return unmatched(found, sides)
    least = contrast.min_clusters
    if contrast.method == "strata":
        return match_strata(found, sides, contrast.match, contrast.bins, least, seed)
    used = np.zeros(len(found), bool)
    used[choosing] = True
    fit = sides_of(found, both[0] & used, both[1] & used, seed)
    if not len(fit.source) or not len(fit.target):
        raise ConfigurationError(
            "one of the contexts has no example in the half that the propensity is fitted on; "
            "take method='strata', which needs none"
        )
    return match_overlap(found, sides, fit, contrast.match, least, seed)


def _config(
    found: Labelled,
    matched: Matched,
    sides: Sides,
    contrast: Contrast,
    names: tuple[str, str, str],
    shares: Shares,
    chosen: dict[str, Any],
    seed: int,
) -> ConfigPlan:
    source, target, name = names
    kind = "covariate" if contrast.covariate else "concept"
    sizes = {"id_test": shares.test, "validation": shares.validation}
    sizes["train"] = 1 - sum(sizes.values())
    # Each of the source's splits has the mix that the whole source was given.
    strata = matched.strata * len(found.label.names) + found.label.codes
    parts = divide(found, sizes, seed, "concept source", rows=matched.source, strata=strata)
    rest = {"target_unlabeled": shares.unlabeled, "ood": 1 - shares.unlabeled}
    of_target = divide(found, rest, seed, "concept target", rows=matched.target, strata=strata)
    splits = [
        _split(found, n, n, "none", parts[n])
        for n in ("train", "validation", "id_test")
        if len(parts[n])
    ]
    if len(of_target["target_unlabeled"]):
        rows = of_target["target_unlabeled"]
        none = {"label": pa.nulls(len(rows), pa.int64())}
        splits.append(split_plan("target_unlabeled", "target_unlabeled", kind, rows, none))
    splits.append(
        _split(
            found, f"ood_test_{context_slug(target)}", "ood_test", kind, of_target["ood"], target
        )
    )
    notes: dict[str, Any] = {
        **_held(contrast, source, target).note(),
        "groups": {s.name: class_counts(s, found.label.names) for s in splits},
        "shift_columns": [contrast.by],
        "contexts": {"by": contrast.by, "source": source, "target": target},
    }
    if matched.notes:
        notes["matching"] = matched.notes
    if matched.warnings:
        notes["warnings"] = list(matched.warnings)
    if chosen:
        notes["choice"] = {
            **chosen,
            "on": "half of the clusters; the benchmark is made of the other half",
        }
    if sides.n_divided:
        notes["clusters_in_both_contexts"] = (
            f"{sides.n_divided}; each was given to one of the two at random"
        )
    return ConfigPlan(
        name=name,
        features={"label": ClassLabel(found.label.names)},
        splits=tuple(splits),
        title=f"{source} → {target}",
        description=f"{kind.capitalize()} shift by {contrast.by}: {source} to {target}.",
        notes=notes,
    )


def _held(contrast: Contrast, source: str, target: str) -> Held:
    if contrast.covariate:
        return Held(
            "P(x) P(y | x)",
            "",
            "P(x)",
            f"examples were selected by {contrast.by!r} alone. As it is a feature, P(y | x) is the "
            "same wherever both sides have examples, but they share no value of it, so that no "
            "test can tell: it is not claimed to be fixed",
        )
    if not contrast.match:
        return Held(
            "P(x) P(y | x)",
            "",
            "P(y | x), and P(x) as far as the contexts differ in it",
            f"the contexts of {contrast.by!r} as they are, matched on nothing; see `balance`",
        )
    matched = ", ".join(contrast.match)
    product = "P(m) P(rest of x | m) P(y | x), m the matched columns"
    changed = "P(y | x), and P(rest of x | m) as far as the contexts differ in it"
    if contrast.method == "overlap":
        return Held(
            product,
            "",
            changed,
            f"P(m), m being {matched}, is made alike but not held: both sides are thinned by a "
            "propensity that was fitted on other clusters, and its error stays; what still differs "
            "is in `balance`",
        )
    return Held(
        product,
        f"P(stratum of m), m being {matched}",
        changed,
        "equal shares of every combination of their values, numbers cut into "
        f"{contrast.bins} ranges; inside a range they may differ, which is in `balance`",
    )


def _split(
    found: Labelled, name: str, role: str, shift: str, rows: Codes, title: str = ""
) -> SplitPlan:
    columns = {"label": coded(found.label.codes[rows])}
    return split_plan(name, role, shift, rows, columns, title=title)
