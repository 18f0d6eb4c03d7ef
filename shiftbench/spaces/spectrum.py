"""How an image was taken rather than what is on it: its power spectrum, noise and sharpness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.spaces._columns import known
from shiftbench.spaces._images import Picture, image_column, pictures
from shiftbench.spaces._moments import mean_and_variance
from shiftbench.spaces.space import Fitted

__all__ = ["Spectrum"]

Floats = NDArray[np.float64]

TILE = 256
"""Pixels along the side of a tile, of which an image has several, half overlapping."""

MAX_TILES = 8
"""Along each side; in larger images they are spread evenly and do not overlap."""

COARSE = 4
"""Bands of the directional features."""

_LAPLACIAN_GAIN = 20.0  # variance of the four-neighbour Laplacian of white noise of variance 1
_CONSTANT = 1e-5  # below this a standard deviation is rounding of float32


@dataclass(frozen=True)
class Spectrum:
    """Log power by frequency, radially and by direction, noise and sharpness, of the grey image.

    The spectrum is Welch's: tiles of 256 × 256 pixels (smaller images: one tile, padded with
    zeros after the window), half overlapping and at most 8 × 8 of them, each with its
    Hann-weighted mean removed and a Hann window, their periodograms averaged. Of it:

    - ``power k``: log of the mean power in ring k of `bands` rings of equal width from 0 to the
      Nyquist frequency (0.5 cycles a pixel);
    - in each of four coarser rings, log ratios between sectors 45° wide of the direction in which
      the image varies: ``horizontal/vertical``, ``falling/rising`` (the two diagonals; falling is
      from top left to bottom right) and ``axes/diagonals``;
    - ``noise``: log variance of the noise by the estimate of Immerkær (1996);
    - ``sharpness``: log variance of the Laplacian.

    All are natural logs relative to the total power, so that gain and offset (exposure) cancel.
    Uniform quantisation noise, (1/255)²/12 (16 bits: (1/65535)²/12), is added to every power: it
    keeps constant images finite, which look like white noise then. The orientation in EXIF is
    ignored. Fitted, each feature is standardised by its mean and standard deviation on the
    reference; one that is constant there keeps its scale.

    With `spacing` each tile is first resampled to pixels of that size, by truncating its discrete
    cosine transform (an ideal low pass without wrapping around), so that all images are compared
    over the same cycles per mm, up to 1 / (2 · spacing), whatever their pixels' sizes are.

    Parameters
    ----------
    bands : int
        Rings of the radial average, 1 to 32.
    spacing : float, optional
        Pitch to resample to, in the unit of the columns (mm); no finer than the coarsest image's.
    row_spacing : str, optional
        The column with the distance between rows (vertical pitch) of each image as it is stored;
        needed with `spacing` and only then.
    column_spacing : str, optional
        The column with the distance between columns (horizontal pitch); by default `row_spacing`,
        for square pixels.
    column : str, optional
        The image column; by default the only one, or the one called ``image``.

    References
    ----------
    Welch, The use of fast Fourier transform for the estimation of power spectra, IEEE Trans.
    Audio Electroacoust. 15 (1967). Immerkær, Fast noise variance estimation, Computer Vision and
    Image Understanding 64 (1996), eq. 5.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))  # varies along each row
    >>> file = io.BytesIO()
    >>> Image.fromarray(stripes).save(file, "PNG")
    >>> table = pa.table({"image": [{"bytes": file.getvalue(), "path": None}]})
    >>> space = Spectrum()
    >>> raw = space.raw(table)
    >>> found = dict(zip(space.fit(raw).names, raw[0].tolist()))
    >>> found["power 15"] > 2 > 0 > found["power 8"], found["horizontal/vertical 3"] > 5
    (True, True)
    """

    name: ClassVar[str] = "spectrum"

    bands: int = 16
    spacing: float | None = None
    row_spacing: str | None = None
    column_spacing: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bands <= 32:
            raise ConfigurationError(f"bands is {self.bands}; allowed are 1 to 32")
        if self.spacing is not None and not 0 < self.spacing < np.inf:
            raise ConfigurationError(f"spacing is {self.spacing}; it must be a positive number")
        if (self.spacing is None) != (self.row_spacing is None) or (
            self.row_spacing is None and self.column_spacing is not None
        ):
            raise ConfigurationError(
                "resampling needs both spacing (the pitch to resample to) and row_spacing (the "
                "column with each image's own; column_spacing too where pixels are not square)"
            )

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The image column, and those of the pitches."""
        pitches = self._pitch_columns
        for name in pitches:
            known(schema, name, " for the pixel spacing")
        return tuple(dict.fromkeys((image_column(schema, self.column), *pitches)))

    def raw(self, batch: pa.Table) -> NDArray[np.float32]:
        """(n, bands + 14) logs: rings, sectors ring by ring, noise, sharpness."""
        column = image_column(batch.schema, self.column)
        zooms = self._zooms(batch)
        made = np.empty((len(batch), self.bands + 3 * COARSE + 2), np.float32)
        for row, zoom, picture in zip(made, zooms, pictures(batch, column), strict=True):
            row[:] = _features(picture, zoom, self.bands)
        return made

    def fit(self, reference: NDArray[np.float32]) -> Fitted:
        """Standardise each feature by its mean and standard deviation on the reference."""
        mean, variance = mean_and_variance(reference)
        sd = np.sqrt(variance)
        sd[sd < _CONSTANT] = 1.0
        names = (
            *(f"power {k}" for k in range(self.bands)),
            *(f"{kind} {k}" for k in range(COARSE) for kind in _CONTRASTS),
            "noise",
            "sharpness",
        )
        return Fitted(partial(_standardised, mean=mean, sd=sd), names, {"mean": mean, "sd": sd})

    @property
    def _pitch_columns(self) -> tuple[str, ...]:
        if self.row_spacing is None:
            return ()
        return (self.row_spacing, self.column_spacing or self.row_spacing)

    def _zooms(self, batch: pa.Table) -> Floats:
        """(n, 2): how many of an image's rows and columns go into one resampled."""
        if self.spacing is None:
            return np.ones((len(batch), 2))
        pitches = np.column_stack([_pitches(batch, name) for name in self._pitch_columns])
        coarsest = float(pitches.max(initial=0))
        # A pitch stored as float32 differs from the number that the user types.
        if coarsest > self.spacing * (1 + 1e-6):
            row = int(pitches.max(axis=1).argmax())
            raise ConfigurationError(
                f"spacing is {self.spacing}, and the image in row {row} has a pitch of {coarsest}; "
                "what it does not hold cannot be compared: choose a spacing no finer than the "
                "coarsest image's"
            )
        return self.spacing / pitches


