"""Label-dense and label-sparse examples of a segmentation task."""

from __future__ import annotations

from collections.abc import Sequence

from shiftbench.plan import ConfigPlan
from shiftbench.schema import Metadata

__all__ = ["VARIANTS", "density_configs"]

VARIANTS = (
    "full",
    "half_volume",
    "half_slice",
    "half_volume_sparse",
    "half_slice_sparse",
    "dense",
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
    variants: Sequence[str] = VARIANTS,
    label: str = "",
    validation: float = 0.1,
    test: float = 0.4,
) -> tuple[Metadata, list[ConfigPlan], dict[str, int]]:
    """One config a variant: the metadata to plan with, the configs, and `Plan.counts`.

    Takes the source's metadata, not `Labelled`: a segmentation task needs no class.

    Parameters
    ----------
    share : str
        Column with the labelled share of each example's pixels, or their number.
    threshold : float
        Dense is an example whose share is larger.
    dense : int, optional
        How many of the examples are dense, instead of a threshold.
    volume : str
        Column with the volume of each slice; by default the cluster.
    variants : sequence of str
        Of `VARIANTS`.
    label : str
        Column of a class, if there is one.
    validation, test : float
        Shares of the clusters; the tests share theirs equally.
    """
    raise NotImplementedError
