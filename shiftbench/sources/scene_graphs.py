"""Scene graphs in GQA's form: objects, their attributes, where an image was taken, the weather."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.schema import Metadata
from shiftbench.sources._contexts import Codes, Presence
from shiftbench.sources._files import (
    FileReader,
    Folder,
    facts,
    file_label,
    list_folder,
    need_some,
    one_of,
    outside,
    read_annotations,
)
from shiftbench.sources._gqa import COLUMNS, Gathered
from shiftbench.sources._metadata import assemble

__all__ = ["SceneGraph", "SceneGraphs", "SceneObject", "annotate"]


class SceneObject(msgspec.Struct, frozen=True, gc=False):
    """One object of an image; x, y, w, h is its box in pixels from the upper left corner."""

    name: str
    attributes: tuple[str, ...] = ()
    x: int = 0
    y: int = 0
    w: int = 0
    h: int = 0


class SceneGraph(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is annotated of one image, by object id, as in GQA's sceneGraphs.json.

    Examples
    --------
    >>> graph = SceneGraph(64, 48, objects={"1": SceneObject("cat", ("black",))})
    >>> msgspec.json.decode(msgspec.json.encode(graph), type=SceneGraph) == graph
    True
    """

    width: int
    height: int
    location: str | None = None
    weather: str | None = None
    objects: dict[str, SceneObject] = {}


@cache
def _general() -> frozenset[str]:
    return frozenset(c for names in facts("contexts")["categories"].values() for c in names)


@cache
def _places() -> frozenset[str]:
    categories = facts("contexts")["categories"]
    return frozenset([*categories["room"], *categories["place"]])


@cache
def _ontology() -> frozenset[str]:
    return frozenset(a for names in facts("attributes")["categories"].values() for a in names)


def _presence(attributes: str) -> Presence:
    return Presence(
        names=Codes(),
        attributes=Codes(_ontology() if attributes == "ontology" else None),
        general=Codes(_general()),
    )


def annotate(
    graphs: Sequence[SceneGraph], attributes: Literal["ontology", "all"] = "ontology"
) -> pa.Table:
    """The contexts of some scene graphs.

    Parameters
    ----------
    graphs : sequence of SceneGraph
        Row i of the examples is ``graphs[i]``.
    attributes : str
        Which attributes make a context: those of MetaShift's ontology, or all.

    Returns
    -------
    pa.Table
        Schema `shiftbench.schema.CONTEXTS`, sorted by example, subject, context and kind. A
        subject's contexts are the other names in the image and, where there are two or more of
        it, its own (kind object); its attributes; and the image's location, weather, rooms and
        places (kind general), which come from the fields of that name and from objects that are
        called like a room or a place.

    Raises
    ------
    SourceError
        An object has a blank name.

    References
    ----------
    Liang, Zou (2022). MetaShift: a dataset of datasets for evaluating contextual distribution
    shifts and training conflicts. ICLR. Hudson, Manning (2019). GQA. CVPR.

    Examples
    --------
    >>> cat, sofa = SceneObject("cat", ("black",)), SceneObject("sofa")
    >>> table = annotate([SceneGraph(64, 48, "indoors", objects={"1": cat, "2": sofa})])
    >>> for row in table.to_pylist():
    ...     print(f"{row['subject']}({row['context']})", row["kind"])
    cat(black) attribute
    cat(indoors) general
    cat(sofa) object
    sofa(cat) object
    sofa(indoors) general
    """
    one_of("attributes", attributes, ("ontology", "all"))
    presence = _presence(attributes)
    for i, graph in enumerate(graphs):
        presence.note(i, graph.location)
        presence.note(i, graph.weather)
        if not presence.see(i, graph.objects.values()):
            blank = [key for key, o in graph.objects.items() if not o.name.strip()]
            raise SourceError(f"scene graph {i}, object {blank[0]!r}: the name is blank; name it")
    return presence.contexts(np.arange(len(graphs)), places=_places())


