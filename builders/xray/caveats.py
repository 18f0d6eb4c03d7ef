"""What a source of radiographs says of itself that a reader of results has to know."""

from __future__ import annotations

from typing import Any

__all__ = ["caveats"]

_PITCH = ("row_mm", "column_mm", "rows", "columns")
_OF_GEOMETRY = ("spacing_column", "original_rows_column", "original_columns_column")


def caveats(source: Any, device: str, spacing: float | None) -> tuple[str, ...]:
    """Warnings about devices that stand for no machine, and pictures that were resized.

    Parameters
    ----------
    source : RadiographSource
    device : str
        The builder's rule.
    spacing : float or None
        To which radiographs are resampled.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> nih = SimpleNamespace(
    ...     device_column="mm", spacing_column="mm", original_rows_column="h", released_size=1024)
    >>> [text.partition(":")[0] for text in caveats(nih, "device", None)]
    ['the device is a PROXY', 'every radiograph was resized to 1024 x 1024 before its release']
    >>> caveats(nih, "", 0.4)[0].partition(":")[0]
    'every radiograph was resized to 1024 x 1024 before its release'
    """
    option = {name: getattr(source, name, None) for name in _OF_GEOMETRY}
    of_geometry = {v for v in option.values() if v is not None}
    made_of = {part.strip() for part in device.split("*")}
    found = []
    stands_in = "device" in made_of and getattr(source, "device_column", None) in of_geometry
    if stands_in or made_of & set(_PITCH):
        found.append(
            "the device is a PROXY: no maker or model names it, and the pixel spacing or size of "
            "the image stands in for the detector; different machines may share it"
        )
    released = getattr(source, "released_size", None)
    if released:
        text = (
            f"every radiograph was resized to {released} x {released} before its release: "
            "sharpness, anisotropy and true spacing depend on the original's size and orientation, "
            "so that 'device' here is partly resize factor and orientation"
        )
        if spacing is None:
            text += "; compare with a build at one isotropic spacing (--spacing), and show both"
        found.append(text)
    return tuple(found)
