"""Tables of "module:name" strings, loaded when asked for, so that nothing registers itself."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from shiftbench.errors import ConfigurationError, near_names

__all__ = [
    "BUILDERS",
    "CORRUPTIONS",
    "DISTANCES",
    "SOURCES",
    "SPACES",
    "TRANSFORMS",
    "builders",
    "load",
    "lookup",
]

SOURCES: Mapping[str, str] = {
    "scene_graphs": "shiftbench.sources.scene_graphs:SceneGraphs",
    "coco": "shiftbench.sources.coco:CocoInstances",
    "subset_index": "shiftbench.sources.subset_index:SubsetIndex",
    "images": "shiftbench.sources.images:ImageTable",
    "table": "shiftbench.sources.table:Table",
    "simulated_tables": "shiftbench.sources.simulated_tables:SimulatedTables",
    "scenes": "shiftbench.sources.scenes:Scenes",
    "digits": "shiftbench.sources.digits:Digits",
    "idx": "shiftbench.sources.idx:IdxImages",
    "pixel_table": "shiftbench.sources.pixel_table:PixelTable",
    "image_folders": "shiftbench.sources.image_folders:ImageFolders",
    "built": "shiftbench.sources.built:BuiltBenchmark",
    "together": "shiftbench.sources.together:Together",
    "radiographs": "shiftbench.sources.radiographs:Radiographs",
    "phantoms": "shiftbench.sources.phantoms:Phantoms",
}

BUILDERS: Mapping[str, str] = {
    "metashift": "shiftbench.builders.metashift.builder:MetaShift",
    "xray": "shiftbench.builders.xray.builder:XrayPatches",
    "concept": "shiftbench.builders.concept.builder:ConceptShift",
    "subpopulation": "shiftbench.builders.subpopulation.builder:Subpopulations",
    "environments": "shiftbench.builders.environments.builder:Environments",
    "label": "shiftbench.builders.label.builder:LabelShift",
    "mixture": "shiftbench.builders.mixture.builder:Mixtures",
    "corruption": "shiftbench.builders.corruption.builder:Corruptions",
}

TRANSFORMS: Mapping[str, str] = {
    "dose": "shiftbench.transforms.acquisition:DOSE",
    "kvp": "shiftbench.transforms.acquisition:KVP",
    "scatter": "shiftbench.transforms.acquisition:SCATTER",
    "blur": "shiftbench.transforms.acquisition:BLUR",
    "sharpen": "shiftbench.transforms.acquisition:SHARPEN",
    "pitch": "shiftbench.transforms.acquisition:PITCH",
    "gamma": "shiftbench.transforms.acquisition:GAMMA",
    "bits": "shiftbench.transforms.acquisition:BITS",
    "jpeg": "shiftbench.transforms.acquisition:JPEG",
    "collimation": "shiftbench.transforms.acquisition:COLLIMATION",
    "grid": "shiftbench.transforms.acquisition:GRID",
    "rotation": "shiftbench.transforms.acquisition:ROTATION",
    "defects": "shiftbench.transforms.acquisition:DEFECTS",
}

CORRUPTIONS: Mapping[str, str] = {
    "gaussian_noise": "shiftbench.transforms.corruptions_noise:GAUSSIAN_NOISE",
    "shot_noise": "shiftbench.transforms.corruptions_noise:SHOT_NOISE",
    "impulse_noise": "shiftbench.transforms.corruptions_noise:IMPULSE_NOISE",
    "speckle_noise": "shiftbench.transforms.corruptions_noise:SPECKLE_NOISE",
    "gaussian_blur": "shiftbench.transforms.corruptions_blur:GAUSSIAN_BLUR",
    "defocus_blur": "shiftbench.transforms.corruptions_blur:DEFOCUS_BLUR",
    "motion_blur": "shiftbench.transforms.corruptions_blur:MOTION_BLUR",
    "zoom_blur": "shiftbench.transforms.corruptions_blur:ZOOM_BLUR",
    "glass_blur": "shiftbench.transforms.corruptions_blur:GLASS_BLUR",
    "fog": "shiftbench.transforms.corruptions_weather:FOG",
    "frost": "shiftbench.transforms.corruptions_weather:FROST",
    "snow": "shiftbench.transforms.corruptions_weather:SNOW",
    "rain": "shiftbench.transforms.corruptions_weather:RAIN",
    "spatter": "shiftbench.transforms.corruptions_weather:SPATTER",
    "brightness": "shiftbench.transforms.corruptions_weather:BRIGHTNESS",
    "contrast": "shiftbench.transforms.corruptions_digital:CONTRAST",
    "saturation": "shiftbench.transforms.corruptions_digital:SATURATION",
    "jpeg": "shiftbench.transforms.corruptions_digital:JPEG",
    "pixelate": "shiftbench.transforms.corruptions_digital:PIXELATE",
    "elastic": "shiftbench.transforms.corruptions_digital:ELASTIC",
    "posterize": "shiftbench.transforms.corruptions_digital:POSTERIZE",
    "quantize": "shiftbench.transforms.corruptions_digital:QUANTIZE",
    "translate": "shiftbench.transforms.corruptions_geometric:TRANSLATE",
    "rotate": "shiftbench.transforms.corruptions_geometric:ROTATE",
    "scale": "shiftbench.transforms.corruptions_geometric:SCALE",
    "shear": "shiftbench.transforms.corruptions_geometric:SHEAR",
}

SPACES: Mapping[str, str] = {
    "pixels": "shiftbench.spaces.pixels:Pixels",
    "spectrum": "shiftbench.spaces.spectrum:Spectrum",
    "tabular": "shiftbench.spaces.tabular:Tabular",
    "text": "shiftbench.spaces.text:Text",
    "column": "shiftbench.spaces.column:Column",
    "torchvision": "shiftbench.spaces.torchvision:Torchvision",
}

DISTANCES: Mapping[str, str] = {
    "mmd": "shiftbench.distances.kernel:MMD",
    "energy": "shiftbench.distances.kernel:ENERGY",
    "characteristic": "shiftbench.distances.characteristic:CHARACTERISTIC",
    "sliced_wasserstein": "shiftbench.distances.sliced:SLICED_WASSERSTEIN",
    "wasserstein": "shiftbench.distances.transport:WASSERSTEIN",
    "frechet": "shiftbench.distances.gaussian:FRECHET",
    "moments": "shiftbench.distances.moments:MOMENTS",
    "c2st": "shiftbench.distances.classifier:C2ST",
    "ks": "shiftbench.distances.kolmogorov:KS",
    "psi": "shiftbench.distances.stability:PSI",
    "label_tv": "shiftbench.distances.label_distances:LABEL_TV",
    "label_js": "shiftbench.distances.label_distances:LABEL_JS",
    "disde": "shiftbench.distances.decomposition:DISDE",
    "gcm": "shiftbench.distances.conditional:GCM",
}


def builders() -> dict[str, str]:
    """The builders that come with shiftbench and those of installed packages.

    Another package adds one through the entry-point group ``shiftbench.builders``.
    """
    added = {e.name: e.value for e in entry_points(group="shiftbench.builders")}
    return {**added, **BUILDERS}


def load(target: str) -> Any:
    """The object that a "module:name" string names.

    Examples
    --------
    >>> load("shiftbench.schema:slug")("Cat (sofa)")
    'cat_sofa'
    """
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def lookup(table: Mapping[str, str], name: str, what: str) -> Any:
    """The object registered under `name`.

    Raises
    ------
    ConfigurationError
        No such name; the message has the near ones.

    Examples
    --------
    >>> lookup({"slug": "shiftbench.schema:slug"}, "slugs", "function")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: no function is called 'slugs'; did you mean 'slug'?
    """
    if name not in table:
        raise ConfigurationError(f"no {what} is called {name!r}; {near_names(name, table)}")
    return load(table[name])
