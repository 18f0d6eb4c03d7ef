"""The meta-graph as a picture: subsets, the images they share, and their communities."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.report.files import FORMATS, extra, save
from shiftbench.report.layout import place

__all__ = ["FORMATS", "MAX_CLASSES", "MAX_EDGES", "MAX_SUBSETS", "metagraph_chart", "save"]

MAX_CLASSES = 12
MAX_SUBSETS = 300
MAX_EDGES = 3000
"""What one picture draws at most; the largest classes, subsets and overlaps come first."""

# Okabe & Ito's colours without black, the pale ones last; with the shapes, 35 communities.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross")
_NO_COMMUNITY = {"alone": "#B4B4B4", "none": "#FFFFFF"}  # a community of one; a union
_AREA = (40.0, 1300.0)
_FONT, _CHARACTER, _LINE = 10, 5.7, 13.0
_LABEL = 22
_PICTURE = 1400.0
_THUMBNAIL = 64

Row = dict[str, Any]


def _text(name: str, longest: int | None = None) -> str:
    """A name without control characters, cut to a length."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def _chosen(subsets: pa.Table) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """The rows to draw, by class, and what is left out."""
    classes: dict[str, list[Row]] = {}
    for row in subsets.to_pylist():
        classes.setdefault(row["class"] or "", []).append(row)
    order = sorted(classes, key=lambda name: (-len(classes[name]), name))
    drawn = sorted(order[:MAX_CLASSES])
    limit = MAX_SUBSETS
    while sum(min(len(classes[name]), limit) for name in drawn) > MAX_SUBSETS:
        limit -= 1
    kept: dict[str, list[Row]] = {}
    dropped: list[str] = []
    for name in drawn:
        rows = sorted(classes[name], key=lambda r: (-r["size"], r["subset"]))
        kept[name] = sorted(rows[:limit], key=lambda r: (_rank(r), r["subset"]))
        dropped += sorted(r["subset"] for r in rows[limit:])
    return kept, {"classes": sorted(order[MAX_CLASSES:]), "subsets": dropped}


def _rank(row: Row) -> int:
    return -1 if row["community"] is None else int(row["community"])


def _some(names: Sequence[str], n: int = 6) -> str:
    shown = ", ".join(_text(name, 30) for name in names[:n])
    return shown + (f" and {len(names) - n} more" if len(names) > n else "")


def _thumbnail(name: str, content: bytes) -> str:
    """A small square PNG as a data URI."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            small = ImageOps.fit(image.convert("RGB"), (_THUMBNAIL, _THUMBNAIL))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigurationError(
            f"the thumbnail of {name!r} is no image that can be read ({error}); leave it out"
        ) from error
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _area(size: int, largest: int) -> float:
    return _AREA[0] + (_AREA[1] - _AREA[0]) * size / max(largest, 1)