def _pitches(batch: pa.Table, name: str) -> Floats:
    try:
        values = batch.column(name).cast(pa.float64()).to_pylist()
    except pa.ArrowException:
        raise ConfigurationError(
            f"the column {name!r} is of type {batch.schema.field(name).type}; a pixel spacing is "
            "a number"
        ) from None
    for row, value in enumerate(values):
        if value is None or not 0 < value < np.inf:
            raise ContentError(f"row {row}: the pixel spacing in {name!r} is {value}")
    return np.array(values, dtype=np.float64)


_CONTRASTS = ("horizontal/vertical", "falling/rising", "axes/diagonals")


def _features(picture: Picture, zoom: Floats, bands: int) -> Floats:
    tiles = 0
    power: Any = 0.0
    noise = edges = 0.0
    for tile in _tiles(picture, zoom):
        power = power + _periodogram(tile)
        edge = tile if min(tile.shape) >= 3 else np.pad(tile, 1, mode="edge")
        noise += _noise(edge) ** 2
        edges += float(np.var(_laplacian(edge), dtype=np.float64))
        tiles += 1
    grid = _grid(2 * (power.shape[1] - 1), bands)
    power = power.ravel() / tiles
    floor = picture.full**-2 / 12
    sums = np.bincount(grid.ring, weights=power * grid.weight, minlength=bands + 1)[:bands]
    total = float(sums.sum() / grid.ring_weight.sum()) + floor
    rings = sums / grid.ring_weight + floor
    cells = np.bincount(grid.cell, weights=power * grid.weight, minlength=4 * COARSE + 1)
    sectors = (cells[:-1] / grid.cell_weight + floor).reshape(COARSE, 4)
    horizontal, falling, vertical, rising = sectors.T
    contrasts = np.column_stack(
        [horizontal / vertical, falling / rising, (horizontal + vertical) / (falling + rising)]
    )
    found: Floats = np.concatenate(
        [
            np.log(rings / total),
            np.log(contrasts).ravel(),
            np.log([(noise / tiles + floor) / total]),
            np.log([(edges / tiles + floor * _LAPLACIAN_GAIN) / total]),
        ]
    )
    return found


