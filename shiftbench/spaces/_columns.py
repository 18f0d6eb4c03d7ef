"""What the spaces ask of a schema's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import declared_features

__all__ = ["declared", "is_list", "is_text", "known"]


def known(schema: pa.Schema, name: str, what: str = "") -> pa.DataType:
    """The type of a column, of a dictionary's its values'.

    Raises
    ------
    ConfigurationError
        There is no such column; the message has the near names.
    """
    if name not in schema.names:
        raise ConfigurationError(
            f"there is no column {name!r}{what}; {near_names(name, schema.names)}"
        )
    kind = schema.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def declared(schema: pa.Schema, name: str) -> Mapping[str, Any]:
    """The feature that `datasets` noted for a column; empty where there is none."""
    return declared_features(schema).get(name, {})


def is_list(kind: pa.DataType) -> bool:
    """Lists, of any length or a fixed one."""
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Strings, however they are stored."""
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))
