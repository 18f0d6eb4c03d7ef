"""Class priors P(y) in words, such as "tweak_one:cat=0.6", and as shares of the classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import slug
from shiftbench.statistics import stream

__all__ = ["KINDS", "Prior", "Target", "check_prior", "earth_mover", "shares_of", "targets"]

Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
_LONGEST = 60
"""Letters of a prior's slug that still make a readable split name."""


@dataclass(frozen=True)
class Prior:
    """A prior as it was asked for.

    Attributes
    ----------
    text : str
    kind : str
        One of `KINDS`.
    values : tuple of (str, float)
        Shares or parameters, with the class (or number of classes) each is for; "" for none.
    draws : int
        How many are drawn of it.
    """

    text: str
    kind: str
    values: tuple[tuple[str, float], ...] = ()
    draws: int = 1

    @property
    def value(self) -> float:
        """The first of the values."""
        return self.values[0][1]


class Target(NamedTuple):
    """A prior to be drawn: the slug and title of its split, and the share of each class."""

    slug: str
    title: str
    shares: Floats


class _Context(NamedTuple):
    """What the shares of a prior depend on."""

    source: Floats
    names: tuple[str, ...]
    seed: int
    draw: int
    random_ranks: bool


def check_prior(text: str) -> Prior:
    """Read a prior.

    Raises
    ------
    ConfigurationError
        It is none of `KINDS`, or its numbers are not allowed.

    Examples
    --------
    >>> check_prior("knockout:cat=0.9").values
    (('cat', 0.9),)
    >>> check_prior("dirichlet:0.1x5").draws
    5
    >>> check_prior("zipf:-1")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: the prior 'zipf:-1' has -1; allowed: 0 and above
    """
    kind, _, rest = (part.strip() for part in text.partition(":"))
    if kind not in KINDS:
        raise ConfigurationError(
            f"the prior {text!r} is of no known kind; {near_names(kind, KINDS)}. Such are: "
            + ", ".join(k.example for k in KINDS.values())
        )
    known = KINDS[kind]
    draws = 1
    if kind == "dirichlet" and "x" in rest:
        rest, _, number = rest.partition("x")
        if not number.strip().isdigit() or not int(number):
            raise ConfigurationError(f"the prior {text!r} has {number!r} draws; give a number ≥ 1")
        draws = int(number)
    values = tuple(_value(part, text) for part in rest.split(",")) if rest.strip() else ()
    if not known.least <= len(values) <= known.most or any(
        bool(name) != known.named for name, _ in values if known.named is not None
    ):
        raise ConfigurationError(f"the prior {text!r} cannot be read; such are: {known.example}")
    twice = sorted({n for n, _ in values if n and [m for m, _ in values].count(n) > 1})
    if twice:
        raise ConfigurationError(f"the prior {text!r} names {twice[0]!r} twice")
    for _, value in values:
        if not known.allowed(value):
            raise ConfigurationError(f"the prior {text!r} has {value:g}; allowed: {known.said}")
    return Prior(text, kind, values, draws)


def _value(part: str, text: str) -> tuple[str, float]:
    name, _, number = part.rpartition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise ConfigurationError(
            f"the prior {text!r} has {number.strip()!r} where a number is needed"
        ) from None


def shares_of(
    prior: Prior,
    source: Floats,
    names: Sequence[str],
    seed: int,
    *,
    draw: int = 0,
    random_ranks: bool = False,
) -> Floats:
    """The share of each class.

    Parameters
    ----------
    prior : Prior
    source : (k,) float64 array
        The prior that it starts from.
    names : sequence of str
        Of the classes, in order.
    seed : int
    draw : int
        Which of several draws.
    random_ranks : bool
        For Zipf: the ranks are a random order of the classes, not their own.

    Returns
    -------
    (k,) float64 array
        That adds up to 1.

    Raises
    ------
    ConfigurationError
        A class that is not there, or shares that leave nothing or do not add up to 1.

    Notes
    -----
    - own: the source's own.
    - given: as given; what is left of 1 cannot be.
    - knockout: the share s of a class's examples is taken away, p_c ∝ p_c·(1 − s) (Lipton, Wang &
      Smola, ICML 2018; Rabanser, Günnemann & Lipton, NeurIPS 2019).
    - tweak_one: one class gets a share, the others share the rest in the proportions they have. In
      Lipton et al. they share it evenly, which is the same where the source is balanced.
    - dirichlet: a draw from the symmetric Dirichlet distribution of concentration α (Lipton et
      al.): the smaller α, the fewer classes hold nearly all.
    - zipf: p ∝ 1 / rank^s (Zipf 1949).
    - rare: the highest k classes together get a share; both groups keep their proportions.

    Examples
    --------
    >>> shares_of(check_prior("tweak_one:b=0.5"), np.array([0.5, 0.25, 0.25]), "abc", 0).round(3)
    array([0.333, 0.5  , 0.167])
    """
    own = np.asarray(source, np.float64)
    context = _Context(own, tuple(names), seed, draw, random_ranks)
    made = KINDS[prior.kind].shares(prior, context)
    total = float(made.sum())
    if not total > 0:
        raise ConfigurationError(f"the prior {prior.text!r} leaves no class; leave some")
    return np.asarray(made / total)


