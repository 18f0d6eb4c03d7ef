"""Counts of codes (labels, bins) by what is resampled: permuted sides, groups of clusters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.distances.samples import Samples

__all__ = ["counts_by", "counts_without_groups", "permuted_counts", "sparse_counts"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def counts_by(rows: Codes, codes: Codes, n_rows: int, n_codes: int) -> Floats:
    """How often each code stands in each row of a table.

    Parameters
    ----------
    rows, codes : (n,) arrays of int
    n_rows, n_codes : int

    Returns
    -------
    (n_rows, n_codes) float64 array

    Examples
    --------
    >>> counts_by(np.array([0, 0, 1]), np.array([1, 1, 0]), 2, 2).tolist()
    [[0.0, 2.0], [1.0, 0.0]]
    """
    flat = np.bincount(rows * n_codes + codes, minlength=n_rows * n_codes)
    return flat.reshape(n_rows, n_codes).astype(np.float64)


def sparse_counts(
    rows: Codes, codes: Codes, weights: Floats, n_rows: int, n_codes: int
) -> csr_array:
    """Sums of weights in each row of a table and each code, where most are 0.

    Examples
    --------
    >>> table = sparse_counts(np.array([0, 0]), np.array([1, 1]), np.ones(2), 1, 3)
    >>> table.toarray().tolist()
    [[0.0, 2.0, 0.0]]
    """
    return csr_array((weights, (rows, codes)), shape=(n_rows, n_codes))


def permuted_counts(
    samples: Samples, codes: Codes, n_codes: int, n: int, seed: int
) -> tuple[Iterator[tuple[Floats, Floats]], bool]:
    """Counts of the source and of the target under permutations of the sides.

    Parameters
    ----------
    samples : Samples
    codes : (n_rows,) array of int
    n_codes : int
    n : int
        Permutations.
    seed : int

    Returns
    -------
    blocks : iterator of ((b, n_codes), (b, n_codes)) arrays
    exact : bool
        They are all there are.

    Examples
    --------
    >>> samples = Samples(np.empty((4, 0)), 2, np.arange(4))
    >>> blocks, exact = permuted_counts(samples, np.array([0, 0, 1, 1]), 2, 99, seed=0)
    >>> [source[:, 0].tolist() for source, _ in blocks], exact
    ([[2.0, 1.0, 1.0, 1.0, 1.0, 0.0]], True)
    """
    units = samples.units
    ones = np.ones(len(codes))
    table = sparse_counts(units.of_row, codes, ones, len(units.stratum), n_codes).T.tocsr()
    total = np.bincount(codes, minlength=n_codes).astype(np.float64)
    sides, _, exact = samples.relabelings(n, seed)
    return ((own, total - own) for own in ((table @ block.T).T for block in sides)), exact


def counts_without_groups(
    samples: Samples, codes: Codes, n_codes: int, most: int, seed: int
) -> tuple[Floats, Floats, Codes]:
    """Counts of the source and of the target without each group of clusters, for the jackknife.

    Parameters
    ----------
    samples : Samples
    codes : (n_rows,) array of int
    n_codes : int
    most : int
        Groups a stratum.
    seed : int

    Returns
    -------
    source, target : (g, n_codes) arrays
    strata : (g,) array of int

    Examples
    --------
    >>> samples = Samples(np.empty((4, 0)), 2, np.arange(4))
    >>> source, target, strata = counts_without_groups(samples, np.array([0, 0, 1, 1]), 2, 9, 0)
    >>> source[:, 0].tolist(), target[:, 1].tolist(), strata.tolist()
    ([1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 1.0, 1.0], [0, 0, 1, 1])
    """
    group, strata = samples.groups(most, seed)
    first = samples.is_source
    sides = [counts_by(group[rows], codes[rows], len(strata), n_codes) for rows in (first, ~first)]
    source, target = (side.sum(axis=0) - side for side in sides)
    return source, target, strata
