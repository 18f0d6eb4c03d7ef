"""Kernels as means over random frequencies: sums in linear time, in blocks of examples.

A block holds whole clusters, so that what is inside them can be taken out of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.gram import Labels, Null
from shiftbench.distances.pair_sums import PairSums, Parts, pair_counts
from shiftbench.distances.samples import Samples
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import stream

__all__ = ["FourierSums", "check_count", "fourier_null", "fourier_sums", "frequencies_of", "waves"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_CELLS = 4_000_000  # of a block of features: 32 MB
_ROWS = 2_048


def frequencies_of(n: int, width: int, bandwidth: float, seed: int) -> Floats:
    """`n` frequencies whose waves have exp(−d²/(2σ²)) as their mean product: (width, n).

    References
    ----------
    Rahimi & Recht, Random Features for Large-Scale Kernel Machines, NIPS 2007.

    Examples
    --------
    >>> frequencies_of(3, 2, 1.0, seed=0).shape
    (2, 3)
    """
    return stream(seed, "frequencies").standard_normal((n, width)).T / bandwidth


def waves(x: Floats, frequencies: Floats) -> Floats:
    """cos and sin of each frequency at each row, over √n: (rows, 2n).

    Examples
    --------
    >>> waves(np.array([[0.0]]), np.array([[1.0, 2.0]])).round(3).tolist()
    [[0.707, 0.707, 0.0, 0.0]]
    """
    angle = x @ frequencies
    n = frequencies.shape[1]
    found = np.empty((len(x), 2 * n))
    np.cos(angle, out=found[:, :n])
    np.sin(angle, out=found[:, n:])
    found /= math.sqrt(n)
    return found


def check_count(n: object, what: str) -> int:
    """A number of frequencies that a user gave.

    Raises
    ------
    ConfigurationError
        It is no whole number of 2 or more.

    Examples
    --------
    >>> check_count(512, "features")
    512
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise ConfigurationError(
            f"{what} is {n!r}; allowed: a whole number of frequencies from 2 on, such as 512"
        )
    return int(n)


@dataclass(frozen=True)
class FourierSums:
    """What the waves add up to.

    Attributes
    ----------
    pairs : PairSums
        Of the kernel that is the mean over the frequencies.
    by_frequency : (k,) array
        The unbiased squared distance at each frequency alone; its mean is the value.
    plug_in : (k,) array
        |Φ_source − Φ_target| at each frequency: the plain estimate, which is too large.
    """

    pairs: PairSums
    by_frequency: Floats
    plug_in: Floats

    @property
    def se(self) -> float:
        """Standard error of the value for there being these frequencies and no others."""
        return float(self.by_frequency.std(ddof=1) / math.sqrt(len(self.by_frequency)))


def fourier_sums(samples: Samples, frequencies: Floats, seed: int) -> FourierSums:
    """Sums of the waves by part, without pairs inside a cluster; memory does not grow with n."""
    parts = Parts.of(samples, seed)
    n, columns = len(parts.group), 2 * frequencies.shape[1]
    sums = np.zeros((n, columns))
    own = np.zeros((n, n))
    own_columns = np.zeros((3, columns))  # of the pairs source-source, target-target, between
    for rows in _blocks(samples.clusters, columns):
        wave = waves(samples.features[rows], frequencies)
        held, at, side, cluster = _by_cluster_side(wave, samples, rows)
        np.add.at(sums, parts.of_row[rows[at]], held)
        square = held**2
        np.add.at(own, (parts.of_row[rows[at]],) * 2, square.sum(axis=1))
        own_columns[0] += square[side == 0].sum(axis=0)
        own_columns[1] += square[side == 1].sum(axis=0)
        pair = np.flatnonzero(cluster[1:] == cluster[:-1])  # the two sides of one cluster
        product = held[pair] * held[pair + 1]
        one, two = parts.of_row[rows[at[pair]]], parts.of_row[rows[at[pair + 1]]]
        np.add.at(own, (one, two), product.sum(axis=1))
        np.add.at(own, (two, one), product.sum(axis=1))
        own_columns[2] += product.sum(axis=0)
    counts = pair_counts(parts.of_row, samples.clusters, n)
    x, y = sums[parts.is_source].sum(axis=0), sums[~parts.is_source].sum(axis=0)
    s, t = parts.is_source, ~parts.is_source
    each = (
        (x**2 - own_columns[0]) / counts[np.ix_(s, s)].sum()
        + (y**2 - own_columns[1]) / counts[np.ix_(t, t)].sum()
        - 2 * (x * y - own_columns[2]) / counts[np.ix_(s, t)].sum()
    )
    k = frequencies.shape[1]
    gap = (x / samples.n_source - y / samples.n_target) * math.sqrt(k)
    return FourierSums(
        PairSums(sums @ sums.T - own, counts, parts),
        k * (each[:k] + each[k:]),
        np.hypot(gap[:k], gap[k:]),
    )


