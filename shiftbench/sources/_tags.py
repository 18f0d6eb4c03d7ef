"""The tags of one row of a table of images."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shiftbench.sources._json import DECODE_ERRORS

__all__ = ["named_tags", "split_tags"]


def split_tags(text: str, separator: str | None) -> list[str] | str:
    """The tags in a text, or the reason why there are none; without a separator they are JSON.

    Examples
    --------
    >>> split_tags("sofa; bed", ";"), split_tags('["sofa", "bed"]', None)
    (['sofa', 'bed'], ['sofa', 'bed'])
    """
    text = text.strip()
    if not text:
        return []
    if separator is not None:
        return [t.strip() for t in text.split(separator)]
    try:
        return [t.strip() for t in msgspec.json.decode(text, type=list[str])]
    except DECODE_ERRORS:
        return (
            f"the tags {text[:80]!r} are no JSON list of text; say what stands between them with "
            "tags_separator"
        )


def named_tags(codes: Sequence[int | None], names: Sequence[str]) -> list[str] | str:
    """The names of some tags, or the reason why one has none.

    Examples
    --------
    >>> named_tags([1, None, -1], ["sofa", "bed"]), named_tags([2], ["sofa", "bed"])
    (['bed'], 'the tag 2 has no name; there are 2')
    """
    above = [t for t in codes if t is not None and t >= len(names)]
    if above:
        return f"the tag {above[0]} has no name; there are {len(names)}"
    return [names[t].strip() for t in codes if t is not None and t >= 0]
