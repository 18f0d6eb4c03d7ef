"""AcquisitionTransform among torchvision's own."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.transforms import apply_step
from tests.transforms.chest import chest

torch = pytest.importorskip("torch")
tv_tensors = pytest.importorskip("torchvision.tv_tensors")
v2 = pytest.importorskip("torchvision.transforms.v2")
AcquisitionTransform = pytest.importorskip("shiftbench.transforms.tv").AcquisitionTransform

CHEST = np.rint(chest(64, 64) * 65535).astype(np.uint16)


def plane(dtype) -> np.ndarray:
    if dtype == np.float32:
        return CHEST / np.float32(65535)
    return (CHEST >> 8).astype(dtype) if dtype == np.uint8 else CHEST


def expected(dtype, step="gamma=2"):
    return apply_step(plane(dtype), step, seed=0, ident="")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_tensors(dtype, channels: int) -> None:
    tensor = torch.from_numpy(plane(dtype)).expand(channels, 64, 64)
    change = AcquisitionTransform("gamma=2")
    for given in (tensor, tv_tensors.Image(tensor)):
        made = change(given)
        assert type(made) is type(given)
        assert made.dtype == given.dtype
        assert made.shape == given.shape
        assert all(np.array_equal(c.numpy(), expected(dtype)) for c in made)


def test_two_dimensions_and_batches() -> None:
    grey = torch.from_numpy(plane(np.float32))
    change = AcquisitionTransform("dose=4")
    assert change(grey).shape == (64, 64)
    batch = change(grey.expand(2, 3, 1, 64, 64))
    assert batch.shape == (2, 3, 1, 64, 64)
    noise = (batch - grey).reshape(6, -1)
    assert len(torch.unique(noise, dim=0)) == 6  # each image of a batch has noise of its own
    video = change(tv_tensors.Video(grey.expand(3, 1, 64, 64)))
    assert isinstance(video, tv_tensors.Video)


def test_pictures() -> None:
    change = AcquisitionTransform("gamma=2")
    for dtype, mode in ((np.uint8, "L"), (np.uint16, "I;16")):
        made = change(Image.fromarray(plane(dtype)))
        assert made.mode == mode
        assert np.array_equal(np.asarray(made), expected(dtype))
    made = change(Image.fromarray(plane(np.uint8)).convert("RGB"))
    assert made.mode == "RGB"
    assert np.array_equal(np.asarray(made)[..., 1], expected(np.uint8))


def test_generator_of_torch_repeats_draws() -> None:
    tensor = torch.from_numpy(plane(np.uint8))[None]
    change = AcquisitionTransform(["dose=5", "gamma=2", "gamma=0.5"])

    def draws(seed: int) -> list[bytes]:
        torch.manual_seed(seed)
        return [change(tensor).numpy().tobytes() for _ in range(20)]

    first = draws(0)
    assert draws(0) == first
    assert draws(1) != first
    bright, dark = (
        apply_step(plane(np.uint8), f"gamma={g}", seed=0, ident="").tobytes() for g in (2, 0.5)
    )
    noisy = [d for d in first if d not in (bright, dark)]
    assert bright in first
    assert dark in first
    assert len(set(noisy)) == len(noisy) > 1


def test_only_rotation_moves_masks_and_boxes() -> None:
    image = torch.zeros((1, 65, 65))
    image[0, 10:20, 30:40] = 1
    sample = {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask(image.bool()),
        "classes": tv_tensors.Mask((image * 7).to(torch.int64)),
        "boxes": tv_tensors.BoundingBoxes([[30, 10, 40, 20]], format="XYXY", canvas_size=(65, 65)),
        "label": 3,
        "age": torch.tensor([50.0]),
    }
    still = AcquisitionTransform("dose=2")(sample)
    assert all(still[k] is sample[k] for k in ("mask", "classes", "boxes", "label", "age"))
    assert AcquisitionTransform("rotation=0")(sample)["mask"] is sample["mask"]

    moved = AcquisitionTransform("rotation=90")(sample)
    assert torch.allclose(moved["image"], torch.rot90(image, 1, (1, 2)), atol=1e-4)
    assert moved["mask"].dtype == torch.bool
    assert torch.equal(moved["mask"], torch.rot90(image, 1, (1, 2)).bool())
    assert moved["classes"].dtype == torch.int64
    assert moved["classes"].unique().tolist() == [0, 7]
    assert isinstance(moved["mask"], tv_tensors.Mask)
    found = torch.nonzero(moved["mask"][0])
    box = [*found.min(0).values.flip(0).tolist(), *(found.max(0).values.flip(0) + 1).tolist()]
    assert moved["boxes"].tolist() == [pytest.approx(box, abs=1)]


def test_mask_turns_as_far_as_its_image() -> None:
    image = torch.zeros((1, 101, 101))
    image[0, 20:50, 55:85] = 1
    made = AcquisitionTransform("rotation=15")(
        {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(image.to(torch.uint8))}
    )
    differ = (made["image"][0] > 0.5) != made["mask"][0].bool()
    assert differ.sum() < 0.05 * image.sum()


def test_composes_pickles_and_says_what_it_is() -> None:
    chain = v2.Compose(
        [AcquisitionTransform(["blur=1", "blur=2"], pitch_mm=0.2), v2.RandomHorizontalFlip()]
    )
    again = pickle.loads(pickle.dumps(chain))
    tensor = torch.from_numpy(plane(np.uint8))[None]
    torch.manual_seed(3)
    made = chain(tensor)
    torch.manual_seed(3)
    assert torch.equal(made, again(tensor))
    assert "steps=['blur=1', 'blur=2'], pitch_mm=0.2" in repr(chain)


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="no step"):
        AcquisitionTransform([])
    with pytest.raises(ConfigurationError, match="pitch_mm"):
        AcquisitionTransform(["dose=1", "grid=0.1"])
    with pytest.raises(ConfigurationError, match="'dose'"):
        AcquisitionTransform("dosis=1")
    change = AcquisitionTransform("dose=1")
    for bad in (
        torch.rand(3, 8, 8),
        torch.rand(2, 8, 8),
        torch.rand(8),
        torch.rand(0, 1, 8, 8),
        torch.rand(1, 8, 8, dtype=torch.float64),
        torch.full((1, 8, 8), torch.nan),
        Image.effect_noise((8, 8), 90).convert("RGBA"),
    ):
        with pytest.raises(ContentError):
            change(bad)


def test_without_torchvision_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "import shiftbench.transforms as t\n"
        "from shiftbench.transforms import *\n"
        "from shiftbench.errors import MissingExtraError\n"
        "try: t.AcquisitionTransform\n"
        "except MissingExtraError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "'torchvision' is not installed; it comes with an extra: pip install 'shiftbench[torch]'"
    )
