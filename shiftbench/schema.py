"""The vocabulary of the benchmark directory, format ``shiftbench/1``, and what the floors hand on.

Column schemas of the tables, the legal roles, shifts and flags of a split, the features of an
example, and `Metadata`: what a source says of its examples before any content is read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from shiftbench.errors import ConfigurationError

__all__ = [
    "BALANCE",
    "CONTEXTS",
    "CONTEXT_KINDS",
    "FLAGS",
    "FORMAT",
    "MAX_SLUG",
    "MEMBERSHIP",
    "PRIVATE_COLUMNS",
    "REJECTED",
    "ROLES",
    "SEVERITIES",
    "SHIFTS",
    "SHIFT_DISTANCES",
    "SUBSETS",
    "Checks",
    "ClassLabel",
    "Feature",
    "Image",
    "ListOf",
    "Metadata",
    "Shard",
    "Source",
    "Value",
    "arrow_schema",
    "declared_features",
    "feature_of",
    "slug",
    "unique_slugs",
]

FORMAT = "shiftbench/1"

MAX_SLUG = 100
"""Config and split names are parts of file names, which systems limit."""

ROLES = (
    "train",
    "validation",
    "id_test",
    "ood_validation",
    "ood_test",
    "train_unlabeled",
    "target_unlabeled",
)
SHIFTS = ("none", "covariate", "near", "far", "label", "concept", "subpopulation")
FLAGS = ("reject", "accept", "both")

SUBSETS = pa.schema(
    [
        pa.field("subset", pa.string(), nullable=False),
        pa.field("class", pa.string()),
        pa.field("context", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("community", pa.int64()),
        pa.field("explanation", pa.string()),
    ]
)
"""One row a subset; `kind` is object, attribute, general or union (no community)."""

MEMBERSHIP = pa.schema(
    [
        pa.field("subset", pa.string(), nullable=False),
        pa.field("example_id", pa.string(), nullable=False),
    ]
)

SHIFT_DISTANCES = pa.schema(
    [
        pa.field("config", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("distance", pa.string(), nullable=False),
        pa.field("space", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("p_value", pa.float64()),
        pa.field("n_source", pa.int64()),
        pa.field("n_target", pa.int64()),
        pa.field("n_clusters_source", pa.int64()),
        pa.field("n_clusters_target", pa.int64()),
        pa.field("parameters", pa.string()),
        pa.field("seed", pa.int64()),
    ]
)
"""`config` is null where source and target are subsets; `parameters` is JSON."""

BALANCE = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("statistic", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("method", pa.string(), nullable=False),
        pa.field("auc", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("n_source", pa.int64(), nullable=False),
        pa.field("n_target", pa.int64(), nullable=False),
        pa.field("n_clusters_source", pa.int64(), nullable=False),
        pa.field("n_clusters_target", pa.int64(), nullable=False),
        pa.field("missing_source", pa.int64(), nullable=False),
        pa.field("missing_target", pa.int64(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
    ]
)
"""What else differs between two splits; `statistic` names what `value` is, `method` how its
interval was made."""

REJECTED = pa.schema(
    [
        pa.field("input", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)

SEVERITIES = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),
        pa.field("parameter", pa.float64(), nullable=False),
        pa.field("unit", pa.string()),
        pa.field("made", pa.string(), nullable=False),
        pa.field("space", pa.string(), nullable=False),
        pa.field("distance", pa.string()),
        pa.field("shift", pa.float64()),
        pa.field("shift_low", pa.float64()),
        pa.field("shift_high", pa.float64()),
        pa.field("shift_p_value", pa.float64()),
        pa.field("reference_model", pa.string()),
        pa.field("accuracy_unchanged", pa.float64()),
        pa.field("accuracy", pa.float64()),
        pa.field("accuracy_lost", pa.float64()),
        pa.field("lost_low", pa.float64()),
        pa.field("lost_high", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("n_clusters", pa.int64()),
        pa.field("remark", pa.string()),
    ]
)
"""What a change in stated steps does: `change` and `parameter` are fixed beforehand; the distance
it causes and the accuracy that a reference model loses are measured, each in columns of its own.
`made` is "exact" where the content was made anew and "surrogate" where it was changed."""

CONTEXT_KINDS = ("object", "attribute", "general")

CONTEXTS = pa.schema(
    [
        pa.field("example", pa.int32(), nullable=False),
        pa.field("subject", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("context", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    ]
)
"""Which example is in which ``subject(context)``; `example` is a row of `Metadata.examples`."""

PRIVATE_COLUMNS = ("locator", "locator_part", "bytes", "modified")
"""Columns of `Metadata.examples` that a build uses and never writes out.

