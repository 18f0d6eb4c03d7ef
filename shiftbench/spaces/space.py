"""What a feature space is: raw features of each example alone, and a fit on the reference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.registry import SPACES, lookup

__all__ = ["Fitted", "Raw", "Space", "embed", "parse_space", "space_name"]

Raw: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | csr_array | pa.Table
"""What a space makes of a batch: (n, d) numbers, sparse ones, or the columns as they are."""


@dataclass(frozen=True)
class Fitted:
    """A space fitted on the reference: the same map for everything that is compared.

    Attributes
    ----------
    transform : callable
        From `Raw` to an (n, d) float64 array.
    names : tuple of str
        Of the d features.
    state : mapping
        All that the map was fitted to, as arrays and plain values, for its fingerprint.
    """

    transform: Callable[[Any], NDArray[np.float64]]
    names: tuple[str, ...]
    state: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the state: equal fingerprints are one space."""
        digest = hashlib.sha256()
        for key in sorted(self.state):
            value = self.state[key]
            digest.update(key.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype.str}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                digest.update(json.dumps(value, sort_keys=True).encode())
        return digest.hexdigest()


class Space(Protocol):
    """A frozen dataclass of options with these hooks, cheap to pickle."""

    name: ClassVar[str]

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The columns that are read, of a schema as the benchmark's files have it.

        Raises
        ------
        ConfigurationError
            The schema has none that this space can use; the message says which it has.
        """
        ...

    def raw(self, batch: pa.Table) -> Raw:
        """What is made of each row alone, whatever rows stand beside it.

        Raises
        ------
        ContentError
            The content of a row cannot be read.
        """
        ...

    def fit(self, reference: Any) -> Fitted:
        """The map from raw features to features, fitted on those of the reference."""
        ...


def parse_space(text: str) -> Space:
    """A space from its name and options: ``pixels``, ``column:embedding``, ``pixels:size=16``.

    Options are ``key=value`` with commas between; where a space has a field without a default, its
    value may stand alone.

    Raises
    ------
    ConfigurationError
        No space has the name, an option is unknown or its value is of the wrong type.

    Examples
    --------
    >>> parse_space("column:embedding")
    Column(column='embedding')
    """
    name, _, rest = text.partition(":")
    if name not in SPACES:
        raise ConfigurationError(
            f"no space is called {name!r}; there are: {', '.join(sorted(SPACES))}"
        )
    kind = lookup(SPACES, name, "space")
    known = {f.name: f for f in fields(kind)}
    required = [
        n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING
    ]
    given: dict[str, Any] = {}
    for i, part in enumerate(p for p in rest.split(",") if p):
        key, equals, value = part.partition("=")
        if not equals and i == 0 and required:
            key, value = required[0], part
        elif not equals or key not in known:
            raise ConfigurationError(
                f"the space {text!r}: {near_names(key, sorted(known))}; options are key=value, "
                "with commas between"
            )
        given[key] = value.split("+") if "tuple" in str(known[key].type) else value
    missing = [n for n in required if n not in given]
    if missing:
        raise ConfigurationError(f"the space {text!r} needs {missing[0]}: {name}:NAME")
    try:
        made: Space = msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigurationError(f"the space {text!r}: {error}") from None
    return made


def space_name(space: Space) -> str:
    """The text from which `parse_space` makes the space again, default options left out.

    Examples
    --------
    >>> space_name(parse_space("column:embedding"))
    'column:embedding'
    """
    parts: list[str] = []
    for f in fields(space):  # type: ignore[arg-type]
        value = getattr(space, f.name)
        required = f.default is MISSING and f.default_factory is MISSING
        if not required and value == f.default:
            continue
        text = "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
        parts.append(text if required and not parts else f"{f.name}={text}")
    return space.name + (":" + ",".join(parts) if parts else "")


def embed(space: Space | str, reference: pa.Table, *others: pa.Table) -> list[NDArray[np.float64]]:
    """Features of tables in a space fitted on the first.

    Parameters
    ----------
    space : Space or str
    reference : pa.Table
    *others : pa.Table
        With the same columns.

    Returns
    -------
    list of (n, d) float64 arrays
        Of the reference, then of the others.

    Examples
    --------
    >>> a, b = pa.table({"age": [20, 40]}), pa.table({"age": [30]})
    >>> [x.ravel().tolist() for x in embed("tabular", a, b)]
    [[-1.0, 1.0], [0.0]]
    """
    chosen = parse_space(space) if isinstance(space, str) else space
    wanted = chosen.columns(reference.schema)
    raws = [chosen.raw(_selected(t, wanted)) for t in (reference, *others)]
    fitted = chosen.fit(raws[0])
    return [fitted.transform(raw) for raw in raws]


def _selected(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    for name in columns:
        if name not in table.column_names:
            raise ConfigurationError(
                f"a table has no column {name!r}, which the reference has; "
                f"{near_names(name, table.column_names)}"
            )
    return table.select(list(columns))
