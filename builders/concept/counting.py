"""How many examples of each class a split has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from shiftbench.plan import SplitPlan

__all__ = ["class_counts"]


def class_counts(split: SplitPlan, classes: Sequence[str]) -> dict[str, int]:
    """Examples of each class, for the notes `groups`; those without a label are not counted."""
    codes = pc.fill_null(split.rows["label"], len(classes)).to_numpy()
    counts = np.bincount(codes, minlength=len(classes))[: len(classes)]
    return dict(zip(classes, counts.tolist(), strict=True))