def targets(
    priors: Sequence[Prior], source: Floats, names: Sequence[str], seed: int, *, random_ranks: bool
) -> list[Target]:
    """Every prior that is to be drawn, with a name of its own.

    Raises
    ------
    ConfigurationError
        Two priors would get one name; see `shares_of`.

    Examples
    --------
    >>> made = targets([check_prior("dirichlet:1x2")], np.full(3, 1 / 3), "abc", 0,
    ...                random_ranks=False)
    >>> [t.slug for t in made]
    ['dirichlet_1_draw_1', 'dirichlet_1_draw_2']
    """
    made: dict[str, Target] = {}
    for number, prior in enumerate(priors, 1):
        for draw in range(prior.draws):
            title = prior.text if prior.draws == 1 else f"{_of_one(prior)} draw {draw + 1}"
            short = slug(title) if len(title) <= _LONGEST else f"{prior.kind}_{number}"
            if short in made:
                raise ConfigurationError(
                    f"the priors {made[short].title!r} and {title!r} would both be the split "
                    f"'ood_test_{short}'; leave one out"
                )
            shares = shares_of(prior, source, names, seed, draw=draw, random_ranks=random_ranks)
            made[short] = Target(short, title, shares)
    return list(made.values())


def earth_mover(one: Floats, other: Floats) -> float:
    """The earth mover's distance between shares of ordered classes, in steps of one class.

    Wasserstein-1 on the ranks of the classes: Σ |F_one − F_other|.

    Examples
    --------
    >>> earth_mover(np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    2.0
    """
    return float(np.abs(np.cumsum(one - other)[:-1]).sum())


def _of_one(prior: Prior) -> str:
    return f"{prior.kind}:{prior.value:g}"


def _place(prior: Prior, name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise ConfigurationError(
            f"the prior {prior.text!r} names the class {name!r}, which there is not; "
            f"{near_names(name, names)}"
        )
    return names.index(name)


def _own(prior: Prior, of: _Context) -> Floats:
    return of.source


def _given(prior: Prior, of: _Context) -> Floats:
    named = any(name for name, _ in prior.values)
    if not named and len(prior.values) != len(of.names):
        raise ConfigurationError(
            f"the prior {prior.text!r} has {len(prior.values)} shares for {len(of.names)} classes "
            f"({', '.join(of.names[:10])}{', …' if len(of.names) > 10 else ''}); give one for each"
        )
    made = np.zeros(len(of.names))
    for number, (name, share) in enumerate(prior.values):
        made[_place(prior, name, of.names) if named else number] = share
    if abs(made.sum() - 1) > _TOLERANCE:
        raise ConfigurationError(
            f"the shares of the prior {prior.text!r} add up to {made.sum():g}; make it 1"
        )
    return made


def _knockout(prior: Prior, of: _Context) -> Floats:
    made = of.source.copy()
    for name, share in prior.values:
        made[_place(prior, name, of.names)] *= 1 - share
    return made


def _tweak_one(prior: Prior, of: _Context) -> Floats:
    inside = np.zeros(len(of.names), bool)
    inside[_place(prior, prior.values[0][0], of.names)] = True
    return _two_groups(prior, of.source, inside)


def _rare(prior: Prior, of: _Context) -> Floats:
    n = int(prior.values[0][0]) if prior.values[0][0].isdigit() else 0
    if not 1 <= n < len(of.names):
        raise ConfigurationError(
            f"the prior {prior.text!r} is about the highest {prior.values[0][0]} classes of "
            f"{len(of.names)}; allowed: 1 to {len(of.names) - 1}"
        )
    return _two_groups(prior, of.source, np.arange(len(of.names)) >= len(of.names) - n)


def _two_groups(prior: Prior, source: Floats, inside: NDArray[np.bool_]) -> Floats:
    """One group's share is stated; in both the classes keep their proportions."""
    share = prior.value
    sums = source[inside].sum(), source[~inside].sum()
    if (share > 0 and not sums[0] > 0) or (share < 1 and not sums[1] > 0):
        raise ConfigurationError(
            f"the prior {prior.text!r} gives a share to classes that have none in the source"
        )
    made = np.zeros(len(source))
    made[inside] = share * source[inside] / (sums[0] or 1)
    made[~inside] = (1 - share) * source[~inside] / (sums[1] or 1)
    return made


def _dirichlet(prior: Prior, of: _Context) -> Floats:
    random = stream(of.seed, "label prior", f"dirichlet {prior.value:g} {of.draw}")
    return np.asarray(random.dirichlet(np.full(len(of.names), prior.value)))


def _zipf(prior: Prior, of: _Context) -> Floats:
    ranks = np.arange(1, len(of.names) + 1)
    if of.random_ranks:
        ranks = stream(of.seed, "label prior", "zipf ranks").permutation(ranks)
    return np.asarray(1 / ranks**prior.value)


@dataclass(frozen=True)
class _Kind:
    example: str
    shares: Callable[[Prior, _Context], Floats]
    allowed: Callable[[float], bool] = lambda v: 0 <= v <= 1
    said: str = "0 to 1"
    named: bool | None = None
    least: int = 1
    most: int = 1


KINDS: Mapping[str, _Kind] = {
    "own": _Kind("own", _own, least=0, most=0),
    "given": _Kind("given:0.7,0.3 or given:cat=0.7,dog=0.3", _given, most=10**6),
    "dirichlet": _Kind(
        "dirichlet:0.1 or dirichlet:0.1x5", _dirichlet, lambda v: 0 < v < np.inf, "above 0", False
    ),
    "knockout": _Kind("knockout:cat=0.9", _knockout, named=True, most=10**6),
    "zipf": _Kind("zipf:1.5", _zipf, lambda v: 0 <= v < np.inf, "0 and above", False),
    "tweak_one": _Kind("tweak_one:cat=0.6", _tweak_one, named=True),
    "rare": _Kind("rare:2=0.01 (the two highest classes together)", _rare, named=True),
}
"""Every kind of prior."""
