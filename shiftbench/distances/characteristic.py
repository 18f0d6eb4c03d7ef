"""The characteristic-function discrepancy: waves of random frequencies, in linear time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.fourier import check_count, fourier_null, fourier_sums, frequencies_of
from shiftbench.distances.gram import permutations_of
from shiftbench.distances.kernel import bandwidth_of, check_clusters, shift_of
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift

__all__ = ["CHARACTERISTIC", "characteristic", "of_length_one"]


def characteristic(
    samples: Samples,
    *,
    n_permutations: int,
    level: float,
    seed: int,
    n_frequencies: int = 512,
    normalise: bool = True,
    bandwidth: float | None = None,
) -> Shift:
    """The mean squared distance of the characteristic functions at random frequencies, unbiased.

    The value is the mean over t of |Φ_source(t) − Φ_target(t)|², t ~ N(0, I/σ²), so that over all t
    it is MMD² with a Gaussian kernel of bandwidth σ. ``parameters["ncfd"]`` is the published
    figure, the mean of the plug-in moduli |Φ_source(t) − Φ_target(t)|: above 0 also where nothing
    shifted, by about √(1/n_source + 1/n_target).

    Parameters
    ----------
    samples : Samples
        Pairs inside one cluster are left out of the value.
    n_permutations, level, seed
        See `shiftbench.distances.measure`; the frequencies come from the seed, too.
    n_frequencies : int
    normalise : bool
        Rows are first divided by their length, as published. A row of zeros stays one, and is
        counted in ``parameters["zero_rows"]``.
    bandwidth : float, optional
        σ; by default the median distance of the source, normalised or not as the features are.
        The publication has 1.

    Returns
    -------
    Shift
        The interval is of the value at these frequencies.

    Raises
    ------
    ConfigurationError
        Fewer than two clusters on a side, an option out of its range, or a source whose examples
        are all the same and no bandwidth.

    References
    ----------
    NCFD: Wang et al., Dataset distillation with neural characteristic function, CVPR 2025
    (unverified); Chwialkowski et al., NIPS 2015; unbiased form: Rahimi & Recht, NIPS 2007.

    Examples
    --------
    >>> from shiftbench.distances import measure
    >>> x = np.random.default_rng(0).normal(size=(80, 3))
    >>> found = measure("characteristic", x[:40], x[40:] + 1.0, normalise=False, seed=0)
    >>> round(found.value, 2), found.p_value < 0.01
    (0.16, True)
    """
    check_clusters(samples)
    n = check_count(n_frequencies, "n_frequencies")
    known: dict[str, Any] = {"n_frequencies": n, "normalise": bool(normalise)}
    if normalise:
        rows = of_length_one(samples.features)
        known["zero_rows"] = int(np.count_nonzero(~rows.any(axis=1)))
        samples = replace(samples, features=rows)
    sigma, origin = bandwidth_of(samples, bandwidth, seed)
    frequencies = frequencies_of(n, samples.features.shape[1], sigma, seed)
    found = fourier_sums(samples, frequencies, seed)
    known |= {
        "bandwidth": sigma,
        "bandwidth_from": origin,
        "ncfd": float(found.plug_in.mean()),
        "frequency_se": found.se,
    }

    drawn = permutations_of(samples, n_permutations, seed) if n_permutations else None
    nulls = [fourier_null(samples, frequencies, drawn.labels)] if drawn else []
    return shift_of(found.pairs, nulls, drawn, level, known)


def of_length_one(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows divided by their length; rows of zeros as they are.

    Examples
    --------
    >>> of_length_one(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    largest = np.abs(x).max(axis=1, keepdims=True)
    scaled = x / np.where(largest > 0, largest, 1.0)  # so that no square overflows
    length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    return np.asarray(scaled / np.where(length > 0, length, 1.0))


CHARACTERISTIC = Distance(
    "characteristic",
    "covariate",
    "features",
    characteristic,
    "squared distance of characteristic functions at random frequencies, unbiased, linear time",
    symmetric=False,
    bounds=(0.0, 4.0),
)
