"""What an image looks like from afar: a thumbnail, and how often each intensity occurs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.spaces._images import Picture, area_means, image_column, pictures
from shiftbench.spaces._moments import mean_and_variance
from shiftbench.spaces.space import Fitted

__all__ = ["Pixels"]


@dataclass(frozen=True)
class Pixels:
    """Means over a coarse grid, and a histogram of each channel.

    The first part sees layout, colour and brightness by place, the second contrast and exposure
    wherever they are. Neither sees texture: `Spectrum` does.

    The mean over each of ``size × size`` equal rectangles is exact, also where they cut pixels.
    Both parts lie in [0, 1], scaled by the bit depth and never by the image's own maximum, which
    would hide or invent an exposure. Transparency is dropped and the orientation in EXIF ignored,
    as a training loop with ``Image.convert("RGB")`` has it.

    Fitted, each part is centred and divided by the root of its total variance (the sum over its
    columns) on the reference, so that both weigh the same in a distance; a part that does not vary
    on the reference keeps its own scale, and the state names it.

    Parameters
    ----------
    size : int
        Rows and columns of the thumbnail, 1 to 256.
    bins : int
        Of the histogram of each channel, of equal width, 2 to 256.
    channels : {"rgb", "grey"}
        "rgb": three, and a grey image counts as one with three equal channels. "grey": the mean
        of luma (ITU-R BT.601) alone.
    column : str, optional
        The image column; by default the only one, or the one called ``image``.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (10, 10), (255, 0, 0)).save(file, "PNG")
    >>> table = pa.table({"image": [{"bytes": file.getvalue(), "path": None}]})
    >>> Pixels(size=1, bins=2).raw(table).tolist()
    [[1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]]
    """

    name: ClassVar[str] = "pixels"

    size: int = 8
    bins: int = 16
    channels: Literal["rgb", "grey"] = "rgb"
    column: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 256:
            raise ConfigurationError(f"size is {self.size}; allowed are 1 to 256")
        if not 2 <= self.bins <= 256:
            raise ConfigurationError(f"bins is {self.bins}; allowed are 2 to 256")
        if self.channels not in ("rgb", "grey"):
            raise ConfigurationError(f"channels is {self.channels!r}; allowed are 'rgb' and 'grey'")

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The image column."""
        return (image_column(schema, self.column),)

    def raw(self, batch: pa.Table) -> NDArray[np.float32]:
        """(n, c·size² + c·bins) values in [0, 1]: the thumbnail by row, then the histograms."""
        column = image_column(batch.schema, self.column)
        made = np.empty((len(batch), self._split + self._n_channels * self.bins), np.float32)
        for row, picture in zip(made, pictures(batch, column), strict=True):
            row[:] = self._of(picture)
        return made

    def fit(self, reference: NDArray[np.float32]) -> Fitted:
        """Centre both parts and divide each by the root of its total variance."""
        mean, variance = mean_and_variance(reference)
        parts = {"thumbnail": slice(0, self._split), "histogram": slice(self._split, None)}
        scale = np.ones(len(mean))
        constant = []
        for part, where in parts.items():
            total = float(variance[where].sum())
            if total > 0:
                scale[where] = total**-0.5
            else:
                constant.append(part)
        state = {"mean": mean, "scale": scale, "constant": constant}
        return Fitted(partial(_scaled, mean=mean, scale=scale), self._names(), state)

    @property
    def _n_channels(self) -> int:
        return 3 if self.channels == "rgb" else 1

    @property
    def _split(self) -> int:
        return self._n_channels * self.size**2

    def _of(self, picture: Picture) -> NDArray[np.float32]:
        pixels = picture.pixels
        if self.channels == "grey" and pixels.ndim == 3:
            grey = picture.grey(slice(None), slice(None)) * picture.full
            pixels = np.rint(grey).astype(pixels.dtype)
        planes = pixels.reshape(*pixels.shape[:2], -1)
        means = area_means(pixels, self.size) / np.float32(picture.full)
        shares = [_shares(planes[..., c], self.bins) for c in range(planes.shape[2])]
        if len(shares) < self._n_channels:
            means, shares = np.repeat(means, 3, axis=2), shares * 3
        return np.concatenate([means.ravel(), *shares])

    def _names(self) -> tuple[str, ...]:
        colours = ("red", "green", "blue") if self.channels == "rgb" else ("grey",)
        cells = [(i, j) for i in range(self.size) for j in range(self.size)]
        return (
            *(f"{colour} at {i},{j}" for i, j in cells for colour in colours),
            *(f"{colour} bin {k}" for colour in colours for k in range(self.bins)),
        )


def _shares(plane: NDArray[Any], bins: int) -> NDArray[np.float32]:
    """How much of a plane lies in each of `bins` equal parts of the range of its type."""
    levels = int(np.iinfo(plane.dtype).max) + 1
    counts = np.bincount(plane.ravel(), minlength=levels)
    pooled = np.bincount(np.arange(levels) * bins // levels, weights=counts, minlength=bins)
    return (pooled / plane.size).astype(np.float32)


def _scaled(
    raw: NDArray[np.float32], *, mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (raw.astype(np.float64) - mean) * scale
