"""The pair of contexts of each class between which a reference model's accuracy differs most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .counter_members import Members

__all__ = ["Choice", "choose"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The contexts of one class, by code."""

    label: int
    common: int
    counter: int


def choose(
    members: Members,
    label: Codes,
    right: Codes,
    choosing: Codes,
    measuring: Codes,
    min_size: int,
    names: tuple[str, ...],
) -> tuple[list[Choice], dict[str, str]]:
    """Of each class the common and the counter context, and why some classes have none.

    Where no example is in two contexts, these are the contexts with the best and the worst
    accuracy among those of `min_size` examples on each half. Where some are, a pair of contexts is
    compared on the examples that are in one of the two alone, and the pair with the largest
    difference is taken. Only the choosing half's predictions are looked at; of the other half
    only how many examples it has. Of equal pairs the first by name is taken.

    Parameters
    ----------
    members : Members
    label, right : (n,) int64 arrays
        Class of each example; 1, 0 or −1 as `rightness` gives it.
    choosing, measuring : int64 arrays
        Examples of the two halves.
    min_size : int
        Least number of examples of a class in a context, on each half.
    names : tuple of str
        Of the classes.
    """
    n_contexts = len(members.names)
    choices: list[Choice] = []
    unusable: dict[str, str] = {}
    for k, name in enumerate(names):
        alone, hits = _apart(members, label, right, choosing, k, n_contexts)
        there, _ = _apart(members, label, right, measuring, k, n_contexts)
        least = np.minimum(alone, there)
        # Both of a pair must be large enough; a context with itself has nothing alone.
        enough = np.minimum(least, least.T) >= max(min_size, 1)
        if not enough.any():
            usable = np.flatnonzero(least.max(axis=1, initial=0) >= max(min_size, 1))
            said = ", ".join(members.names[i] for i in usable.tolist()) or "none"
            unusable[name] = f"contexts with {min_size} examples on each half: {said}"
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = hits / alone
        differs = np.where(enough, accuracy - accuracy.T, -np.inf)
        best, worst = np.unravel_index(int(differs.argmax()), differs.shape)
        choices.append(Choice(k, int(best), int(worst)))
    return choices, unusable


def _apart(
    members: Members, label: Codes, right: Codes, rows: Codes, k: int, n_contexts: int
) -> tuple[Floats, Floats]:
    """(c, c) examples of class k in the context of the row and not of the column; those right."""
    from scipy.sparse import csr_array

    wanted = np.zeros(len(label), bool)
    wanted[rows] = True
    wanted &= label == k
    some = wanted[members.example]
    example, context = members.example[some], members.context[some]
    shape = (len(label), n_contexts)
    inside = csr_array((np.ones(len(example)), (example, context)), shape=shape)
    hits = csr_array((right[example].astype(np.float64), (example, context)), shape=shape)
    both, both_right = (inside.T @ m for m in (inside, hits))
    size, size_right = both.diagonal(), both_right.diagonal()
    return size[:, None] - both.toarray(), size_right[:, None] - both_right.toarray()
