"""Charts as files."""

from __future__ import annotations

import html
import importlib
import json
from pathlib import Path
from typing import Any

from shiftbench.errors import ConfigurationError, MissingExtraError, StorageError

__all__ = ["FORMATS", "extra", "save"]

FORMATS = (".svg", ".png", ".html", ".json")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<script>{bundle}</script>
</head>
<body>
<div id="chart"></div>
<script>vegaEmbed("#chart", {spec}, {{"renderer": "svg", "actions": false}});</script>
</body>
</html>
"""


def extra(package: str) -> Any:
    """A module of the extra ``report``, imported when first needed.

    Raises
    ------
    MissingExtraError
        It is not installed.

    Examples
    --------
    >>> extra("json").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "report") from error


def save(chart: Any, path: str | Path) -> None:
    """Write a chart as the format that the file name's ending says.

    Parameters
    ----------
    chart : altair chart
        Any chart.
    path : str or Path
        Ends in .svg, .png (twice the size, for sharp print), .html (one file, needs no network)
        or .json (Vega-Lite).

    Raises
    ------
    ConfigurationError
        Another ending.
    MissingExtraError
        The package that renders is not installed (extra ``report``).
    StorageError
        The file cannot be written.

    Examples
    --------
    >>> try:
    ...     save(None, "graph.gif")
    ... except ConfigurationError as error:
    ...     print(error)
    a picture cannot be written as 'graph.gif': its name must end in .svg, .png, .html or .json
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ConfigurationError(
            f"a picture cannot be written as {path.name!r}: its name must end in "
            f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )
    spec = chart.to_dict()
    text = json.dumps(spec, sort_keys=True)
    if kind == ".json":
        made = (text + "\n").encode()
    elif kind == ".svg":
        made = extra("vl_convert").vegalite_to_svg(text).encode()
    elif kind == ".png":
        made = extra("vl_convert").vegalite_to_png(text, scale=2)
    else:
        made = _html(spec, text).encode()
    try:
        path.write_bytes(made)
    except OSError as error:
        raise StorageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _html(spec: dict[str, Any], text: str) -> str:
    # Inside a script element a name with "</script>" would close it: JSON may spell it otherwise.
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    title = spec.get("title", "")
    said = title.get("text", "") if isinstance(title, dict) else title
    bundle = extra("vl_convert").javascript_bundle()
    return _PAGE.format(title=html.escape(str(said)), bundle=bundle, spec=text)
