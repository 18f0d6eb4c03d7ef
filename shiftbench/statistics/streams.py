"""Seeded random streams: the same (seed, purpose, id) gives the same numbers everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

__all__ = ["priorities", "stream"]

AT_ONCE = 2**16


def _words(seed: int, purpose: str, ident: str) -> NDArray[np.uint32]:
    text = f"{seed}\x1f{purpose}\x1f{ident}".encode()
    return np.frombuffer(hashlib.sha256(text).digest(), dtype="<u4")


def stream(seed: int, purpose: str, ident: str = "") -> np.random.Generator:
    """A random generator of its own for one purpose and one example.

    Parameters
    ----------
    seed : int
        The build's seed.
    purpose : str
        What the numbers are for, so that two uses of one seed never share a stream.
    ident : str
        Usually an example id.

    Examples
    --------
    >>> float(stream(0, "scene", "a").random()) == float(stream(0, "scene", "a").random())
    True
    >>> float(stream(0, "scene", "a").random()) == float(stream(0, "scene", "b").random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence(_words(seed, purpose, ident).tolist()))


def priorities(seed: int, purpose: str, ids: Iterable[str]) -> NDArray[np.uint64]:
    """One uniform 64-bit number an id: sorting by it is a random order that no other id disturbs.

    Taking the first n by priority gives nested samples as n grows, and adding or removing an
    example leaves the order of the others alone.

    Examples
    --------
    >>> a = priorities(0, "split", ["x", "y"])
    >>> b = priorities(0, "split", ["y"])
    >>> bool(a[1] == b[0])
    True
    """
    head = hashlib.blake2b(f"{seed}\x1f{purpose}\x1f".encode(), digest_size=8)

    def one(ident: str) -> bytes:
        h = head.copy()
        h.update(ident.encode())
        return h.digest()

    made = bytearray()
    rest = iter(ids)
    while some := b"".join(map(one, islice(rest, AT_ONCE))):  # millions of small objects are dear
        made += some
    return np.frombuffer(made, dtype="<u8").astype(np.uint64)
