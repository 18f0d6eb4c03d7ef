"""Grading: numbers in, numbers out. Plain arrays, any framework, every value with its interval."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES: dict[str, tuple[str, ...]] = {
    "calibration": (
        "calibration_bins",
        "calibration_error",
    ),
    "classification": ("classification_metrics",),
    "comparison": (
        "ModelComparison",
        "compare_models",
    ),
    "compatibility": (
        "openood_v1_5",
        "pytorch_ood",
        "wilds",
    ),
    "curves": (
        "Curve",
        "Fit",
        "curve",
    ),
    "detection": (
        "ood",
        "ood_difference",
    ),
    "detectors": ("compare_detectors",),
    "findings": (
        "finding_metrics",
        "findings_table",
    ),
    "gaps": ("gap",),
    "groups": (
        "MISSING",
        "Groups",
        "column_groups",
        "groups_of",
    ),
    "independent_patches": ("effective_patches",),
    "line": (
        "Line",
        "accuracy_on_the_line",
        "effective_robustness",
    ),
    "ood_curves": (
        "MINIMUM_SETS",
        "OodCurve",
        "near_far_means",
        "ood_against_distance",
    ),
    "ood_resampling": (
        "OodBootstrap",
        "ood_bootstrap",
        "ood_difference_bootstrap",
    ),
    "patch_curves": (
        "PatchCurve",
        "ood_by_patches",
    ),
    "patches": (
        "Aggregated",
        "aggregate",
    ),
    "points": (
        "PrPoints",
        "RocPoints",
        "pr_points",
        "roc_points",
    ),
    "ranking": ("Ranking", "rank_models", "rank_sets", "ranking_of"),
    "regression": (
        "regression_by_group",
        "regression_metrics",
    ),
    "seeds": (
        "SPREADS",
        "VarianceComponents",
        "spread",
        "variance_components",
    ),
    "selective": (
        "RiskCoveragePoints",
        "risk_coverage",
        "risk_coverage_points",
    ),
    "subpopbench_report": ("subpopbench",),
    "subpopulations": (
        "GroupAccuracy",
        "Subpopulations",
        "group_accuracy",
        "subpopulation",
    ),
    "thresholds": (
        "Threshold",
        "rates_at",
        "rates_of_splits",
        "threshold_at",
    ),
    "york": (
        "York",
        "york_line",
    ),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}
"""Public name → module of this folder that has it; imported when first used."""

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"shiftbench.evaluation.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
