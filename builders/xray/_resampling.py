"""Radiographs with pixels of several sizes, brought to one size and one sharpness of the filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError

__all__ = ["KNEE", "SAME_PITCH", "nearest", "resampled"]

KNEE = 0.75
"""Share of the new Nyquist frequency from which the filter falls, to zero at the whole of it."""

SAME_PITCH = 1e-3
"""Relative difference up to which two pitches are one: headers round them."""

Image = NDArray[np.float32]


def resampled(image: Image, pitch: tuple[float | None, float | None], spacing: float) -> Image:
    """An image with isotropic pixels of a given size, low-passed alike whatever its own pixels.

    The discrete cosine transform is multiplied by a filter and truncated to the new number of
    rows and columns: nothing aliases, and the image's edges are mirrored, not wrapped. The filter
    is a function of cycles per mm alone: 1 up to three quarters of the new Nyquist frequency
    1 / (2 · spacing), then a squared cosine down to 0, along rows and columns. It is applied where
    the pixels have the wanted size already, too. A device whose own pitch is the wanted one would
    otherwise keep what the others lose: of white noise Pillow's Lanczos filter, which leaves an
    image of the wanted size alone, keeps half the power near the Nyquist frequency, and its box
    filter folds back what lies beyond. `shiftbench.spaces.Spectrum` truncates without a slope,
    which is the same comparison over the first three quarters of the band; here the pixels are
    looked at, and the slope shortens the ringing beside a step to a third (more than 1 % of the
    step: 9 pixels in place of 27, at a factor of 1.2).

    Parameters
    ----------
    image : (rows, columns) array of float32
    pitch : (float, float)
        Distance between rows and between columns, in mm.
    spacing : float
        Wanted distance between both, in mm.

    Returns
    -------
    array of float32
        round(rows · pitch / spacing) rows, columns likewise. Ringing may leave the range of the
        image: clip it.

    Raises
    ------
    ContentError
        The pitch is unknown, or coarser than `spacing` by more than a thousandth.

    Examples
    --------
    >>> image = np.full((100, 80), 0.5, np.float32)
    >>> made = resampled(image, (0.15, 0.1), 0.2)
    >>> made.shape, round(float(made[7, 9]), 4)
    ((75, 40), 0.5)
    """
    from scipy.fft import dctn, idctn

    row, column = pitch
    if row is None or column is None:
        raise ContentError(
            f"no pixel spacing, which resampling to {spacing:g} mm needs; give it, or cut at the "
            "native spacing (spacing=None)"
        )
    if max(row, column) > spacing * (1 + SAME_PITCH):
        raise ContentError(
            f"pixels of {row:g} x {column:g} mm cannot be resampled to {spacing:g} mm, which is "
            "finer; choose a spacing no finer than the coarsest radiograph's"
        )
    zooms = (row / spacing, column / spacing)
    rows, columns = (
        min(max(round(n * zoom), 1), n) for n, zoom in zip(image.shape, zooms, strict=True)
    )
    kept = dctn(image, norm="ortho")[:rows, :columns]
    kept *= _filter(rows, image.shape[0], zooms[0])[:, None]
    kept *= _filter(columns, image.shape[1], zooms[1])
    made: Image = idctn(kept, norm="ortho", overwrite_x=True)
    made *= np.float32(np.sqrt(kept.size / image.size))
    return made


def _filter(kept: int, n: int, zoom: float) -> NDArray[np.float32]:
    """Gain of each coefficient; coefficient k of n has k / (2 n) cycles an old pixel."""
    nyquist = np.arange(kept) / (n * zoom)
    slope = np.clip((nyquist - KNEE) / (1 - KNEE), 0, 1)
    return (np.cos(np.pi / 2 * slope) ** 2).astype(np.float32)


def nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask with another number of rows and columns: each pixel takes the nearest's value."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        ((2 * np.arange(m) + 1) * n // (2 * m)) for n, m in zip(mask.shape, shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
