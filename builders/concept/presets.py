"""Published designs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS"]

# `fnlwgt` is a survey weight. `relationship` (husband, wife) tells sex; with it the two sexes have
# no overlap. `education` says in words what `education-num` says in numbers, and native-country has
# too many levels to be compared at equal x.
_ADULT: Mapping[str, Any] = {
    "name": "table",
    "missing": ("?",),
    "drop": ("fnlwgt", "relationship", "education", "native-country"),
    "license": "cc-by-4.0",
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "adult_sex": {
        "source": _ADULT,
        "design": "natural",
        "label": "income-per-year",
        "by": "sex",
        "source_context": "Male",
        "target_contexts": ("Female",),
        "match": ("age", "education-num", "hours-per-week", "marital-status"),
        "bins": 10,
    },
    "adult_workclass": {
        "source": _ADULT,
        "design": "natural",
        "label": "income-per-year",
        "by": "workclass",
        "source_context": "Private",
        "target_contexts": (
            "Self-emp-not-inc",
            "Self-emp-inc",
            "Federal-gov+Local-gov+State-gov",
        ),
        "match": ("age", "education-num", "hours-per-week", "sex"),
        "bins": 10,
    },
    "adult_age": {
        "source": _ADULT,
        "design": "covariate",
        "label": "income-per-year",
        "by": "age",
        "source_context": "..40",
        "target_contexts": ("40..55", "55.."),
    },
    "digits_flip": {
        "source": {"name": "digits"},
        "design": "made",
        "rule": "flip",
        "disagreement": (0.0, 0.05, 0.1, 0.2, 0.4),
    },
    "simulated_grid": {
        "source": {
            "name": "simulated_tables",
            "delta": (0.0, 1.0),
            "gamma": (0.0, 2.0),
            "omitted": (0.0, 1.0),
        },
        "design": "simulated",
        "label": "label",
    },
}
