"""One distance between two samples, by name."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shiftbench.distances.samples import Samples, two_samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.registry import DISTANCES, lookup
from shiftbench.statistics.estimate import critical

__all__ = ["check_permutations", "completed", "distance_named", "measure", "options_of"]

_LEVEL = "none: neither side varies, and nothing tells how far off the value is"


def distance_named(name: str) -> Distance:
    """The registered distance.

    Raises
    ------
    ConfigurationError
        No distance has the name; the message lists all.

    Examples
    --------
    >>> distance_named("mmd").kind
    'covariate'
    """
    if name not in DISTANCES:
        raise ConfigurationError(
            f"no distance is called {name!r}; there are: {', '.join(sorted(DISTANCES))}"
        )
    found: Distance = lookup(DISTANCES, name, "distance")
    return found


def options_of(distance: Distance) -> dict[str, Any]:
    """A distance's own options and their defaults.

    Examples
    --------
    >>> "bandwidth" in options_of(distance_named("mmd"))
    True
    """
    parameters = list(inspect.signature(distance.compute).parameters.values())[1:]
    common = ("n_permutations", "level", "seed")
    return {p.name: p.default for p in parameters if p.name not in common}


def check_permutations(n: object) -> None:
    """A number of permutations that a user gave.

    Raises
    ------
    ConfigurationError
        It is no whole number from 0 on.

    Examples
    --------
    >>> check_permutations(1000)
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ConfigurationError(f"n_permutations is {n!r}; allowed: whole numbers from 0 on")


def measure(
    name: str,
    source: ArrayLike,
    target: ArrayLike,
    *,
    clusters: tuple[Any, Any] | None = None,
    ids: tuple[Any, Any] | None = None,
    labels: tuple[Any, Any] | None = None,
    losses: tuple[Any, Any] | None = None,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Shift:
    """How far a target sample is from a source sample.

    The result does not depend on the order of the examples. Values of two pairs compare only where
    both were measured in one space and with one bandwidth: give it, or use `pairwise`.

    Parameters
    ----------
    name : str
        A registered distance; ``docs/distances.md`` has what each sees.
    source, target : (m, d) and (n, d) arrays
        Features of the examples; for the distances between labels the labels, (m,) and (n,).
    clusters : pair of (m,) and (n,) names, optional
        The unit of independence (patient, author, photograph); a name on both sides is one unit.
        By default each example is its own.
    ids : pair of (m,) and (n,) ids, optional
        Examples on both sides are left out of both, and there is no p-value then.
    labels : pair of (m,) and (n,) names, optional
        For distances of P(y | x).
    losses : pair of (m,) and (n,) numbers, optional
        A model's loss, or 0 and 1 for right and wrong, for `disde`.
    n_permutations : int
        For the p-value, of whole clusters; 0 = none. Where fewer are possible, all are gone
        through.
    level : float
        Of the interval.
    seed : int
    **options
        The distance's own.

    Returns
    -------
    Shift

    Raises
    ------
    ConfigurationError
        An unknown name or option, features that are no finite numbers (the message says where),
        widths that differ, too few examples, labels that a distance needs and has not.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(60, 2))
    >>> found = measure("energy", x[:30], x[30:] + 2, seed=0)
    >>> round(found.value, 1), found.p_value < 0.01
    (2.9, True)
    """
    distance = distance_named(name)
    known = options_of(distance)
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"{name} has no option {option!r}; {near_names(option, sorted(known))}"
            )
    critical(level)
    check_permutations(n_permutations)
    samples = two_samples(
        source,
        target,
        takes=distance.takes,
        clusters=clusters,
        ids=ids,
        labels=labels,
        losses=losses,
        fewest=distance.fewest,
    )
    found = distance.compute(
        samples, n_permutations=n_permutations, level=level, seed=seed, **options
    )
    return completed(found, distance, samples, level, seed)


def completed(found: Shift, distance: Distance, samples: Samples, level: float, seed: int) -> Shift:
    """What every distance's result has: names and counts; and what none can have is taken off it.

    Shared examples leave no p-value, and one cluster on a side no interval either. An interval that
    a value corrected for bias lies outside of, as below 0, is extended to it. One of no width at a
    value other than that of no shift comes of sides that do not vary, and is no certainty: none.
    """
    parameters = dict(found.parameters)
    if samples.shared:
        parameters["shared_examples"] = samples.shared
    found = replace(
        found,
        low=found.value if found.low > found.value else found.low,
        high=found.value if found.high < found.value else found.high,
        distance=distance.name,
        kind=distance.kind,
        level=level,
        seed=seed,
        p_value=None if samples.shared else found.p_value,
        n_source=samples.n_source,
        n_target=samples.n_target,
        n_clusters_source=samples.n_clusters[0],
        n_clusters_target=samples.n_clusters[1],
        parameters=parameters,
    )
    if min(samples.n_clusters) >= 2:
        rounding = 1e-9 * abs(found.value)
        if found.value != distance.same and abs(found.high - found.low) <= rounding:
            return replace(found, low=math.nan, high=math.nan, se=math.nan, method=_LEVEL)
        return found
    return replace(
        found,
        low=math.nan,
        high=math.nan,
        se=math.nan,
        p_value=None,
        method="none: a side has one cluster, and nothing tells how much clusters differ",
    )
