"""Label-dense and label-sparse examples of a segmentation task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, Image, ListOf, Metadata, Value

from ..shared.assembly import Held, coded, split_plan
from ..shared.categories import Categories
from ..shared.division import divide
from .density_groups import NAMES, grouped, volumes
from .density_slices import VARIANTS, Slices, Taking

__all__ = ["VARIANTS", "density_configs"]

Codes = NDArray[np.int64]

_DESCRIBED = {
    "full": "every example",
    "half_volume": "every example of half of the volumes",
    "half_slice": "half of the examples of each volume",
    "half_volume_sparse": "of half of the volumes the sparse examples and half of the dense ones",
    "half_slice_sparse": "half of the examples, a sparse one twice as likely as a dense one",
    "dense": "the dense examples alone",
}

_IN_ORDER = {
    "half_slice": "every second example of each volume",
    "half_volume_sparse": "the half of the volumes with the largest share of sparse examples",
    "half_slice_sparse": "the examples of each volume up to its middle",
}

ALIAS = (
    "AdaWAC (ICML 2023) calls this concept shift. Dense and sparse examples differ in x as well: "
    "what changes is the share of the two, a subpopulation shift"
)


def density_configs(
    metadata: Metadata,
    seed: int,
    excluded: frozenset[str] = frozenset(),
    *,
    share: str = "mask_share",
    threshold: float = 0.0,
    dense: int | None = None,
    volume: str = "",
    variants: Sequence[str] = (),
    taking: Taking = "random",
    label: str = "",
    validation: float = 0.1,
    test: float = 0.4,
) -> tuple[Metadata, list[ConfigPlan], dict[str, int]]:
    """One config a variant: the metadata to plan with, the configs, and `Plan.counts`.

    Takes the source's metadata, not `Labelled`: a segmentation task needs no class. The training
    examples differ among the configs; the OOD tests (dense alone, sparse alone) are the same in
    all, and each is of clusters of its own.

    Parameters
    ----------
    metadata : Metadata
    seed : int
    excluded : frozenset of str
        Examples not to use.
    share : str
        Column with the labelled share of each example's pixels, or their number.
    threshold : float
        Dense is an example whose share is larger.
    dense : int, optional
        How many of the examples are dense, instead of a threshold.
    volume : str
        Column with the volume of each slice; by default the cluster.
    variants : sequence of str
        Of `VARIANTS`, by default all; see `density_slices.Slices.take`.
    taking : {"random", "order"}
        How slices are taken: at random, which holds what the dense and the sparse ones look like
        fixed; or by their place in the volume (the order of their ids) as AdaWAC does, which does
        not.
    label : str
        Column of a class, if there is one.
    validation, test : float
        Shares of the clusters; three tests share theirs equally.

    Raises
    ------
    ConfigurationError
        Columns that are not there or cannot be used, one kind of example only, too few clusters.

    References
    ----------
    Dong, Xie & Ward 2023, ICML (AdaWAC). With taking="order" its lists of Synapse follow: slices
    0, 2, 4, … of each volume (1,111 of 2,211) and slices 0 to n // 2 (1,118), checked against the
    lists in its repository; which volumes its two halves have, it does not say.
    """
    if min(validation, test) < 0 or not validation + test < 1:
        raise ConfigurationError(
            f"validation is {validation:g} and test {test:g}; allowed: shares that leave some of "
            "the clusters for training"
        )
    found, classes, cut = grouped(
        metadata, excluded, label=label, share=share, threshold=threshold, dense=dense
    )
    slices = volumes(found, volume, seed, taking)
    third = test / 3
    shares = {"train": 1 - validation - test, "validation": validation}
    shares |= {"id_test": third, "first": third, "second": third}
    parts = divide(found, shares, seed, "density parts")
    notes: dict[str, Any] = {
        "shift_columns": [share, "group"],
        "also called": ALIAS,
        "threshold": cut,
        "warnings": [] if isinstance(metadata.content.get("mask"), Image) else [_NO_MASK],
    }
    wanted = dict.fromkeys(variants or VARIANTS)
    configs = [_config(variant, slices, classes, parts, notes) for variant in wanted]
    return found.metadata, configs, found.counts


_NO_MASK = (
    "the source gives no column 'mask' of images: dense and sparse examples are told apart by a "
    "column, and a segmentation model has nothing to learn from here"
)


def _config(
    variant: str,
    slices: Slices,
    classes: Categories | None,
    parts: Mapping[str, Codes],
    notes: Mapping[str, Any],
) -> ConfigPlan:
    dense = slices.dense
    first, second = parts["first"], parts["second"]
    wanted = {
        "train": ("train", slices.take(parts["train"], variant)),
        "validation": ("validation", slices.take(parts["validation"], variant, test=True)),
        "id_test": ("id_test", slices.take(parts["id_test"], variant, test=True)),
    }
    if variant == "dense":
        wanted["ood_test_mixed"] = ("ood_test", first)
    else:
        wanted["ood_test_dense"] = ("ood_test", first[dense[first]])
    wanted["ood_test_sparse"] = ("ood_test", second[~dense[second]])
    if not len(parts["validation"]):
        del wanted["validation"]
    for name, (_, rows) in wanted.items():
        if not len(rows):
            raise ConfigurationError(
                f"the split {name} of {variant!r} has no example: there are {int(dense.sum())} "
                f"dense and {int((~dense).sum())} sparse ones in {len(slices.volume.names)} "
                "volumes; give more volumes, a larger share to it, or another threshold"
            )
    features: dict[str, Feature] = {} if classes is None else {"label": ClassLabel(classes.names)}
    features |= {"subset": ListOf(Value("string")), "group": Value("string")}
    in_order = slices.taking == "order" and variant in _IN_ORDER
    said = _IN_ORDER[variant] if in_order else _DESCRIBED[variant]
    return ConfigPlan(
        variant,
        features,
        tuple(_split(n, role, rows, dense, classes) for n, (role, rows) in wanted.items()),
        title=variant,
        description=f"Trained on {said}; tested on dense and on sparse examples apart.",
        notes={
            **_held(in_order).note(),
            "groups": {
                n: {NAMES[1]: int(dense[rows].sum()), NAMES[0]: int((~dense[rows]).sum())}
                for n, (_, rows) in wanted.items()
            },
            "dense share": {n: round(float(dense[r].mean()), 6) for n, (_, r) in wanted.items()},
            **notes,
        },
    )


def _held(in_order: bool) -> Held:
    factorisation, changed = "P(g) P(x, mask | g), g dense or sparse", "P(g)"
    if in_order:
        return Held(
            factorisation,
            "",
            f"{changed} and P(x, mask | g)",
            "examples are taken by their place in the volume, where they look different",
        )
    return Held(
        factorisation,
        "P(x, mask | g)",
        changed,
        "splits are of exchangeable clusters, and which examples of dense and of sparse are taken "
        "is random",
    )


def _split(
    name: str, role: str, rows: Codes, dense: NDArray[np.bool_], classes: Categories | None
) -> SplitPlan:
    group = pa.array(NAMES, pa.string()).take(pa.array(dense[rows].astype(np.int64)))
    ends = pa.array(np.arange(len(rows) + 1), pa.int32())
    columns: dict[str, Any] = {} if classes is None else {"label": coded(classes.codes[rows])}
    columns |= {"subset": pa.ListArray.from_arrays(ends, group), "group": group}
    return split_plan(name, role, "subpopulation" if role == "ood_test" else "none", rows, columns)