`locator_part` (a whole number) is for examples that are parts of one input and share its locator:
the reader is then given the locator, 0x1F and the number.
"""


@dataclass(frozen=True)
class Value:
    """A plain column; `dtype` is a `datasets` dtype name such as ``string`` or ``float32``."""

    dtype: str


@dataclass(frozen=True)
class Image:
    """An encoded image: a struct of its bytes and a path (always null here)."""


@dataclass(frozen=True)
class ClassLabel:
    """An integer with a name for each value; null = unknown or none of the classes."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class ListOf:
    """A list of another feature, of any length."""

    feature: Feature


Feature = Value | Image | ClassLabel | ListOf

_DTYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp[us]": pa.timestamp("us"),
    "date32": pa.date32(),
}


def _arrow_type(feature: Feature) -> pa.DataType:
    match feature:
        case Value(dtype):
            return _DTYPES[dtype]
        case Image():
            return pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
        case ClassLabel():
            return pa.int64()
        case ListOf(inner):
            return pa.list_(_arrow_type(inner))


def _json(feature: Feature) -> dict[str, Any]:
    match feature:
        case Value(dtype):
            return {"dtype": dtype, "_type": "Value"}
        case Image():
            return {"_type": "Image"}
        case ClassLabel(names):
            return {"names": list(names), "_type": "ClassLabel"}
        case ListOf(inner):
            return {"feature": _json(inner), "_type": "List"}


def feature_of(dtype: pa.DataType) -> Feature:
    """The feature of a plain Arrow column, dictionaries read as their values.

    Raises
    ------
    ConfigurationError
        The type has no counterpart among the format's features.

    Examples
    --------
    >>> feature_of(pa.list_(pa.string()))
    ListOf(feature=Value(dtype='string'))
    """
    if pa.types.is_dictionary(dtype):
        return feature_of(dtype.value_type)
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype) or pa.types.is_null(dtype):
        return Value("string")
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return ListOf(feature_of(dtype.value_type))
    for name, known in _DTYPES.items():
        if dtype == known:
            return Value(name)
    raise ConfigurationError(
        f"a column of type {dtype} has no place in the format; allowed: "
        f"{', '.join(_DTYPES)} and lists of them; convert or drop it"
    )


def arrow_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """The Arrow schema of some features, with the metadata from which `datasets` restores them.

    Examples
    --------
    >>> schema = arrow_schema({"example_id": Value("string"), "label": ClassLabel(("cat", "dog"))})
    >>> schema.field("label").type
    DataType(int64)
    >>> sorted(schema.metadata)
    [b'huggingface']
    """
    info = {"info": {"features": {name: _json(f) for name, f in features.items()}}}
    return pa.schema(
        [pa.field(name, _arrow_type(f)) for name, f in features.items()],
        metadata={"huggingface": json.dumps(info, ensure_ascii=False)},
    )


