"""Steps as a transform of torchvision, version 2, for training loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError, MissingExtraError
from shiftbench.transforms._degrade import turned
from shiftbench.transforms._pictures import picture, pixels
from shiftbench.transforms.apply import apply_step
from shiftbench.transforms.step import Pitch, Step, acquisition_named, parse_step

try:
    import torch
    from PIL.Image import Image as Picture
    from torchvision import tv_tensors
    from torchvision.transforms import v2
except ImportError as error:
    raise MissingExtraError(error.name or "torchvision", "torch") from None

__all__ = ["AcquisitionTransform"]


class AcquisitionTransform(v2.Transform):  # type: ignore[misc]
    """Changes the acquisition of images; each call draws one of the steps, and its noise.

    Draws come from torch's generator, so ``torch.manual_seed`` repeats them, and workers of a
    ``DataLoader`` differ. All images of one sample get the same step; ``rotation`` also turns
    their masks (nearest pixel) and bounding boxes. Needs the extra ``torch``.

    Images are a picture of Pillow (L, I;16, or RGB with equal channels), a ``tv_tensors.Image``
    or a plain tensor, (rows, columns) or (..., channels, rows, columns) with 1 or 3 equal
    channels, of uint8, uint16 or float32 in [0, 1].

    Parameters
    ----------
    steps : str, Step or sequence of them
        Such as "dose=2"; of several, each call draws one with equal chance.
    pitch_mm : float or (row_mm, column_mm), optional
        Of the images as this transform sees them; needed by steps in lp/mm.

    Raises
    ------
    ConfigurationError
        No step, an unknown one, or no pitch where it is needed.

    Examples
    --------
    >>> change = AcquisitionTransform(["gamma=2"])
    >>> change(torch.full((1, 1, 2), 128, dtype=torch.uint8)).tolist()
    [[[64, 64]]]
    """

    _transformed_types = (
        torch.Tensor,  # plain ones, images, videos, masks and boxes
        Picture,
    )

    def __init__(
        self, steps: str | Step | Sequence[str | Step], *, pitch_mm: Pitch | None = None
    ) -> None:
        super().__init__()
        given = [steps] if isinstance(steps, str | Step) else list(steps)
        if not given:
            raise ConfigurationError("no step is given; give one or more, e.g. 'dose=2'")
        self.steps = tuple(parse_step(s) if isinstance(s, str) else s for s in given)
        self.pitch_mm = pitch_mm
        for step in self.steps:
            if acquisition_named(step.name).needs_pitch and pitch_mm is None:
                raise ConfigurationError(f"{step} is in lp/mm and needs pitch_mm")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The step and the seed of one call."""
        which = int(torch.randint(len(self.steps), ()))
        return {"step": self.steps[which], "seed": int(torch.randint(2**62, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image, mask or set of boxes."""
        step = params["step"]
        if isinstance(inpt, tv_tensors.Mask):
            return self._turned_mask(inpt, step)
        if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(
            inpt, tv_tensors.Image | tv_tensors.Video
        ):
            moves = acquisition_named(step.name).geometric and step.value
            return v2.functional.rotate(inpt, step.value) if moves else inpt
        if isinstance(inpt, Picture):
            return self._picture(inpt, params)
        planes, shape = _planes(inpt.detach().cpu().numpy())
        changed = np.stack([self._changed(p, params, i) for i, p in enumerate(planes)])
        # Channels that were equal are given the same plane again.
        made = np.broadcast_to(changed[:, None], (len(planes), _channels(shape), *shape[-2:]))
        tensor = torch.from_numpy(made.reshape(shape).copy()).to(inpt.device)
        return tv_tensors.wrap(tensor, like=inpt)

    def extra_repr(self) -> str:
        """The options, for ``repr``."""
        said = f"steps={[str(step) for step in self.steps]}"
        return said if self.pitch_mm is None else f"{said}, pitch_mm={self.pitch_mm}"

    def _changed(self, plane: NDArray[Any], params: dict[str, Any], i: int) -> NDArray[Any]:
        return apply_step(
            plane, params["step"], seed=params["seed"], ident=str(i), pitch_mm=self.pitch_mm
        )

    def _picture(self, image: Picture, params: dict[str, Any]) -> Picture:
        if image.mode != "RGB":
            return picture(self._changed(pixels(image), params, 0))
        (plane,), _ = _planes(np.moveaxis(np.asarray(image), -1, 0))
        return picture(self._changed(plane, params, 0)).convert("RGB")

    def _turned_mask(self, mask: Any, step: Step) -> Any:
        if not (acquisition_named(step.name).geometric and step.value):
            return mask
        array = mask.detach().cpu().numpy()
        flat = array.reshape(-1, *array.shape[-2:])
        binary = array.dtype == np.bool_  # scipy's rotation has no booleans
        flat = flat.astype(np.uint8) if binary else flat
        made = np.stack([turned(m, step.value, order=0) for m in flat]) if len(flat) else flat
        made = made.astype(array.dtype).reshape(array.shape)
        return tv_tensors.wrap(torch.from_numpy(made).to(mask.device), like=mask)


def _channels(shape: tuple[int, ...]) -> int:
    return shape[-3] if len(shape) > 2 else 1


def _planes(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """(n, rows, columns), one plane an image, and the shape to go back to."""
    channels = _channels(array.shape)
    if array.ndim < 2 or channels not in (1, 3) or array.size == 0:
        raise ContentError(
            f"an image of shape {array.shape}; allowed are (rows, columns) and (..., channels, "
            "rows, columns) with 1 or 3 channels"
        )
    stacked = array.reshape(-1, channels, *array.shape[-2:])
    if channels == 3 and not (stacked == stacked[:, :1]).all():
        raise ContentError(
            "an image in colour; an acquisition change needs grey, with 1 channel or 3 equal ones"
        )
    return stacked[:, 0], array.shape
