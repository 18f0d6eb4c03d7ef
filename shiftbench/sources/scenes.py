"""Drawn scenes with scene graphs: an annotated collection that needs no download."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError, ContentError, StorageError
from shiftbench.schema import REJECTED, Image, Metadata
from shiftbench.sources._pixel_images import png
from shiftbench.sources._scene_deck import LIGHTS
from shiftbench.sources._scene_drawing import draw
from shiftbench.sources._scene_graph import Scene, compose
from shiftbench.sources.scene_graphs import SceneGraph, SceneObject, annotate
from shiftbench.statistics import priorities, stream

__all__ = ["SceneReader", "Scenes"]

# Part of the fingerprint: raise it whenever a graph or a picture changes.
_VERSION = 1
_MOST = 1_000_000

# Pictures that this process drew last: the tasks of one benchmark show the same ones again. At 96
# pixels one takes 15 kB, so the memo stays near 50 MB at every size.
_MEMO: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
_MEMO_PIXELS = 30_000_000


@dataclass(frozen=True)
class SceneReader:
    """Draws a scene from its id.

    Parameters
    ----------
    seed, size, n_scenes : int
        As in `Scenes`.
    """

    seed: int
    size: int
    n_scenes: int

    def __call__(self, locator: str) -> dict[str, bytes]:
        """The picture as ``{"image": PNG bytes}``.

        Raises
        ------
        ContentError
            There is no such scene.
        """
        found = re.fullmatch(r"scene-([0-9]{6})", locator)
        if found is None or int(found[1]) >= self.n_scenes:
            raise ContentError(
                f"{locator!r} is no scene; allowed: scene-000000 to scene-{self.n_scenes - 1:06d}"
            )
        return {"image": _drawn(self, int(found[1]))}

    def pixels(self, scene: Scene) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The picture of a scene: (size, size, 3), uint8, RGB."""
        gen = stream(self.seed, "scene picture", scene.example_id)
        return draw(scene.graph, scene.lighting, gen)