def declared_features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The features that `datasets` finds in a schema's metadata, by column.

    Examples
    --------
    >>> declared_features(arrow_schema({"label": ClassLabel(("cat", "dog"))}))
    {'label': {'names': ['cat', 'dog'], '_type': 'ClassLabel'}}
    """
    said = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(said)["info"]["features"] if said else {}
        return {name: f for name, f in found.items() if isinstance(f, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):  # noted by others, in their own way
        return {}


def slug(name: str) -> str:
    """The one rule by which a name becomes a config or split name: [a-z0-9_]+.

    Examples
    --------
    >>> slug("Cat(Sofa + Bed)")
    'cat_sofa_bed'
    >>> slug("Größe")
    'grosse'
    """
    folded = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "_", folded).strip("_")
    if not made:
        raise ConfigurationError(
            f"the name {name!r} holds no letter a-z or digit from which a config or split name "
            "could be made; give it a name that does"
        )
    if len(made) > MAX_SLUG:
        raise ConfigurationError(
            f"the name {name[:40]!r}… is too long for a config or split name: its slug has "
            f"{len(made)} characters, allowed are {MAX_SLUG}"
        )
    return made


def unique_slugs(names: Iterable[str]) -> dict[str, str]:
    """Slugs of several names, refusing two names that come to the same slug.

    Raises
    ------
    ConfigurationError
        Two names collide; the message names both.

    Examples
    --------
    >>> unique_slugs(["dog(bag)", "dog(box)"])
    {'dog(bag)': 'dog_bag', 'dog(box)': 'dog_box'}
    >>> unique_slugs(["dog(bag)", "Dog [bag]"])
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: the names 'dog(bag)' and 'Dog [bag]' both become ...
    """
    made: dict[str, str] = {}
    origin: dict[str, str] = {}
    for name in names:
        s = slug(name)
        if s in origin and origin[s] != name:
            raise ConfigurationError(
                f"the names {origin[s]!r} and {name!r} both become {s!r}; rename one of them"
            )
        origin[s] = name
        made[name] = s
    return made


@dataclass(frozen=True)
class Metadata:
    """What a source says of its examples, all of it, before any content is read.

    Attributes
    ----------
    examples : pa.Table
        One row an example, sorted by `example_id`. Always there: `example_id` (string, unique),
        `cluster_id` (string, the unit of independence), `locator` (string, what the source's
        reader takes; null where there is no content), `bytes` (int64, size of the content, null
        where unknown), `modified` (int64, change stamp in ns, 0 where there is none). Every other
        column is metadata that goes into the benchmark as it is.
    contexts : pa.Table
        Schema `CONTEXTS`: which example is in which ``subject(context)``, sorted by example,
        without repetition.
    rejected : pa.Table
        Schema `REJECTED`: annotations that could not be used, with the reason.
    content : Mapping[str, Feature]
        The content columns that the reader yields, e.g. ``{"image": Image()}``; empty for an
        index without content.
    fingerprint : str
        sha256 (hex) over everything that was read.
    license : str
        SPDX-like id as the Hub spells it, "" = unknown.
    redistributable : bool
        Whether the content may be published.
    identity : str
        "bytes": the content's identity is its bytes as they came. "pixels": it is the decoded
        pixels (content that is drawn here, so that an encoder's version does not count).
    counts : Mapping[str, int]
        What was left out and why, e.g. ``{"annotations_without_image": 3}``.
    notes : Mapping[str, Any]
        Provenance for the card, JSON-serialisable: title, url, citation, attribution; and
        `parents` (builder, digest, config) where the examples come from other benchmarks.
    columns : tuple of str
        Columns of `examples` that are the content itself, such as the features of a table's row;
        they count for the digest as content that a reader brings does.
    unit : str
        Column that names the input an example was cut from, such as the radiograph of a patch:
        content that cannot be used is counted and reported by it.
    """

    examples: pa.Table
    contexts: pa.Table
    rejected: pa.Table
    content: Mapping[str, Feature]
    fingerprint: str
    license: str = ""
    redistributable: bool = False
    identity: str = "bytes"
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "example_id"
    columns: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Where examples come from. A frozen dataclass of options, cheap to pickle."""

    def scan(self) -> Metadata:
        """Read all metadata and no content."""
        ...

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        """A function from a locator to the content columns, e.g. ``{"image": b"..."}``.

        Called once a shard, in the process that writes it. The function raises `ContentError`
        where the content is missing or cannot be read.
        """
        ...


@dataclass(frozen=True)
class Shard:
    """One Parquet file to be written: everything but the content, which a reader brings.

    Attributes
    ----------
    path : str
        Inside the benchmark directory, e.g. ``data/cat_dog/train-00000-of-00002.parquet``.
    features : tuple[tuple[str, Feature], ...]
        Every column of the file in order, content included.
    content : tuple[str, ...]
        Which of them the reader brings.
    rows : pa.Table
        The other columns, and `locator`, `bytes` and `modified`.
    identity : str
        "bytes" or "pixels", see `Metadata`.
    columns : tuple[str, ...]
        Columns of `rows` that are content too, see `Metadata`.
    """

    path: str
    features: tuple[tuple[str, Feature], ...]
    content: tuple[str, ...]
    rows: pa.Table
    identity: str = "bytes"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checks:
    """What is asked of every image before it is written.

    Attributes
    ----------
    level : str
        "off": nothing. "header": the header parses, the size is sane, there is one frame and the
        end is there. "decode": every pixel is decoded too.
    max_pixels : int
        Images of more pixels are rejected.
    modes : tuple[str, ...]
        Pillow's pixel modes that are accepted.
    """

    level: str = "header"
    max_pixels: int = 100_000_000
    modes: tuple[str, ...] = ("1", "L", "LA", "P", "RGB", "RGBA")
