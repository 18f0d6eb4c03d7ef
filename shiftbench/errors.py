"""The few kinds of error that a user can meet.

Every message says what happened, where, what was allowed and what to do. The command line prints
it on one line and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigurationError",
    "ContentError",
    "IntegrityError",
    "MissingExtraError",
    "ShiftbenchError",
    "SourceError",
    "StorageError",
    "near_names",
    "printable",
]


class ShiftbenchError(Exception):
    """Base of every error that shiftbench raises on purpose."""


class ConfigurationError(ShiftbenchError, ValueError):
    """An option, a recipe or a combination of them that cannot be built."""


class SourceError(ShiftbenchError):
    """An input file that cannot be read as the format it should have."""


class ContentError(ShiftbenchError):
    """The content of one example cannot be used; the build records it as rejected and goes on."""


class StorageError(ShiftbenchError, OSError):
    """The output cannot be written: it exists, the disk is full, the location is not writable."""


class IntegrityError(ShiftbenchError):
    """A benchmark directory is not what its manifest says it is."""


class MissingExtraError(ShiftbenchError, ImportError):
    """A feature needs an optional dependency.

    Examples
    --------
    >>> print(MissingExtraError("altair", "report"))
    'altair' is not installed; it comes with an extra: pip install 'shiftbench[report]'
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed; it comes with an extra: "
            f"pip install 'shiftbench[{extra}]'"
        )


def near_names(wanted: str, known: Iterable[str], n: int = 5) -> str:
    """Words for an error message: the known names nearest to the one asked for.

    Examples
    --------
    >>> near_names("catt", ["dog", "cat", "car"])
    "did you mean 'cat'?"
    >>> near_names("CAT", ["dog", "cat", "car"])
    "did you mean 'cat'?"
    >>> near_names("zebra", ["dog"])
    "there are: 'dog'"
    """
    names = sorted(set(known))
    same = [name for name in names if name.casefold() == wanted.casefold()]
    near = same or difflib.get_close_matches(wanted, names, n=n, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, names[: 2 * n])) or "none"
    return f"there are: {shown}" + (f" … ({len(names)} in all)" if len(names) > 2 * n else "")


def printable(text: str) -> str:
    """A line that a terminal only shows: what would move its cursor or turn its text is spelt out.

    Examples
    --------
    >>> print(printable("größer, " + chr(27) + "[31mred"))
    größer, \\x1b[31mred
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