def _tiles(picture: Picture, zoom: Floats) -> Iterator[NDArray[np.float32]]:
    """Grey tiles of at most TILE × TILE pixels after resampling."""
    sizes = [min(n, round(TILE * z)) for n, z in zip(picture.pixels.shape, zoom, strict=False)]
    pairs = zip(picture.pixels.shape, sizes, strict=False)
    starts = [_starts(n, size) for n, size in pairs]
    wanted = tuple(max(1, round(n / z)) for n, z in zip(sizes, zoom, strict=True))
    for top, left in product(*starts):
        tile = picture.grey(slice(top, top + sizes[0]), slice(left, left + sizes[1]))
        yield tile if tile.shape == wanted else _resampled(tile, wanted)


def _starts(n: int, size: int) -> list[int]:
    count = min(-(-2 * (n - size) // size) + 1, MAX_TILES)
    return [int(s) for s in np.rint(np.linspace(0, n - size, count))]


def _resampled(tile: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    from scipy.fft import dctn, idctn

    kept = dctn(tile, norm="ortho")[: shape[0], : shape[1]]
    scale = np.float32(np.sqrt(kept.size / tile.size))
    made: NDArray[np.float32] = idctn(kept, norm="ortho") * scale
    return made


@lru_cache(maxsize=64)
def _hann(h: int, w: int) -> NDArray[np.float32]:
    rows, columns = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (h, w))
    return np.outer(rows, columns).astype(np.float32)


def _periodogram(tile: NDArray[np.float32]) -> Floats:
    """(side, side / 2 + 1): power, so scaled that white noise has its variance everywhere."""
    from scipy.fft import rfft2

    window = _hann(*tile.shape)
    tile = tile - tile.mean(dtype=np.float64).astype(np.float32)  # or rounding looks like power
    mean = np.vdot(window, tile) / window.sum()
    side = 64
    while side < max(tile.shape):
        side *= 2
    spectrum = rfft2((tile - mean) * window, s=(side, side))
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
    return np.asarray(power / np.vdot(window, window))


@dataclass(frozen=True)
class _Grid:
    """Which ring, and which coarse ring and sector, each frequency of half a plane lies in."""

    ring: NDArray[np.int64]
    cell: NDArray[np.int64]
    weight: Floats
    ring_weight: Floats
    cell_weight: Floats


@lru_cache(maxsize=32)
def _grid(side: int, bands: int) -> _Grid:
    down = np.fft.fftfreq(side)[:, None]
    right = np.fft.rfftfreq(side)[None, :]
    radius = np.hypot(down, right)
    # Sectors of 45°: 0 horizontal, 1 falling, 2 vertical, 3 rising; −90° is 90°.
    sector = np.floor((np.degrees(np.arctan2(down, right)) + 22.5) / 45).astype(np.int64) % 4
    weight = np.full(radius.shape, 2.0)  # the other half plane has the same power
    weight[:, [0, -1]] = 1.0
    inside = (radius > 0) & (radius <= 0.5)
    ring = np.minimum((radius * 2 * bands).astype(np.int64), bands - 1)
    cell = np.minimum((radius * 2 * COARSE).astype(np.int64), COARSE - 1) * 4 + sector
    ring, cell = np.where(inside, ring, bands), np.where(inside, cell, 4 * COARSE)
    flat = weight.ravel()
    return _Grid(
        ring.ravel(),
        cell.ravel(),
        flat,
        np.asarray(np.bincount(ring.ravel(), weights=flat)[:bands], dtype=np.float64),
        np.asarray(np.bincount(cell.ravel(), weights=flat)[: 4 * COARSE], dtype=np.float64),
    )


def _laplacian(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - np.float32(4) * x[1:-1, 1:-1]


def _noise(x: NDArray[np.float32]) -> float:
    """Immerkær's standard deviation of the noise: blind to edges, planes and their curvature."""
    across = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
    both = across[:-2] - 2 * across[1:-1] + across[2:]
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(both).mean(dtype=np.float64))


def _standardised(raw: NDArray[np.float32], *, mean: Floats, sd: Floats) -> Floats:
    return (raw.astype(np.float64) - mean) / sd
