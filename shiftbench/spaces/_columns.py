"""What the spaces ask of a schema's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from shiftbench.errors import ConfigurationError, near_names

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
    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(noted)["info"]["features"][name] if noted else {}
    except (ValueError, KeyError, TypeError):  # what others have noted is none of our business
        return {}
    return found if isinstance(found, dict) else {}


def is_list(kind: pa.DataType) -> bool:
    """Lists, of any length or a fixed one."""
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Strings, however they are stored."""
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))
