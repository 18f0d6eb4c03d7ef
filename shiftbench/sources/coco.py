"""COCO instance annotations: an object's contexts are the other categories in its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shiftbench.schema import Metadata
from shiftbench.sources._coco import Caption, CocoFile, ImageRecord, licence_id
from shiftbench.sources._files import (
    FileReader,
    file_label,
    list_folder,
    need_some,
    read_annotations,
)
from shiftbench.sources._json import DECODE_ERRORS
from shiftbench.sources._metadata import assemble

__all__ = ["CocoInstances", "licence_id"]


@dataclass(frozen=True)
class CocoInstances:
    """Photographs with instance annotations in COCO's form.

    The contexts of a category in an image are the other categories there (kind object). A region
    with ``iscrowd`` says that the category is present, like any other. The licence of each
    photograph and its address are kept as the columns license and attribution.

    Parameters
    ----------
    instances : str
        The JSON file, plain or gzip, e.g. instances_train2017.json.
    images : str, optional
        The folder of the images: a local path or any URL that fsspec knows. Without it there is
        no content, only the index.
    captions : str, optional
        A JSON file of captions for the same images, e.g. captions_train2017.json; they make the
        column captions, a list of strings.
    license : str
        Licence of the content as a whole as the Hub spells it; empty = unknown, or by image.
    redistributable : bool
        Whether the content may be published.

    Examples
    --------
    >>> CocoInstances("instances_train2017.json", images="train2017").captions is None
    True
    """

    instances: str
    images: str | None = None
    captions: str | None = None
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read the annotations and list the images.

        Raises
        ------
        SourceError
            A file is missing, cut short or of another form, or the folder holds none of the
            images. Single records that cannot be used are recorded as rejected.
        """
        data, digest = read_annotations(self.instances)
        file = CocoFile(file_label(self.instances))
        document = file.open(self.instances, data, ("images", "annotations", "categories"))
        del data
        images = file.images(document["images"])
        folder = None
        if self.images is not None:
            folder = list_folder(self.images, (i.file_name for i in images.values()))
        need = [i.file_name for i in images.values()]
        used = {
            key: image
            for key, image in sorted(images.items())
            if folder is None or image.file_name in folder.files
        }
        need_some(len(used), need, folder)
        presence, n_objects = file.annotations(document, images, used)
        columns = _columns(used, n_objects, file.licences(document.get("licenses")))
        digests = [digest.result()]
        if self.captions is not None:
            texts, caption_digest = _captions(self.captions, used, file)
            columns["captions"] = pa.array(texts, pa.list_(pa.string()))
            digests.append(caption_digest)
        if folder is not None:
            file.counts["annotations_without_image"] = len(images) - len(used)
            file.counts["images_without_annotation"] = folder.others(need)
        return assemble(
            ids=list(used),
            names=[i.file_name for i in used.values()],
            folder=folder,
            columns=columns,
            contexts=presence.contexts(np.arange(len(used)), self_pairs=False),
            rejected=file.rejected,
            digests=digests,
            options={"source": "coco"},
            license=self.license,
            redistributable=self.redistributable,
            counts=file.counts,
            notes=_notes(document, file.label),
        )

    def reader(self) -> FileReader:
        """A function from a locator to ``{"image": bytes}``."""
        return FileReader()


def _columns(
    used: Mapping[str, ImageRecord], n_objects: list[int], licences: Mapping[str, str]
) -> dict[str, pa.Array]:
    columns = {
        "width": _whole(i.width for i in used.values()),
        "height": _whole(i.height for i in used.values()),
        "n_objects": pa.array(n_objects, pa.int32()),
    }
    by_image = [None if i.license is None else licences.get(str(i.license)) for i in used.values()]
    if any(by_image):
        columns["license"] = pa.array(by_image, pa.string())
    origin = [i.flickr_url or None for i in used.values()]
    if any(origin):
        columns["attribution"] = pa.array(origin, pa.string())
    return columns


def _whole(pixels: Iterable[float | None]) -> pa.Array:
    return pa.array([None if p is None else round(p) for p in pixels], pa.int32())


def _captions(
    path: str, used: Mapping[str, ImageRecord], file: CocoFile
) -> tuple[list[list[str]], str]:
    data, digest = read_annotations(path)
    other = CocoFile(file_label(path), file.rejected, file.counts)
    raw = other.open(path, data, ("annotations",))["annotations"]
    by_image: dict[str, list[tuple[str, str]]] = {key: [] for key in used}
    for _, item in other.records("annotations", raw, Caption):
        key = str(item.image_id)
        if key in by_image:
            by_image[key].append((str(item.id).zfill(20), item.caption.strip()))
        else:
            file.counts["captions_without_image"] += 1
    return [[text for _, text in sorted(found)] for found in by_image.values()], digest.result()


def _notes(document: Mapping[str, msgspec.Raw], label: str) -> dict[str, str]:
    notes = {"title": f"COCO instances: {label}"}
    try:
        info = msgspec.json.decode(document.get("info", b"{}"), type=dict[str, Any])
    except DECODE_ERRORS:
        return notes
    for key, note in (("description", "title"), ("url", "url"), ("contributor", "attribution")):
        if isinstance(info.get(key), str) and info[key].strip():
            notes[note] = info[key].strip()
    return notes