def fourier_null(samples: Samples, frequencies: Floats, labels: Labels) -> Null:
    """The unbiased squared distance under permutations, in linear time.

    Parameters
    ----------
    samples : Samples
    frequencies : (d, k) array
    labels : (m, u) int8 array
        See `permutations_of`.
    """
    units, m = samples.units, len(labels)
    columns = 2 * frequencies.shape[1]
    inside, total, n = np.zeros((m, columns)), np.zeros(columns), np.zeros(m)
    own = np.zeros((3, m))  # of the pairs source-source, target-target, between
    n_own = np.zeros((3, m))
    for rows in _blocks(samples.clusters, max(columns, m)):
        wave = waves(samples.features[rows], frequencies)
        unit, at = np.unique(units.of_row[rows], return_inverse=True)
        order = np.argsort(at, kind="stable")
        held = _sums_of_runs(wave[order], np.searchsorted(at[order], np.arange(len(unit))))
        sizes = np.bincount(at).astype(np.float64)
        z = labels[:, unit].astype(np.float64)
        inside += z @ held
        n += z @ sizes
        total += held.sum(axis=0)
        free = units.stratum[unit] == 0
        square = np.einsum("ij,ij->i", held, held)
        for store, weight in ((own, square), (n_own, sizes**2)):
            first = z[:, free] @ weight[free]
            store[0] += first
            store[1] += weight[free].sum() - first
        bound = np.flatnonzero(~free)
        cluster = units.stratum[unit[bound]]
        for some in _runs(cluster, _ROWS):
            chosen = bound[some]
            same = cluster[some][:, None] == cluster[some][None, :]
            _add_own(own, z[:, chosen], np.where(same, held[chosen] @ held[chosen].T, 0.0))
            _add_own(n_own, z[:, chosen], same.astype(np.float64))
    rest = total - inside
    length = np.einsum("ij,ij->i", inside, inside), np.einsum("ij,ij->i", rest, rest)
    between = np.einsum("ij,ij->i", inside, rest)
    other = len(samples.clusters) - n
    found = (
        (length[0] - own[0]) / (n**2 - n_own[0])
        + (length[1] - own[1]) / (other**2 - n_own[1])
        - 2 * (between - own[2]) / (n * other - n_own[2])
    )
    return Null(found, 1e-9 * float(np.abs(found).max()) + 1e-12)


def _add_own(store: Floats, z: Floats, matrix: Floats) -> None:
    inner = np.einsum("ij,ij->i", z @ matrix, z)
    some = z @ matrix.sum(axis=1)
    store[0] += inner
    store[1] += matrix.sum() - 2 * some + inner
    store[2] += some - inner


def _blocks(clusters: Codes, columns: int) -> Iterator[Codes]:
    """Rows in order of cluster, whole clusters together."""
    order = np.argsort(clusters, kind="stable")
    for some in _runs(clusters[order], max(1, _CELLS // columns)):
        yield order[some]


def _runs(codes: Codes, most: int) -> Iterator[slice]:
    """Slices of about `most` sorted codes that part no two equal ones."""
    start = 0
    while start < len(codes):
        stop = min(start + most, len(codes))
        if stop < len(codes):
            cut = int(np.searchsorted(codes, codes[stop], side="left"))
            stop = cut if cut > start else int(np.searchsorted(codes, codes[stop], side="right"))
        yield slice(start, stop)
        start = stop


def _sums_of_runs(wave: Floats, starts: Codes) -> Floats:
    alone = len(starts) == len(wave)
    return wave if alone else np.asarray(np.add.reduceat(wave, starts, axis=0))


def _by_cluster_side(
    wave: Floats, samples: Samples, rows: Codes
) -> tuple[Floats, Codes, Codes, Codes]:
    """Sums over each cluster's rows of one side; a row of each; its side; its cluster.

    Sorted by cluster, its source before its target.
    """
    key = 2 * samples.clusters[rows] + ~samples.is_source[rows]
    order = np.argsort(key, kind="stable")
    names, first = np.unique(key[order], return_index=True)
    held = _sums_of_runs(wave[order], first)
    return held, order[first], names % 2, names // 2