def _panel(
    rows: list[Row], overlaps: dict[tuple[str, str], float], largest: int, pictures: dict[str, str]
) -> tuple[list[Row], list[Row], float, float]:
    """Nodes and edges of one class in pixel coordinates, and the size of the panel."""
    names = [r["subset"] for r in rows]
    at = {name: i for i, name in enumerate(names)}
    weights = np.zeros((len(rows), len(rows)))
    for (a, b), overlap in overlaps.items():
        weights[at[a], at[b]] = weights[at[b], at[a]] = overlap
    together = {r["community"] for r in rows if r["community"] is not None}
    members = {c: sum(r["community"] == c for r in rows) for c in together}
    labels = [_text(r["context"] or r["subset"], _LABEL) for r in rows]
    side = [
        max(2 * float(np.sqrt(_area(r["size"], largest) / np.pi)), 38.0 * (r["subset"] in pictures))
        for r in rows
    ]
    boxes = np.array(
        [[max(s, _CHARACTER * len(t)), s + _LINE] for s, t in zip(side, labels, strict=True)]
    )
    aim = 340.0 + 60.0 * float(np.sqrt(max(len(rows) - 9, 0)))
    places, width, height = place(weights, boxes, aim)
    nodes = []
    for i, row in enumerate(rows):
        if row["community"] is None:
            community = "none"
        else:
            community = str(row["community"]) if members[row["community"]] > 1 else "alone"
        middle = float(places[i, 1] - _LINE / 2)
        nodes.append(
            {
                "subset": _text(row["subset"]),
                "label": labels[i],
                "explanation": _text(row["explanation"] or row["subset"]),
                "images": row["size"],
                "community": community,
                "x": float(places[i, 0]),
                "y": round(middle, 1),
                "below": round(middle + side[i] / 2 + _LINE / 2, 1),
                "side": round(side[i], 1),
                "picture": pictures.get(row["subset"]),
            }
        )
    lines = [
        {
            "x": nodes[at[a]]["x"],
            "y": nodes[at[a]]["y"],
            "x2": nodes[at[b]]["x"],
            "y2": nodes[at[b]]["y"],
            "overlap": round(overlap, 4),
            "between": f"{nodes[at[a]]['subset']} – {nodes[at[b]]['subset']}",
        }
        for (a, b), overlap in sorted(overlaps.items(), key=lambda item: (item[1], item[0]))
    ]
    return nodes, lines, width, height


def _rows(widths: Sequence[float]) -> list[list[int]]:
    """Panels side by side up to the width of the picture."""
    rows: list[list[int]] = []
    used = 0.0
    for i, width in enumerate(widths):
        if not rows or used + width > _PICTURE:
            rows.append([])
            used = 0.0
        rows[-1].append(i)
        used += width
    return rows


def _layers(
    alt: Any, nodes: list[Row], lines: list[Row], size: tuple[float, float], scales: dict[str, Any]
) -> list[Any]:
    def axis(field: str, extent: float, **more: Any) -> dict[str, Any]:
        scale = alt.Scale(domain=[0, extent], nice=False, zero=False, **more)
        return {"field": field, "type": "quantitative", "axis": None, "scale": scale}

    x = alt.X(**axis("x", size[0]))
    y = alt.Y(**axis("y", size[1], reverse=True))
    below = alt.Y(**axis("below", size[1], reverse=True))
    drawn = alt.Chart(alt.InlineData(values=nodes))
    said = [
        alt.Tooltip(field=f, type="nominal", title=t)
        for f, t in (("subset", "subset"), ("explanation", "shows"), ("community", "community"))
    ] + [alt.Tooltip(field="images", type="quantitative", title="images", format=",d")]
    layers = []
    if lines:
        layers.append(
            alt.Chart(alt.InlineData(values=lines))
            .mark_rule(color="#555555")
            .encode(
                x=x,
                y=y,
                x2=alt.X2(field="x2"),
                y2=alt.Y2(field="y2"),
                strokeWidth=scales["width"],
                opacity=scales["opacity"],
                tooltip=[
                    alt.Tooltip(field="between", type="nominal", title="subsets"),
                    alt.Tooltip(field="overlap", type="quantitative", format=".2f"),
                ],
            )
        )
    dot = {"filled": True, "opacity": 1, "stroke": "#222222", "strokeWidth": 0.7}
    plain = [row for row in nodes if not row["picture"]]
    if plain:
        points = alt.Chart(alt.InlineData(values=plain)).mark_point(**dot)
        seen = {k: scales[k] for k in ("size", "color", "shape")}
        layers.append(points.encode(x=x, y=y, tooltip=said, **seen))
    pictured = [row for row in nodes if row["picture"]]
    if pictured:
        chart = alt.Chart(alt.InlineData(values=pictured))
        frame = chart.mark_square(opacity=1, size=36.0**2, stroke="#222222", strokeWidth=0.5)
        layers.append(frame.encode(x=x, y=y, color=scales["color"], tooltip=said))
        image = chart.mark_image(width=30, height=30)
        layers.append(image.encode(x=x, y=y, url=alt.Url(field="picture", type="nominal")))
    written = alt.Text(field="label", type="nominal")
    for look in (
        {"stroke": "white", "strokeWidth": 3, "strokeJoin": "round"},
        {"color": "#111111"},
    ):
        text = drawn.mark_text(fontSize=_FONT, baseline="middle", **look)
        layers.append(text.encode(x=x, y=below, text=written))
    return layers


