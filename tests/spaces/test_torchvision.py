"""Features of networks with random weights, put where torchvision keeps what it has fetched."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError, MissingExtraError, SourceError
from shiftbench.spaces import Torchvision, parse_space, space_name
from shiftbench.spaces import torchvision as module

torch = pytest.importorskip("torch")
models = pytest.importorskip("torchvision").models

WIDTHS = {"resnet18": 512, "mobilenet_v3_small": 1024}


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch: pytest.MonkeyPatch):
    """A folder for weights of this test's own, and no network."""
    folder = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(folder))

    def unplugged(*_, **__):
        raise URLError("no network in tests")

    monkeypatch.setattr(module, "urlopen", unplugged)
    monkeypatch.setattr(torch.hub, "urlopen", unplugged)
    module._network.cache_clear()
    yield folder
    module._network.cache_clear()


def weights_file(home: Path, model: str) -> Path:
    url = models.get_model_weights(model)["DEFAULT"].url
    return home / "hub" / "checkpoints" / url.rpartition("/")[2]


def save(home: Path, model: str):
    torch.manual_seed(0)
    network = models.get_model(model, weights=None).eval()
    file = weights_file(home, model)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return network


def pictures(n: int) -> pa.Table:
    cells = []
    for seed in range(n):
        shape = (40, 50, 3) if seed % 2 else (64, 48)
        image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
        out = io.BytesIO()
        image.save(out, "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    return pa.table({"image": cells})


@pytest.mark.parametrize("model", WIDTHS)
def test_features_are_what_the_last_layer_is_given(home: Path, model: str) -> None:
    network = save(home, model)
    table = pictures(3)
    raw = Torchvision(model, batch_size=2, device="cpu").raw(table)
    assert raw.shape == (3, WIDTHS[model])
    assert raw.dtype == np.float32
    prepare = models.get_model_weights(model)["DEFAULT"].transforms()
    images = [Image.open(io.BytesIO(c["bytes"])).convert("RGB") for c in table["image"].to_pylist()]
    last = network.fc if model == "resnet18" else network.classifier[-1]
    with torch.inference_mode():
        logits = network(torch.stack([prepare(image) for image in images]))
        ours = last(torch.from_numpy(raw))
    np.testing.assert_allclose(ours, logits, rtol=1e-3, atol=1e-4)


def test_batches_do_not_matter_and_the_fit_is_the_identity(home: Path) -> None:
    save(home, "resnet18")
    table = pictures(4)
    space = Torchvision("resnet18", device="cpu")
    raw = space.raw(table)
    assert (space.raw(table) == raw).all()
    small = Torchvision("resnet18", batch_size=1, device="cpu").raw(table)
    np.testing.assert_allclose(small, raw, rtol=1e-3, atol=1e-4)
    fitted = space.fit(raw)
    assert (fitted.transform(raw) == raw).all()
    assert fitted.names[0] == "resnet18 0"
    assert fitted.state["weights"] == weights_file(home, "resnet18").name
    assert space.raw(table.slice(0, 0)).shape == (0, 512)
    assert parse_space(space_name(space)) == space


def test_sixteen_bits_are_not_cut_off(home: Path) -> None:
    save(home, "resnet18")
    x = np.random.default_rng(0).integers(0, 256, (40, 40))
    cells = []
    for values in (x.astype(np.uint8), (x * 257).astype(np.uint16)):
        out = io.BytesIO()
        Image.fromarray(values).save(out, "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    raw = Torchvision("resnet18", device="cpu").raw(pa.table({"image": cells}))
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-3, atol=1e-4)


def last_layer_input(model: str) -> tuple[int, ...]:
    """What the pre-hooks see, without weights: the general part of the space."""
    network = models.get_model(model, weights=None).eval()
    given: list[object] = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].shape))
    with torch.inference_mode():
        network(torch.zeros(2, 3, 224, 224))
    return tuple(given[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "width"),
    [
        ("densenet121", 1024),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
        ("vit_b_16", 768),
        ("swin_t", 768),
        ("vgg11", 4096),
        ("googlenet", 1024),
        ("shufflenet_v2_x0_5", 1024),
    ],
)
def test_the_layer_is_found_in_every_family(model: str, width: int) -> None:
    assert last_layer_input(model) == (2, width)


def test_unknown_names_are_refused_with_near_ones(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'resnet18'"):
        Torchvision("resnet-18").raw(pictures(1))
    with pytest.raises(ConfigurationError, match="'IMAGENET1K_V1'"):
        Torchvision("resnet18", weights="IMAGENET_V1").raw(pictures(1))
    save(home, "resnet18")
    with pytest.raises(ConfigurationError, match="the device 'gpu' cannot be used"):
        Torchvision("resnet18", device="gpu").raw(pictures(1))
    save(home, "squeezenet1_1")
    with pytest.raises(ConfigurationError, match="squeezenet1_1 has no linear layer"):
        Torchvision("squeezenet1_1").raw(pictures(1))


def test_absent_weights_are_said_and_leave_nothing_behind(home: Path) -> None:
    file = weights_file(home, "resnet18")
    with pytest.raises(SourceError, match="no network in tests") as caught:
        Torchvision("resnet18").raw(pictures(1))
    for said in ("resnet18", file.name, str(file.parent), "https://", "TORCH_HOME"):
        assert said in str(caught.value)
    assert not [p for p in home.rglob("*") if p.is_file()]


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_files_that_are_no_weights_are_said(home: Path, content: bytes | None) -> None:
    save(home, "resnet18")
    file = weights_file(home, "resnet18")
    if content is None:
        torch.save({"other": torch.zeros(2)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(SourceError, match="delete the file") as caught:
        Torchvision("resnet18").raw(pictures(1))
    assert file.name in str(caught.value)


def test_weights_that_would_run_code_are_refused(home: Path) -> None:
    save(home, "resnet18")
    torch.save({"fc.weight": Path}, weights_file(home, "resnet18"))
    with pytest.raises(SourceError, match="delete the file"):
        Torchvision("resnet18").raw(pictures(1))


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"shiftbench\[torch\]"):
        Torchvision("resnet18").raw(pictures(1))


def test_unreadable_images_are_named_by_row(home: Path) -> None:
    save(home, "resnet18")
    bad = pa.table({"image": [{"bytes": b"no image", "path": None}]})
    with pytest.raises(ContentError, match="row 0"):
        Torchvision("resnet18").raw(bad)
