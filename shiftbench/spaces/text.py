"""Texts by their words: hashed n-grams, weighted and reduced as the reference has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.errors import ConfigurationError
from shiftbench.schema import PRIVATE_COLUMNS
from shiftbench.spaces._columns import is_text, known
from shiftbench.spaces.space import Fitted

__all__ = ["Text"]

_NOT_CONTENT = frozenset(
    ("example_id", "cluster_id", "label", "subset", "license", "attribution", *PRIVATE_COLUMNS)
)


@dataclass(frozen=True)
class Text:
    """Latent semantic analysis: counts of n-grams, inverse document frequency, a truncated SVD.

    n-grams of the lower-cased text are counted in 2^16 hashed buckets, which needs no vocabulary;
    no stop words are left out and nothing is stemmed. Inverse document frequency,
    ln((1 + n) / (1 + df)) + 1, and the SVD are fitted on the reference only. Each row is weighted,
    scaled to length 1 and projected: what the reference does not know shortens a row and turns it
    nowhere. An empty or missing text is the zero row.

    Parameters
    ----------
    dim : int
        Dimensions kept; fewer where the reference has fewer texts, or they span fewer.
    analyzer : {"word", "char_wb"}
        n-grams of words, or of characters inside words (for languages that put no spaces between
        words, say).
    ngrams : (int, int)
        Shortest and longest n-gram; on the command line ``ngrams=1+2``.
    column : str, optional
        The text column; by default ``text``, or the only column of text that is no id or licence.

    References
    ----------
    Deerwester et al., Indexing by latent semantic analysis, JASIS 41 (1990). Halko, Martinsson &
    Tropp, Finding structure with randomness, SIAM Review 53 (2011): the SVD, here with a fixed
    seed and eight power iterations, on the reference's rows in an order of their own.

    Examples
    --------
    >>> from shiftbench.spaces import embed
    >>> a = pa.table({"text": ["a cat sat", "a dog ran", "a dog sat"]})
    >>> cats, dogs = embed("text", a, pa.table({"text": ["cat", ""]}))
    >>> cats.shape, dogs[1].tolist()
    ((3, 3), [0.0, 0.0, 0.0])
    """

    name: ClassVar[str] = "text"

    dim: int = 64
    analyzer: Literal["word", "char_wb"] = "word"
    ngrams: tuple[int, int] = (1, 2)
    column: str | None = None

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ConfigurationError(f"dim is {self.dim}; it must be at least 1")
        if self.analyzer not in ("word", "char_wb"):
            raise ConfigurationError(
                f"analyzer is {self.analyzer!r}; allowed are 'word' and 'char_wb'"
            )
        if len(self.ngrams) != 2 or not 1 <= self.ngrams[0] <= self.ngrams[1]:
            raise ConfigurationError(
                f"ngrams is {self.ngrams}; give the shortest and the longest, such as (1, 2)"
            )

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The text column.

        Raises
        ------
        ConfigurationError
            There is none, or there are several and none is called ``text``.
        """
        texts = [
            name
            for name in schema.names
            if name not in _NOT_CONTENT and is_text(known(schema, name))
        ]
        if self.column is not None:
            kind = known(schema, self.column)
            if not is_text(kind):
                raise ConfigurationError(
                    f"the column {self.column!r} is of type {kind}, not text; "
                    f"columns of text: {', '.join(texts) or 'none'}"
                )
            return (self.column,)
        if "text" in texts:
            return ("text",)
        if len(texts) == 1:
            return (texts[0],)
        if texts:
            raise ConfigurationError(
                f"several columns hold text: {', '.join(texts)}; choose one with column=NAME"
            )
        raise ConfigurationError(
            f"no column holds text; there are: {', '.join(schema.names) or 'no columns'}"
        )

    def raw(self, batch: pa.Table) -> csr_array:
        """(n, 2^16) counts of hashed n-grams."""
        from sklearn.feature_extraction.text import HashingVectorizer

        (column,) = self.columns(batch.schema)
        hashing = HashingVectorizer(
            analyzer=self.analyzer,
            ngram_range=tuple(self.ngrams),
            token_pattern=r"(?u)\b\w+\b",
            norm=None,
            alternate_sign=False,
            dtype=np.float32,
        )
        texts = [text or "" for text in batch.column(column).to_pylist()]
        if not texts:
            return csr_array((0, hashing.n_features), dtype=np.float32)
        counts = csr_array(hashing.transform(texts))
        counts.sum_duplicates()
        return counts

    def fit(self, reference: csr_array) -> Fitted:
        """Document frequencies and the SVD of the reference.

        Raises
        ------
        ConfigurationError
            No text of the reference has a word.
        """
        n = reference.shape[0]
        frequency = np.bincount(reference.indices, minlength=reference.shape[1])
        if not frequency.any():
            raise ConfigurationError(
                f"none of the {n} texts of the reference holds a word; nothing can be fitted"
            )
        idf = np.log((1 + n) / (1 + frequency)) + 1
        seen = np.flatnonzero(frequency)
        weighted = _weighted(reference, idf)[:, seen]
        components = _components(weighted[_canonical_order(reference)], self.dim)
        names = tuple(f"topic {k}" for k in range(len(components)))
        state = {"idf": idf, "seen": seen, "components": components}
        return Fitted(partial(_projected, idf=idf, seen=seen, components=components), names, state)


def _canonical_order(counts: csr_array) -> list[int]:
    """Rows by what they hold, so that rounding does not depend on how they came."""

    def key(row: int) -> tuple[bytes, bytes]:
        part = slice(counts.indptr[row], counts.indptr[row + 1])
        return counts.indices[part].tobytes(), counts.data[part].tobytes()

    return sorted(range(counts.shape[0]), key=key)


def _weighted(counts: csr_array, idf: NDArray[np.float64]) -> csr_array:
    """tf · idf with rows of length 1, empty ones left alone."""
    made = csr_array(
        (counts.data * idf[counts.indices], counts.indices, counts.indptr), shape=counts.shape
    )
    length = np.sqrt(made.multiply(made).sum(axis=1))
    per_row = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    made.data *= np.repeat(per_row, np.diff(made.indptr))
    return made


def _components(weighted: csr_array, dim: int) -> NDArray[np.float64]:
    """(k, features) right singular vectors; each has its largest entry positive."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    k = min(dim, *weighted.shape)
    # The last digits of LAPACK's results depend on the number of its threads.
    with threadpool_limits(1):
        _, lengths, vectors = randomized_svd(
            weighted, k, n_iter=8, power_iteration_normalizer="QR", random_state=0, flip_sign=False
        )
    # Directions that nothing spans are arbitrary.
    kept = vectors[lengths > 1e-7 * lengths[0]]
    largest = np.abs(kept).argmax(axis=1)
    signs = np.sign(kept[np.arange(len(kept)), largest])
    return np.ascontiguousarray(kept * signs[:, None], dtype=np.float64)


def _projected(
    raw: csr_array,
    *,
    idf: NDArray[np.float64],
    seen: NDArray[np.int64],
    components: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(_weighted(raw, idf)[:, seen] @ components.T, dtype=np.float64)
