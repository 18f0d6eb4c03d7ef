from __future__ import annotations

import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ConfigurationError, MissingExtraError
from shiftbench.report import files, metagraph
from shiftbench.report.layout import place
from shiftbench.report.metagraph import metagraph_chart, save

pytest.importorskip("altair")
pytest.importorskip("vl_convert")


def subsets_of(rows):
    """From (subset, class, context, size, community)."""
    columns = list(zip(*rows, strict=True))
    names = ("subset", "class", "context", "size", "community")
    table = dict(zip(names, map(list, columns), strict=True))
    return pa.table({**table, "explanation": [f"shows {name}" for name in table["subset"]]})


def edges_of(rows):
    columns = [list(c) for c in zip(*rows, strict=True)] or [[], [], []]
    return pa.table(dict(zip(("source", "target", "overlap"), columns, strict=True)))


PETS = [
    ("cat(bed)", "cat", "bed", 120, 0),
    ("cat(lamp)", "cat", "lamp", 40, 0),
    ("cat(sofa)", "cat", "sofa", 90, 0),
    ("cat(car)", "cat", "car", 30, 1),
    ("dog(bed)", "dog", "bed", 70, 0),
    ("dog(grass)", "dog", "grass", 300, 0),
    ("cat(sofa + bed)", "cat", None, 200, None),
]
OVERLAPS = [
    ("cat(bed)", "cat(lamp)", 0.4),
    ("cat(bed)", "cat(sofa)", 0.3),
    ("dog(bed)", "dog(grass)", 0.25),
]