def _scales(alt: Any, nodes: list[Row], largest: int) -> dict[str, Any]:
    found = {row["community"] for row in nodes}
    numbers = sorted(int(c) for c in found if c not in _NO_COMMUNITY)
    others = [c for c in _NO_COMMUNITY if c in found]
    domain = [str(c) for c in numbers] + others
    colours = [_COLOURS[c % len(_COLOURS)] for c in numbers] + [_NO_COMMUNITY[c] for c in others]
    shapes = [_SHAPES[c // len(_COLOURS) % len(_SHAPES)] for c in numbers]
    shapes += ["circle"] * len(others)
    legend = alt.Legend(symbolLimit=0, columns=1 + len(domain) // 18, symbolSize=110)
    steps = sorted({s for s in (_nice(largest / d) for d in (1, 4, 16, 64)) if s >= 1})
    named = {"field": "community", "type": "nominal", "title": "community in its class"}
    overlap = {"field": "overlap", "type": "quantitative", "title": "overlap of two subsets"}
    return {
        "color": alt.Color(**named, scale=alt.Scale(domain=domain, range=colours), legend=legend),
        "shape": alt.Shape(**named, scale=alt.Scale(domain=domain, range=shapes), legend=legend),
        "size": alt.Size(
            field="images",
            type="quantitative",
            title="images",
            scale=alt.Scale(domain=[0, largest], range=list(_AREA), nice=False, clamp=True),
            legend=alt.Legend(values=steps, format=",d", symbolFillColor="#DDDDDD"),
        ),
        "width": alt.StrokeWidth(
            **overlap,
            scale=alt.Scale(domain=[0, 1], range=[0.4, 4.5]),
            legend=alt.Legend(values=[0.2, 0.5, 1.0], format=".1f"),
        ),
        "opacity": alt.Opacity(
            **overlap,
            scale=alt.Scale(domain=[0, 1], range=[0.15, 0.6]),
            legend=alt.Legend(values=[0.2, 0.5, 1.0], format=".1f"),
        ),
    }


def _nice(value: float) -> int:
    """The largest of 1, 2, 5 times a power of ten that is not above a value."""
    if value < 1:
        return 0
    power = 10 ** int(np.floor(np.log10(value)))
    return int(max(step for step in (1, 2, 5) if step * power <= value) * power)


def _caption(left_out: dict[str, Any]) -> list[str]:
    said = [
        "A point is a subset; its area grows with its images. A line joins subsets that overlap:",
        "the wider, the larger |A∩B| / min(|A|,|B|). The places have no meaning of their own.",
    ]
    if left_out["classes"]:
        n = len(left_out["classes"])
        said.append(f"Not drawn: {n} smaller classes ({_some(left_out['classes'])}).")
    if left_out["subsets"]:
        n = len(left_out["subsets"])
        said.append(f"Not drawn: {n} smaller subsets ({_some(left_out['subsets'])}).")
    if left_out["edges"]:
        said.append(f"Not drawn: the {left_out['edges']} smallest of the overlaps.")
    return said


def metagraph_chart(
    subsets: pa.Table,
    edges: pa.Table,
    *,
    thumbnails: Mapping[str, bytes] | None = None,
    title: str = "Meta-graph",
) -> Any:
    """Draw the subsets of each class, the edges between them and their communities.

    Parameters
    ----------
    subsets : pa.Table
        Columns of the schema `SUBSETS`; their order changes nothing.
    edges : pa.Table
        Columns source, target (names of subsets) and overlap (0 to 1). Edges across classes, and
        of subsets that are not drawn, are not drawn.
    thumbnails : mapping of str to bytes, optional
        An encoded image for some of the subsets, by name.
    title : str
        Stands above.

    Returns
    -------
    altair chart
        One panel a class, the classes by name. At most `MAX_CLASSES` classes (those with most
        subsets), `MAX_SUBSETS` subsets (the largest of each class) and `MAX_EDGES` edges (the
        largest overlaps) are drawn; the caption says what is not, and ``chart.usermeta`` names
        all of it.

    Raises
    ------
    MissingExtraError
        altair is not installed (extra ``report``).
    ConfigurationError
        There is no subset, an edge names a subset that is not in the table, or a thumbnail is no
        image.

    Examples
    --------
    >>> subsets = pa.table({"subset": ["cat(sofa)", "cat(bed)"], "class": ["cat", "cat"],
    ...     "context": ["sofa", "bed"], "size": [30, 40], "community": [0, 0],
    ...     "explanation": ["cats with a sofa", "cats with a bed"]})
    >>> edges = pa.table({"source": ["cat(bed)"], "target": ["cat(sofa)"], "overlap": [0.5]})
    >>> chart = metagraph_chart(subsets, edges)
    >>> chart.usermeta["left_out"]
    {'classes': [], 'subsets': [], 'edges': 0}
    """
    alt = extra("altair")
    if subsets.num_rows == 0:
        raise ConfigurationError("there is no subset to draw")
    home = dict(zip(subsets["subset"].to_pylist(), subsets["class"].to_pylist(), strict=True))
    kept, left_out = _chosen(subsets)
    drawn = {row["subset"] for rows in kept.values() for row in rows}
    overlaps: dict[tuple[str, str], float] = {}
    for edge in edges.select(["source", "target", "overlap"]).to_pylist():
        for end in ("source", "target"):
            if edge[end] not in home:
                raise ConfigurationError(
                    f"an edge names the subset {edge[end]!r}, which is not in the table of subsets"
                )
        a, b = sorted((edge["source"], edge["target"]))
        if a != b and home[a] == home[b] and {a, b} <= drawn:
            overlaps[a, b] = float(edge["overlap"])
    strongest = sorted(overlaps, key=lambda pair: (-overlaps[pair], pair))
    left_out["edges"] = len(strongest[MAX_EDGES:])
    by_class: dict[str, dict[tuple[str, str], float]] = {name: {} for name in kept}
    for pair in strongest[:MAX_EDGES]:
        by_class[home[pair[0]] or ""][pair] = overlaps[pair]
    pictures = {n: _thumbnail(n, c) for n, c in (thumbnails or {}).items() if n in drawn}
    largest = max(row["size"] for rows in kept.values() for row in rows)
    panels = {n: _panel(rows, by_class[n], largest, pictures) for n, rows in kept.items()}
    scales = _scales(alt, [node for nodes, *_ in panels.values() for node in nodes], largest)
    charts = []
    for name, (nodes, lines, width, height) in panels.items():
        heading = f"{_text(name, 40)}: {len(nodes)} subset{'s' if len(nodes) != 1 else ''}"
        layers = _layers(alt, nodes, lines, (width, height), scales)
        panel = alt.layer(*layers, title=alt.TitleParams(heading, anchor="start", fontSize=13))
        charts.append(panel.properties(width=width, height=height))
    rows = _rows([width for *_, width, _ in panels.values()])
    whole = alt.vconcat(
        *(alt.hconcat(*(charts[i] for i in row), spacing=24) for row in rows), spacing=24
    )
    return (
        whole.properties(
            title=alt.TitleParams(
                _text(title), subtitle=_caption(left_out), anchor="start", fontSize=16, offset=14
            ),
            usermeta={"left_out": left_out},
        )
        .resolve_scale(x="independent", y="independent")
        .configure_view(stroke="#DDDDDD")
        .configure(background="white", font="sans-serif")
    )