def _drawn(reader: SceneReader, number: int) -> bytes:
    key = (reader.seed, reader.size, number)
    if key not in _MEMO:
        _MEMO[key] = png(reader.pixels(compose(reader.seed, number, reader.size)))
        while len(_MEMO) > max(_MEMO_PIXELS // reader.size**2, 1):
            _MEMO.popitem(last=False)
    _MEMO.move_to_end(key)
    return _MEMO[key]


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes of cats, dogs, buses and trucks, with scene graphs in GQA's form.

    For each scene a graph is made first (who is there, with what, where, in which colours) and
    the picture is drawn from it. Places run from a dim study over living rooms, a kitchen, a
    street and fields to a bright beach; walls, ground, light, sky, the animals' coats, poses and
    size change along with them, so that training in one place and testing in another is a real
    shift. About one scene in 67 holds both a cat and a dog.

    Each scene has random numbers of its own: scene k is the same however many scenes there are,
    and its picture is the same, bit by bit, on every machine. All content is in the public
    domain (CC0).

    Parameters
    ----------
    n_scenes : int
        How many scenes. The default has at least 70 training and 40 test images a class for each
        of the four cat/dog presets; the subpopulation task at its published size (850 a class in
        training, 144 a group in test) needs 4000.
    size : int
        Width and height of a picture in pixels, 32 to 512.
    seed : int
        Another seed, other scenes.
    shuffle_contexts : bool
        The control: the pictures stay as they are, but what the graphs say of context objects,
        location and weather is dealt out anew among the scenes of a class. Subsets then differ in
        name only.

    Examples
    --------
    >>> source = Scenes(n_scenes=200, size=32)
    >>> found = source.scan()
    >>> found.examples.num_rows, found.license, found.redistributable
    (200, 'cc0-1.0', True)
    >>> source.reader()("scene-000007")["image"][:4]
    b'\\x89PNG'
    """

    n_scenes: int = 1500
    size: int = 96
    seed: int = 0
    shuffle_contexts: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("n_scenes", 1, _MOST), ("size", 32, 512), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigurationError(
                    f"scenes: {name} is {value!r}; allowed: a whole number from {low} to {high}"
                )

    def scan(self) -> Metadata:
        """The graphs of all scenes as metadata and contexts; nothing is drawn."""
        drawn = self.drawn_scenes()
        written = self.written_graphs(drawn)
        ids = [s.example_id for s in drawn]
        examples = pa.table(
            {
                "example_id": pa.array(ids, pa.string()),
                "cluster_id": pa.array(ids, pa.string()),
                "locator": pa.array(ids, pa.string()),
                "bytes": pa.nulls(len(ids), pa.int64()),
                "modified": pa.array(np.zeros(len(ids), np.int64)),
                "width": pa.array([g.width for g in written], pa.int32()),
                "height": pa.array([g.height for g in written], pa.int32()),
                "n_objects": pa.array([len(g.objects) for g in written], pa.int32()),
                "location": pa.array([g.location for g in written], pa.string()),
                "weather": pa.array([g.weather for g in written], pa.string()),
                "lighting": pa.array([s.lighting for s in drawn], pa.string()),
            }
        )
        return Metadata(
            examples=examples,
            contexts=annotate(written),
            rejected=REJECTED.empty_table(),
            content={"image": Image()},
            fingerprint=self._fingerprint(written),
            license="cc0-1.0",
            redistributable=True,
            identity="pixels",
            notes={
                "title": "Drawn scenes",
                "attribution": "Drawn by shiftbench, in the public domain (CC0 1.0)",
            },
        )

    def reader(self) -> SceneReader:
        """A function from a scene's id to ``{"image": PNG bytes}``."""
        return SceneReader(self.seed, self.size, self.n_scenes)

    def drawn_scenes(self) -> list[Scene]:
        """The scenes as they are drawn, by number."""
        return [compose(self.seed, k, self.size) for k in range(self.n_scenes)]

    def written_graphs(self, drawn: Sequence[Scene]) -> list[SceneGraph]:
        """The graphs as they are published: the drawn ones, or with their contexts shuffled.

        Parameters
        ----------
        drawn : sequence of Scene
            What `drawn_scenes` gives.
        """
        if not self.shuffle_contexts:
            return [s.graph for s in drawn]
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, scene in enumerate(drawn):
            groups.setdefault(scene.subjects, []).append(i)
        written = [s.graph for s in drawn]
        for rows in groups.values():
            keys = priorities(self.seed, "shuffled contexts", (drawn[i].example_id for i in rows))
            for row, place in zip(rows, np.argsort(keys, kind="stable").tolist(), strict=True):
                written[row] = _with_contexts_of(drawn[row], drawn[rows[place]])
        return written

    def export(self, folder: str | Path) -> None:
        """Write the collection as files: sceneGraphs.json in GQA's form, and images/<id>.png.

        Relations between objects (left, right) are computed from the boxes.

        Parameters
        ----------
        folder : str or Path
            Made where it does not exist.

        Raises
        ------
        StorageError
            The folder holds something already, or cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from shiftbench.sources.scene_graphs import SceneGraphs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Scenes(n_scenes=3, size=32).export(folder)
        ...     same = SceneGraphs((f"{folder}/sceneGraphs.json",), f"{folder}/images", ".png")
        ...     same.scan().examples["example_id"].to_pylist()
        ['scene-000000', 'scene-000001', 'scene-000002']
        """
        target = Path(folder)
        drawn = self.drawn_scenes()
        read = self.reader()
        try:
            target.mkdir(parents=True, exist_ok=True)
            if any(target.iterdir()):
                raise StorageError(f"{target}: the folder is not empty; name a new or empty one")
            (target / "images").mkdir()
            for scene in drawn:
                path = target / "images" / f"{scene.example_id}.png"
                path.write_bytes(png(read.pixels(scene)))
            graphs = zip(drawn, self.written_graphs(drawn), strict=True)
            described = {s.example_id: _with_relations(g) for s, g in graphs}
            (target / "sceneGraphs.json").write_bytes(msgspec.json.encode(described))
        except StorageError:
            raise
        except OSError as e:
            raise StorageError(f"{target}: the scenes cannot be written: {e}") from e

    def _fingerprint(self, written: Sequence[SceneGraph]) -> str:
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        digest = hashlib.sha256(msgspec.json.encode([_VERSION, options, sorted(LIGHTS)]))
        digest.update(msgspec.json.encode(written))
        return digest.hexdigest()


def _with_contexts_of(scene: Scene, other: Scene) -> SceneGraph:
    n = len(scene.subjects)
    own, theirs = list(scene.graph.objects.items()), list(other.graph.objects.items())
    return SceneGraph(
        scene.graph.width,
        scene.graph.height,
        other.graph.location,
        other.graph.weather,
        dict(own[:n] + theirs[n:]),
    )


def _with_relations(graph: SceneGraph) -> Mapping[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(graph)
    described["objects"] = {
        key: {**msgspec.to_builtins(item), "relations": _relations(key, item, graph)}
        for key, item in graph.objects.items()
    }
    return described


def _relations(key: str, item: SceneObject, graph: SceneGraph) -> list[dict[str, str]]:
    middle = 2 * item.x + item.w
    found = []
    for other_key, other in graph.objects.items():
        gap = middle - (2 * other.x + other.w)
        if other_key != key and gap:
            side = "to the left of" if gap < 0 else "to the right of"
            found.append({"name": side, "object": other_key})
    return found