def values(chart, key):
    """Rows of the chart's data that have a field."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            for name, inner in node.items():
                if name == "values" and isinstance(inner, list):
                    found.extend(v for v in inner if isinstance(v, dict) and key in v)
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    spec = chart.to_dict()
    walk(spec)
    for data in spec.get("datasets", {}).values():
        found.extend(v for v in data if key in v)
    return found


def test_what_is_drawn():
    chart = metagraph_chart(subsets_of(PETS), edges_of(OVERLAPS), title="Pets")
    nodes = {v["subset"]: v for v in values(chart, "images")}
    assert set(nodes) == {row[0] for row in PETS}
    assert nodes["cat(car)"]["community"] == "alone"
    assert nodes["cat(sofa + bed)"]["community"] == "none"
    assert nodes["cat(sofa + bed)"]["label"] == "cat(sofa + bed)"
    assert nodes["dog(grass)"]["community"] == "0"
    assert len({v["between"] for v in values(chart, "between")}) == 3
    text = json.dumps(chart.to_dict())
    assert "cat: 5 subsets" in text
    assert "dog: 2 subsets" in text


@pytest.mark.parametrize("kind", ["svg", "png", "html", "json"])
def test_the_same_input_gives_the_same_bytes(tmp_path, kind):
    rng = np.random.default_rng(0)
    for name, order in (("a", np.arange(7)), ("b", rng.permutation(7))):
        chart = metagraph_chart(
            subsets_of(PETS).take(order), edges_of(OVERLAPS[::-1] if name == "b" else OVERLAPS)
        )
        save(chart, tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_the_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.report import test_metagraph_chart as t\n"
        "t.save(t.metagraph_chart(t.subsets_of(t.PETS), t.edges_of(t.OVERLAPS)), sys.argv[2])\n"
    )
    here, there = tmp_path / "here.svg", tmp_path / "there.svg"
    save(metagraph_chart(subsets_of(PETS), edges_of(OVERLAPS)), here)
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, "-c", code, root, str(there)], check=True)
    assert here.read_bytes() == there.read_bytes()


ODD = ["<script>alert(1)</script>", "so\"fa & 'bed'", "🐈 猫", "</svg>", "x\x00y\n", "a" * 80]


def test_odd_names_are_text(tmp_path):
    rows = [(f"c({o})", "<b>c</b>", o, 10 + i, 0) for i, o in enumerate(ODD)]
    edges = edges_of([(rows[0][0], rows[1][0], 0.5)])
    chart = metagraph_chart(subsets_of(rows), edges, title="<i>&")
    for kind in ("svg", "png", "html", "json"):
        save(chart, tmp_path / f"odd.{kind}")
    texts = {e.text for e in ET.parse(tmp_path / "odd.svg").iter() if e.tag.endswith("}text")}
    assert {"<script>alert(1)</scr…", "so\"fa & 'bed'", "🐈 猫", "</svg>", "<i>&"} <= texts
    assert "x\N{REPLACEMENT CHARACTER}y\N{REPLACEMENT CHARACTER}" in texts
    assert "<b>c</b>: 6 subsets" in texts
    page = (tmp_path / "odd.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert page.count("</script>") == 2
    spec = page.split('vegaEmbed("#chart", ')[1].rsplit(', {"renderer"')[0]
    assert json.loads(spec) == json.loads((tmp_path / "odd.json").read_text("utf-8"))
    assert "<script src" not in page
    assert "<link" not in page.split("<script>")[0]


def test_thumbnails(tmp_path):
    buffer = io.BytesIO()
    Image.new("CMYK", (50, 20), (0, 200, 0, 0)).save(buffer, "JPEG")
    subsets, edges = subsets_of(PETS), edges_of(OVERLAPS)
    bare = metagraph_chart(subsets, edges)
    chart = metagraph_chart(subsets, edges, thumbnails={"cat(bed)": buffer.getvalue(), "gone": b""})
    pictures = [v["picture"] for v in values(chart, "picture") if v["picture"]]
    assert all(p.startswith("data:image/png;base64,") for p in pictures)
    for name, one in (("bare", bare), ("with", chart)):
        save(one, tmp_path / f"{name}.png")
    assert (tmp_path / "bare.png").read_bytes() != (tmp_path / "with.png").read_bytes()
    with pytest.raises(ConfigurationError, match=r"the thumbnail of 'cat\(bed\)' is no image"):
        metagraph_chart(subsets, edges, thumbnails={"cat(bed)": b"no"})


def test_the_budget_is_kept_and_said(monkeypatch):
    monkeypatch.setattr(metagraph, "MAX_CLASSES", 2)
    monkeypatch.setattr(metagraph, "MAX_SUBSETS", 7)
    monkeypatch.setattr(metagraph, "MAX_EDGES", 1)
    rows = [
        (f"{c}({i})", c, str(i), 10 * i + 1, 0)
        for c, n in (("a", 5), ("b", 6), ("z", 2))
        for i in range(n)
    ]
    edges = [
        ("a(3)", "a(4)", 0.3),
        ("b(4)", "b(5)", 0.9),
        ("a(0)", "a(1)", 0.99),
        ("a(4)", "b(5)", 1.0),
    ]
    chart = metagraph_chart(subsets_of(rows), edges_of(edges))
    left = chart.usermeta["left_out"]
    assert left == {
        "classes": ["z"],
        "subsets": ["a(0)", "a(1)", "b(0)", "b(1)", "b(2)"],
        "edges": 1,
    }
    assert {v["subset"] for v in values(chart, "images")} == {
        "a(2)",
        "a(3)",
        "a(4)",
        "b(3)",
        "b(4)",
        "b(5)",
    }
    assert {v["between"] for v in values(chart, "between")} == {"b(4) – b(5)"}
    said = " ".join(chart.to_dict()["title"]["subtitle"])
    assert "1 smaller classes (z)" in said
    assert "5 smaller subsets (a(0), " in said


def test_more_communities_than_colours(tmp_path):
    rows = [(f"c({i:02})", "c", f"{i:02}", 5, i // 2) for i in range(40)]
    chart = metagraph_chart(subsets_of(rows), edges_of([]))
    color = next(
        layer["encoding"]
        for layer in chart.to_dict()["vconcat"][0]["hconcat"][0]["layer"]
        if "color" in layer["encoding"]
    )
    looks = list(
        zip(color["color"]["scale"]["range"], color["shape"]["scale"]["range"], strict=True)
    )
    assert len(set(looks)) == 20
    save(chart, tmp_path / "many.svg")


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="no subset to draw"):
        metagraph_chart(subsets_of(PETS).slice(0, 0), edges_of([]))
    with pytest.raises(ConfigurationError, match=r"'cat\(x\)', which is not in the table"):
        metagraph_chart(subsets_of(PETS), edges_of([("cat(bed)", "cat(x)", 0.5)]))
    with pytest.raises(ConfigurationError, match=r"\.svg, \.png, \.html or \.json"):
        save(None, tmp_path / "graph.pdf")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(files.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'shiftbench\[report\]'"):
        metagraph_chart(subsets_of(PETS), edges_of([]))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_no_two_boxes_overlap(seed, n):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.2, 1, (n, n)) * (rng.random((n, n)) < rng.uniform(0, 0.5)), 1)
    weights = weights + weights.T
    boxes = np.column_stack([rng.uniform(10, 120, n), rng.uniform(20, 60, n)])
    places, width, height = place(weights, boxes, 400)
    gap = np.abs(places[:, None] - places[None]) - (boxes[:, None] + boxes[None]) / 2
    apart = (gap > 0).any(axis=2) | np.eye(n, dtype=bool)
    assert apart.all()
    assert (places - boxes / 2 >= 0).all()
    assert (places + boxes / 2 <= [width, height]).all()
    again, *_ = place(weights, boxes, 400)
    assert np.array_equal(places, again)


@pytest.mark.filterwarnings("error")
def test_drawing_beside_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from shiftbench.report import draw
    from shiftbench.schema import MEMBERSHIP, SUBSETS

    names = ["cat(bed)", "cat(sofa)"]
    rows = [(n, "cat", n[4:-1], "object", 2, 0, f"cats with a {n[4:-1]}") for n in names]
    columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), SUBSETS, strict=True)]
    members = [(n, i) for n, ids in zip(names, ["ab", "bc"], strict=True) for i in ids]
    tables = {
        "subsets": pa.Table.from_arrays(columns, schema=SUBSETS),
        "membership": pa.table(list(map(list, zip(*members, strict=True))), schema=MEMBERSHIP),
    }
    with draw.drawn_beside(tables, 0.2) as picture:
        here = picture()
    monkeypatch.setattr(draw, "BESIDE", 0)
    with draw.drawn_beside(tables, 0.2) as picture:
        assert picture() == here
    with (
        draw.drawn_beside(tables, "no number") as picture,  # type: ignore[arg-type]
        pytest.warns(UserWarning, match="no meta-graph"),
    ):
        assert picture() is None