@dataclass(frozen=True)
class SceneGraphs:
    """Images with scene graphs in GQA's form.

    A subject's contexts are the other object names in the image and, where it holds two or more
    of the subject, the subject itself (kind object); the subject's attributes (kind attribute);
    and the image's location, weather, rooms and places (kind general). Rooms and places are taken
    from the image's location field and from objects that are called like one.

    Parameters
    ----------
    graphs : tuple of str
        The JSON files, plain or gzip, e.g. train_sceneGraphs.json and val_sceneGraphs.json. Where
        an image is in two of them, the first counts and the second is recorded as rejected.
    images : str, optional
        The folder of the images: a local path or any URL that fsspec knows. Without it there is
        no content, only the index.
    suffix : str
        An image's file name is its id and this.
    attributes : {"ontology", "all"}
        Which attributes make a context: those of MetaShift's ontology, or all.
    license : str
        Licence of the content as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the content may be published.

    Examples
    --------
    >>> source = SceneGraphs(graphs=("train_sceneGraphs.json",), images="images")
    >>> source.suffix
    '.jpg'
    """

    graphs: tuple[str, ...]
    images: str | None = None
    suffix: str = ".jpg"
    attributes: Literal["ontology", "all"] = "ontology"
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read the graphs and list the images.

        Raises
        ------
        SourceError
            A file is missing, cut short or of another form, or the folder holds none of the
            images. Single images and objects that cannot be used are recorded as rejected.
        """
        if not self.graphs or isinstance(self.graphs, str):
            raise ConfigurationError(
                "graphs: one file or more was expected, e.g. graphs=('train_sceneGraphs.json',)"
            )
        twice = sorted({g for g in self.graphs if self.graphs.count(g) > 1})
        if twice:
            raise ConfigurationError(f"graphs names {', '.join(twice)} twice; name each file once")
        one_of("attributes", self.attributes, ("ontology", "all"))
        folder = list_folder(self.images, ()) if self.images is not None else None
        gathered = Gathered(_presence(self.attributes))
        digests = []
        for path in self.graphs:
            data, digest = read_annotations(path)
            digests.append(digest)
            gathered.read(path, data, self._wanted(folder))
            # A train file is hundreds of megabytes: let go before the next one and the contexts.
            del data
        return self._metadata(gathered, folder, [d.result() for d in digests])

    def reader(self) -> FileReader:
        """A function from a locator to ``{"image": bytes}``."""
        return FileReader()

    def _wanted(self, folder: Folder | None) -> Callable[[str], bool]:
        if folder is None:
            return lambda key: True
        held = folder.files
        return lambda key: key + self.suffix in held and not outside(key)

    def _metadata(
        self, gathered: Gathered, folder: Folder | None, digests: Sequence[str]
    ) -> Metadata:
        files = [k + self.suffix for k in gathered.seen]
        order = sorted(range(len(gathered.ids)), key=gathered.ids.__getitem__)
        row = np.empty(len(order), np.int64)
        row[order] = np.arange(len(order))
        ids = [gathered.ids[i] for i in order]
        columns = {}
        for name, kind in COLUMNS.items():
            values = gathered.columns[name]
            if name == "n_objects" or any(v is not None for v in values):
                columns[name] = pa.array([values[i] for i in order], kind)
        counts: dict[str, int] = {}
        if folder is not None:
            absent = sum(f not in folder.files for f in files)
            need_some(len(files) - absent, files, folder)
            counts["annotations_without_image"] = absent
            counts["images_without_annotation"] = folder.others(files)
        return assemble(
            ids=ids,
            names=[i + self.suffix for i in ids] if folder is not None else None,
            folder=folder,
            columns=columns,
            contexts=gathered.presence.contexts(row, places=_places()),
            rejected=gathered.rejected,
            digests=digests,
            options={"source": "scene_graphs", "attributes": self.attributes},
            license=self.license,
            redistributable=self.redistributable,
            counts=counts,
            notes={"title": "Scene graphs: " + ", ".join(map(file_label, self.graphs))},
        )
