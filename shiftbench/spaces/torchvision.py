"""What a pretrained network sees in an image: the features that its last layer classifies."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from shiftbench.errors import ConfigurationError, MissingExtraError, SourceError, near_names
from shiftbench.spaces._images import image_column, pictures
from shiftbench.spaces.space import Fitted

__all__ = ["Torchvision"]

_SECONDS = 10
"""Until a server that does not answer counts as no network."""


@dataclass(frozen=True)
class Torchvision:
    """The input of the last linear layer of a classifier of torchvision, with its own weights.

    Images become RGB of 8 bits and are prepared as the weights ask for (``weights.transforms()``:
    size, crop, normalisation). The network runs in evaluation mode, without gradients, in float32
    without reduced precision; how examples are put together into batches changes the last digits
    only. Needs the extra ``torch``.

    Weights are taken from ``$TORCH_HOME/hub/checkpoints``, where torchvision keeps them, or
    fetched once where there is a network.

    Parameters
    ----------
    model : str
        A classification model as ``torchvision.models.get_model`` knows it, e.g. ``resnet18``.
    weights : str
        Which of the model's weights; "DEFAULT" is the best that torchvision has.
    batch_size : int
        Images that go through the network together.
    device : str
        As torch names it; "auto" is the first GPU of CUDA where there is one, else the CPU.
    column : str, optional
        The image column; by default the only one, or the one called ``image``.

    Examples
    --------
    >>> space = Torchvision("resnet18")
    >>> space.columns(pa.schema([("image", pa.struct([("bytes", pa.binary())]))]))
    ('image',)
    """

    name: ClassVar[str] = "torchvision"

    model: str
    weights: str = "DEFAULT"
    batch_size: int = 64
    device: str = "auto"
    column: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigurationError(f"batch_size is {self.batch_size}; it must be at least 1")

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The image column.

        Raises
        ------
        MissingExtraError
            torch or torchvision is not installed.
        """
        for package in ("torch", "torchvision"):
            if find_spec(package) is None:
                raise MissingExtraError(package, "torch")
        return (image_column(schema, self.column),)

    def raw(self, batch: pa.Table) -> NDArray[np.float32]:
        """(n, d) features of the penultimate layer.

        Raises
        ------
        MissingExtraError
            torch or torchvision is not installed.
        ConfigurationError
            torchvision has no such model or weights, or torch no such device.
        SourceError
            The weights are not on this machine and cannot be fetched, or cannot be read.
        """
        (column,) = self.columns(batch.schema)
        network = _network(self.model, self.weights, self.device)
        prepared = (network.prepare(image) for image in _rgb(batch, column))
        parts = []
        while chunk := list(islice(prepared, self.batch_size)):
            parts.append(network(chunk))
        return np.concatenate(parts) if parts else np.empty((0, network.width), np.float32)

    def fit(self, reference: NDArray[np.float32]) -> Fitted:
        """The identity: the network is the map."""
        width = reference.shape[1]
        # Which weights are the default changes; their file's name holds part of their hash.
        file = _file_name(_weights(self.model, self.weights))
        state = {"model": self.model, "weights": file, "width": width}
        names = tuple(f"{self.model} {j}" for j in range(width))
        return Fitted(partial(np.asarray, dtype=np.float64), names, state)


def _rgb(batch: pa.Table, column: str) -> Iterator[Image.Image]:
    for picture in pictures(batch, column):
        pixels = picture.pixels
        # Pillow would cut 16 bits off at 255.
        eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        yield Image.fromarray(eight).convert("RGB")


def _weights(model: str, weights: str) -> Any:
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise ConfigurationError(
            f"torchvision has no classification model {model!r}; {near_names(model, known)}"
        )
    kinds = models.get_model_weights(model)
    if weights not in kinds.__members__:
        raise ConfigurationError(
            f"{model} has no weights {weights!r}; {near_names(weights, kinds.__members__)}"
        )
    return kinds[weights]


def _file_name(weights: Any) -> str:
    return str(weights.url.rpartition("/")[2])


@dataclass(frozen=True)
class _Network:
    """A network whose last linear layer hands out what it is given."""

    module: Any
    prepare: Any
    device: Any
    width: int
    given: list[Any]

    def __call__(self, images: list[Any]) -> NDArray[np.float32]:
        import torch

        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            self.module(torch.stack(images).to(self.device))
        features: NDArray[np.float32] = self.given.pop().float().cpu().numpy()
        return features


@lru_cache(maxsize=2)
def _network(model: str, weights: str, device: str) -> _Network:
    import torch

    chosen = _weights(model, weights)
    module = _loaded(model, chosen).eval()
    linear = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    if not linear:
        raise ConfigurationError(
            f"{model} has no linear layer whose input could be its features; choose another model"
        )
    given: list[Any] = []
    # Whichever linear layer is called last makes the logits; what it is given are the features.
    for layer in linear:
        layer.register_forward_pre_hook(partial(_keep, given))
    try:
        where = torch.device(
            device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        )
        module.to(where)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(
            f"the device {device!r} cannot be used: {first}; 'auto' and 'cpu' always can"
        ) from None
    return _Network(module, chosen.transforms(), where, linear[-1].in_features, given)


def _keep(given: list[Any], _: Any, inputs: tuple[Any, ...]) -> None:
    given[:] = [inputs[0]]


def _loaded(model: str, weights: Any) -> Any:
    """The network with its weights, or an error that says where they should be."""
    import torch
    from torchvision import models

    file = Path(torch.hub.get_dir(), "checkpoints", _file_name(weights))
    try:
        if not file.exists():
            # torch's own download waits for ever where a network swallows what is sent.
            urlopen(Request(weights.url), timeout=_SECONDS).close()
        # Once with an unpickler that admits tensors only; torchvision's own admits anything.
        torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        return models.get_model(model, weights=weights, progress=False)
    except OSError as error:
        if file.exists():
            raise SourceError(f"{file}: cannot be read ({error})") from None
        raise SourceError(
            f"the weights of {model} are not on this machine and cannot be fetched ({error}); "
            f"get {weights.url} and put it as {file.name} into {file.parent} (the environment "
            "variable TORCH_HOME moves that folder)"
        ) from None
    except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"{file}: these are no weights of {model} ({first}); delete the file and try again"
        ) from None
