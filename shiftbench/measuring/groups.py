"""The group that a subset stands for whatever its class: cat(sofa) and dog(sofa) are one."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.measuring.examples import Examples

__all__ = ["context_of", "group_contexts"]


def group_contexts(examples: Examples, subsets: pa.Table | None) -> dict[str, str]:
    """The context of each subset that has one.

    Of a subset that the benchmark's table has, it is the one stated there. The groups of a task
    need not be in it (``cat(indoor)``, of many contexts): theirs is read from the name, where what
    stands before the bracket is a class of the task.
    """
    found: dict[str, str] = {}
    for config in examples.tasks:
        for split, entry in examples.configs[config].splits.items():
            if not entry.rows:
                continue
            table = examples.split(config, split).table
            if not {"label", "subset"} <= {*table.column_names}:
                continue
            if not pa.types.is_string(table["label"].type):  # several findings, or a number
                continue
            classes = {str(v) for v in pc.unique(table["label"]).to_pylist()}
            for name in _names(table["subset"]):
                context = context_of(name, classes)
                if context is not None:
                    found[name] = context
    if subsets is not None:
        both = zip(subsets["subset"].to_pylist(), subsets["context"].to_pylist(), strict=True)
        found |= {name: context for name, context in both if context is not None}
    return found


def context_of(name: str, classes: Collection[str]) -> str | None:
    """What stands in the brackets after the name of a class; None where nothing does.

    Examples
    --------
    >>> context_of("cat(indoor)", {"cat", "dog"}), context_of("indoor", {"cat", "dog"})
    ('indoor', None)
    """
    class_, opened, rest = name.partition("(")
    while opened:
        if class_ in classes and rest.endswith(")"):
            return rest[:-1]
        # A class may have a bracket in its own name.
        more, opened, rest = rest.partition("(")
        class_ = f"{class_}({more}"
    return None


def _names(column: pa.ChunkedArray) -> list[str]:
    values = column.combine_chunks()
    kind = values.type
    flat = values.flatten() if pa.types.is_list(kind) or pa.types.is_large_list(kind) else values
    return [str(v) for v in pc.unique(flat).to_pylist() if v is not None]
