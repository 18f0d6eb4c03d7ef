"""The drawn scenes: the same everywhere, drawn from their graphs, enough for every preset, and a
real shift."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ContentError, StorageError
from shiftbench.schema import CONTEXTS, Source
from shiftbench.sources import _scene_deck as deck
from shiftbench.sources import _scene_drawing as drawing
from shiftbench.sources._scene_raster import ellipse, noise, polygon, strokes
from shiftbench.sources._scene_things import COATS, COLORS, POSES, THINGS
from shiftbench.sources.scene_graphs import SceneGraphs
from shiftbench.sources.scenes import Scenes
from shiftbench.statistics import stream

ROOT = Path(__file__).resolve().parents[2]
SMALL = Scenes(n_scenes=300, size=48)


@pytest.fixture(scope="module")
def presets() -> dict[str, Any]:
    return json.loads(files("shiftbench.metadata").joinpath("metashift_presets.json").read_text())


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = ROOT / "performance" / "scene_shift.py"
    spec = importlib.util.spec_from_file_location("scene_shift", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


# The tables are whole


def test_every_kind_names_what_can_be_drawn() -> None:
    for kind in deck.KINDS:
        setting = deck.SETTINGS[kind.location]
        names = {kind.anchor, *kind.core, *kind.bridges, *setting.clutter}
        assert names <= set(THINGS), names - set(THINGS)
        assert set(kind.subjects) <= set(POSES)
        assert set(kind.coats) <= set(COATS)
        for subject in kind.subjects:
            assert set(kind.poses) & set(POSES[subject])
        assert set(setting.lights) <= set(deck.LIGHTS)
        assert bool(setting.weathers) != setting.indoors
    assert deck.DECK_SIZE == 200


def test_every_stroke_can_be_painted() -> None:
    shapes = [t.shape for t in THINGS.values() if t.place != "ground"]
    shapes += [s for poses in POSES.values() for _, _, s in poses.values()]
    for shape in shapes:
        for kind, numbers, color in strokes(shape):
            assert {"r": 4, "e": 4, "l": 5}.get(kind, len(numbers)) == len(numbers), shape
            assert kind != "p" or (len(numbers) >= 6 and len(numbers) % 2 == 0), shape
            assert color.rstrip("+-") in {"a", "b", *COLORS}, color
    for thing in THINGS.values():
        assert set(thing.colors.split()) <= set(COLORS)


# Painting, against the definition


@given(
    st.lists(st.tuples(st.integers(-6, 20), st.integers(-6, 20)), min_size=3, max_size=7),
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 12), st.integers(1, 12)),
)
def test_polygon_counts_the_edges_left_of_a_centre(
    points: list[tuple[int, int]], window: tuple[int, int, int, int]
) -> None:
    left, top, w, h = window
    expected = np.zeros((h, w), dtype=bool)
    for row in range(h):
        for column in range(w):
            x, y = left + column + Fraction(1, 2), top + row + Fraction(1, 2)
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
                if min(ay, by) < y < max(ay, by):
                    crossing = ax + Fraction(bx - ax, by - ay) * (y - ay)
                    expected[row, column] ^= crossing < x
    assert np.array_equal(polygon(points, window), expected)


@given(
    st.integers(-5, 9), st.integers(-5, 9), st.integers(1, 15), st.integers(1, 15)
)  # fmt: skip
def test_ellipse_is_the_inequality(x0: int, y0: int, w: int, h: int) -> None:
    got = ellipse((x0, y0, x0 + w, y0 + h), (0, 0, 12, 12))
    for row in range(12):
        for column in range(12):
            dx = column + Fraction(1, 2) - x0 - Fraction(w, 2)
            dy = row + Fraction(1, 2) - y0 - Fraction(h, 2)
            inside = (dx / Fraction(w, 2)) ** 2 + (dy / Fraction(h, 2)) ** 2 <= 1
            assert got[row, column] == inside


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_noise_stays_in_a_byte(rows: int, columns: int, h: int, w: int) -> None:
    field = noise(stream(0, "test"), rows, columns, h, w)
    assert field.shape == (h, w)
    assert field.min() >= 0
    assert field.max() <= 255


# A source


def test_scan_keeps_the_contract() -> None:
    found = SMALL.scan()
    assert isinstance(SMALL, Source)
    ids = found.examples["example_id"].to_pylist()
    assert ids == sorted(set(ids))
    assert found.examples["cluster_id"].to_pylist() == ids
    assert found.contexts.schema.equals(CONTEXTS)
    assert found.identity == "pixels"
    assert (found.license, found.redistributable) == ("cc0-1.0", True)
    assert found.rejected.num_rows == 0
    for column in ("width", "height", "n_objects", "location", "weather", "lighting"):
        assert column in found.examples.column_names
    weathers, locations = (found.examples[c].to_pylist() for c in ("weather", "location"))
    indoors = [deck.SETTINGS[location].indoors for location in locations]
    assert [w is None for w in weathers] == indoors


def test_scan_is_repeatable_and_tells_options_apart() -> None:
    first, again = SMALL.scan(), SMALL.scan()
    assert first.examples.equals(again.examples)
    assert first.contexts.equals(again.contexts)
    prints = {
        replace(SMALL, **change).scan().fingerprint
        for change in ({}, {"seed": 1}, {"size": 50}, {"n_scenes": 301}, {"shuffle_contexts": True})
    }
    assert first.fingerprint == again.fingerprint
    assert len(prints) == 5


def test_a_scene_does_not_depend_on_how_many_there_are() -> None:
    fewer = replace(SMALL, n_scenes=40)
    assert fewer.drawn_scenes() == SMALL.drawn_scenes()[:40]
    for i in (0, 17, 39):
        name = f"scene-{i:06d}"
        assert fewer.reader()(name) == SMALL.reader()(name)


def test_order_of_drawing_does_not_count_and_readers_travel() -> None:
    names = [f"scene-{i:06d}" for i in range(12)]
    read = SMALL.reader()
    forward = [read(n)["image"] for n in names]
    travelled = pickle.loads(pickle.dumps(read))
    assert [travelled(n)["image"] for n in reversed(names)] == forward[::-1]
    assert len(set(forward)) == len(names)


@pytest.mark.parametrize("size", [32, 48, 63, 96])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    pixels = decoded(Scenes(n_scenes=5, size=size).reader()("scene-000003")["image"])
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10


def test_pixels_are_the_same_on_every_machine() -> None:
    # If this fails after a change on purpose: raise scenes._VERSION and replace the value.
    digest = hashlib.sha256()
    for size in (40, 96):
        source = Scenes(n_scenes=60, size=size, seed=5)
        for scene in source.drawn_scenes():
            digest.update(msgspec.json.encode(scene.graph))
            digest.update(source.reader().pixels(scene).tobytes())
    assert digest.hexdigest() == PIXELS


PIXELS = "250f2f77af0cedb46449dfa180cf96f06dc21a06cc258b0eeab68076ead50b98"


def test_no_draw_from_a_distribution_that_is_not_exact() -> None:
    used = "".join((ROOT / f"shiftbench/sources/_scene_{m}.py").read_text() for m in (
        "drawing", "raster", "graph", "deck",
    ))  # fmt: skip
    for call in (".normal(", ".uniform(", "np.sin", "np.exp", "np.sqrt", "float(", ".random("):
        assert call not in used


# Drawn from the graph


def test_boxes_lie_in_the_picture() -> None:
    for scene in SMALL.drawn_scenes():
        names = [o.name for o in scene.graph.objects.values()]
        assert tuple(names[: len(scene.subjects)]) == scene.subjects
        assert len(names) == len(set(names))
        for item in scene.graph.objects.values():
            assert item.x >= 0
            assert item.y >= 0
            assert item.w > 0
            assert item.h > 0
            assert item.x + item.w <= SMALL.size
            assert item.y + item.h <= SMALL.size


def test_another_colour_changes_the_object_and_nothing_else() -> None:
    source = Scenes(n_scenes=120, size=64)
    seen = hidden = 0
    for scene in source.drawn_scenes()[::4]:
        before = source.reader().pixels(scene).astype(int)
        for key, item in scene.graph.objects.items():
            old = item.attributes[0]
            new = "green" if old != "green" else "red"
            changed = msgspec.structs.replace(item, attributes=(new, *item.attributes[1:]))
            graph = msgspec.structs.replace(
                scene.graph, objects={**scene.graph.objects, key: changed}
            )
            after = source.reader().pixels(replace(scene, graph=graph)).astype(int)
            where = np.abs(after - before).sum(axis=2) > 0
            outside = where.copy()
            # Shadows lie below, and the ends of slanted bars stand out by half their width.
            top, left, rim = max(item.y - 1, 0), max(item.x - 3, 0), 3
            outside[top : item.y + item.h + rim, left : item.x + item.w + rim] = False
            assert not outside.any(), (scene.example_id, item)
            seen += int(where.sum() >= 4)
            hidden += int(where.sum() < 4)
    assert hidden <= 0.06 * (seen + hidden), (hidden, seen)


def test_a_picture_can_be_drawn_without_any_object() -> None:
    graph = SMALL.drawn_scenes()[0].graph
    bare = msgspec.structs.replace(graph, objects={})
    assert drawing.draw(bare, "lamp", stream(0, "test")).shape == (48, 48, 3)


# Shuffled


def test_shuffling_deals_contexts_out_anew_within_a_class() -> None:
    shuffled = replace(SMALL, shuffle_contexts=True)
    drawn = SMALL.drawn_scenes()
    assert shuffled.drawn_scenes() == drawn
    written = shuffled.written_graphs(drawn)

    def said(graph: Any, n: int) -> str:
        contexts = [(o.name, o.x, o.y) for o in list(graph.objects.values())[n:]]
        return repr((graph.location, graph.weather, contexts))

    moved = 0
    for subjects in {s.subjects for s in drawn}:
        n = len(subjects)
        rows = [i for i, s in enumerate(drawn) if s.subjects == subjects]
        before = [said(drawn[i].graph, n) for i in rows]
        after = [said(written[i], n) for i in rows]
        assert sorted(before) == sorted(after)
        moved += sum(a != b for a, b in zip(before, after, strict=True))
        for i in rows:
            own = [list(g.objects.values())[:n] for g in (drawn[i].graph, written[i])]
            assert own[0] == own[1]
    assert moved > 0.9 * len(drawn)
    name = "scene-000011"
    assert shuffled.reader()(name) == SMALL.reader()(name)


# Enough of everything


def members(source: Scenes) -> dict[str, dict[str, set[int]]]:
    table = source.scan().contexts
    found: dict[str, dict[str, set[int]]] = {}
    columns = (table[c].cast(pa.string()).to_pylist() for c in ("subject", "context"))
    for subject, context, row in zip(*columns, table["example"].to_pylist(), strict=True):
        found.setdefault(subject, {}).setdefault(context, set()).add(row)
    return found


def test_domain_generalisation_fits_the_default(study: ModuleType) -> None:
    found = study.groups(study.subsets(Scenes()))
    for name, by_class in found.items():
        least = 70 if name.startswith("cat_dog_") else 40
        for class_name, ids in by_class.items():
            assert len(ids) >= least, (name, class_name)
    trained = set().union(*(found[n]["dog"] for n in found if n.startswith("cat_dog_")))
    tested = set().union(*(found[n]["dog"] for n in found if not n.startswith("cat_dog_")))
    assert not trained & tested


def test_subpopulation_shift_fits_4000(presets: dict[str, Any]) -> None:
    found = members(Scenes(n_scenes=4000))
    both = found["cat"]["dog"]
    task = presets["subpopulation_shift"]["cat_dog_indoor_outdoor"]
    groups = {}
    for part, least in (("majority", 994), ("minority", 344)):
        for name, contexts in task[part].items():
            subject = name.partition("(")[0]
            groups[name] = set().union(*(found[subject].get(c, set()) for c in contexts)) - both
            assert len(groups[name]) >= least, name
    for subject in ("cat", "dog"):
        assert not groups[f"{subject}(indoor)"] & groups[f"{subject}(outdoor)"]
    assert 20 <= len(both) <= 120


def test_every_context_of_the_presets_exists(presets: dict[str, Any]) -> None:
    found = members(Scenes(n_scenes=1500))
    tasks = presets["domain_generalization"]
    merged = [*tasks["dog_train"].values(), *tasks["test"].values(), tasks["cat_train"]]
    merged += [*tasks["further_test"].values(), tasks["ood_validation"]]
    for name, contexts in (item for group in merged for item in group.items()):
        for context in contexts:
            assert found[name.partition("(")[0]].get(context), (name, context)


@pytest.mark.parametrize("subject", ["cat", "dog", "bus", "truck"])
def test_classes_keep_enough_subsets_with_structure(subject: str) -> None:
    found = {c: m for c, m in members(Scenes())[subject].items() if len(m) >= 25}
    assert len(found) >= 6

    def overlap(a: set[int], b: set[int]) -> float:
        return len(a & b) / min(len(a), len(b))

    names = sorted(found)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    linked = [p for p in pairs if overlap(found[p[0]], found[p[1]]) >= 0.2]
    assert len(linked) >= len(names) / 2
    assert len(linked) < len(pairs)


# Export


def test_exported_files_say_and_show_the_same(tmp_path: Path) -> None:
    source = Scenes(n_scenes=30, size=32)
    source.export(tmp_path / "out")
    graphs = tmp_path / "out" / "sceneGraphs.json"
    files_source = SceneGraphs((str(graphs),), str(tmp_path / "out" / "images"), ".png")
    ours, theirs = source.scan(), files_source.scan()
    assert theirs.rejected.num_rows == 0
    assert theirs.contexts.to_pylist() == ours.contexts.to_pylist()
    for column in ("example_id", "width", "height", "n_objects", "location", "weather"):
        assert theirs.examples[column].to_pylist() == ours.examples[column].to_pylist()
    name = "scene-000004"
    locator = theirs.examples["locator"].to_pylist()[4]
    assert files_source.reader()(locator)["image"] == source.reader()(name)["image"]
    entry = json.loads(graphs.read_text())[name]
    assert set(entry) >= {"width", "height", "location", "objects"}
    for item in entry["objects"].values():
        assert set(item) == {"name", "attributes", "x", "y", "w", "h", "relations"}
        for relation in item["relations"]:
            assert relation["object"] in entry["objects"]


def test_export_leaves_a_folder_in_use_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="not empty"):
        Scenes(n_scenes=1).export(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(StorageError, match="cannot be written"):
        Scenes(n_scenes=1).export(tmp_path / "mine.txt")


# Bad input


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_scenes": 0}, "n_scenes is 0; allowed: a whole number from 1 to 1000000"),
        ({"n_scenes": 1.5}, "n_scenes is 1.5"),
        ({"n_scenes": True}, "n_scenes is True"),
        ({"size": 31}, "size is 31; allowed: a whole number from 32 to 512"),
        ({"size": 4096}, "size is 4096"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Scenes(**options)


@pytest.mark.parametrize(
    "locator", ["", "scene-1", "scene-000300", "scene-0000001", "../scene-000001", "scene-000001\n"]
)
def test_no_such_scene(locator: str) -> None:
    with pytest.raises(ContentError, match="allowed: scene-000000 to scene-000299"):
        SMALL.reader()(locator)


# A real shift


def test_energy_distance_is_its_definition(study: ModuleType) -> None:
    x, y = (np.random.default_rng(i).normal(size=(6, 3)) for i in (0, 1))

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        gaps = [
            float(np.sqrt(((p - q) ** 2).sum()))
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (same and i == j)
        ]
        return sum(gaps) / len(gaps)

    expected = 2 * mean(x, y, False) - mean(x, x, True) - mean(y, y, True)
    assert study.energy_distance(x, y) == pytest.approx(expected)


def test_accuracy_falls_with_distance_and_not_when_shuffled(study: ModuleType) -> None:
    result = study.study(range(300, 303), n_scenes=1200, size=32, n_train=32, n_test=24)
    assert result["scenes"]["all"]["high"] < -0.5
    assert result["scenes"]["shelf"]["high"] < 0
    shuffled = result["shuffled"]["all"]
    assert abs(shuffled["rho"]) < 0.35
    known = [p["accuracy"] for p in result["scenes"]["points"] if p["test"] == "id"]
    assert np.mean(known) >= 0.85


@pytest.mark.slow
def test_accuracy_falls_with_distance_over_twenty_seeds(study: ModuleType) -> None:
    result = study.study(range(300, 320))
    assert result["scenes"]["all"]["high"] < -0.5
    assert result["shuffled"]["all"]["low"] < 0 < result["shuffled"]["all"]["high"]
    for point in result["scenes"]["points"]:
        if point["test"] == "id":
            assert point["accuracy"] >= 0.85, point
